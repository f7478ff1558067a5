"""A simulated twin of the CROP-seq screens of Dufva et al. 2023: five contexts, 26 knock-outs, two arms, raw counts.

Every number is simulated. `model.py` beside this file says what a knock-out, a programme, a context and a replicate do
to a gene's expected share of the counts. Here cells are drawn from it: some escape their knock-out, depth is
log-normal, counts are negative binomial. The noise-free truth (`expectation`) is integrated from the model, not
estimated from these cells.
"""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from jaxtyping import Float, Int

from benchmarks.canonical import Reading
from benchmarks.contract import CONTROL
from benchmarks.errors import DataError

CELLS_PER_BLOCK = 1000
SCALE = 1e4
"""Counts a cell is scaled to before the logarithm."""


def _sibling(filename: str) -> ModuleType:
    """Load a module that lies beside this file; a data set's folder is no package."""
    path = Path(__file__).with_name(filename)
    spec = importlib.util.spec_from_file_location(f"_cropseq_simulated_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"cropseq_simulated lacks {filename} beside its read.py; restore the folder from the release.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


model = _sibling("model.py")
Settings, Network = model.Settings, model.Network
FROZEN = Settings()
"""Settings of the benchmark's data set."""
BENCHMARK_SEED = 1001
"""Seed of the benchmark's data set: a screen that no model was developed on.

Seeds 0, 101 and 202 were used while models were developed (held-out conditions were looked at), so they are no test.
Seeds 1000, 1001, ... were tried in order with `FROZEN` unchanged and no model fitted; the first was taken whose share
of detectable knock-outs (README.md, arm noNK) is 0.28 to 0.38 over all contexts and 0.2 to 0.45 in each. Seed 1000
failed: 0.24 over all, 0.12 in sim_K562.
"""


@dataclass(frozen=True)
class Simulation:
    """One simulated screen and the truth behind it."""

    cells: AnnData
    """Canonical cells, raw counts, CSR float32 [cell, gene]."""
    annotation: dict[str, frozenset[str]]
    """Gene → modules, with missing and false terms; no effect sizes."""
    expectation: pd.DataFrame
    """Expected log2(CP10k + 1) [condition, gene], indexed by (context, arm, perturbation)."""
    network: Network
    """The generative model: for tests and references, never for a predictor."""


@dataclass(frozen=True)
class Rows:
    """Where each cell's expected profile lies in `Network.profiles`, one entry per cell."""

    context: Int[np.ndarray, "cell"]
    arm: Int[np.ndarray, "cell"]
    state: Int[np.ndarray, "cell"]
    replicate: Int[np.ndarray, "cell"]


def read(files: Mapping[str, Path]) -> Reading:
    """Simulate the benchmark's data set: frozen settings, `BENCHMARK_SEED`; `files` is empty."""
    if files:
        raise DataError(
            f"cropseq_simulated is simulated and reads no files; got {', '.join(sorted(files))}. "
            "Remove [[files]] from its card."
        )
    screen = simulate(BENCHMARK_SEED)
    return Reading([screen.cells], annotation=screen.annotation, expectation=screen.expectation)


def simulate(seed: int = 0, *, settings: Settings = FROZEN) -> Simulation:
    """Simulate the screen; the same seed gives the same cells.

    Parameters
    ----------
    seed
        Seed of three independent streams (PCG64): network, annotation, cells.
    settings
        What to simulate.

    Returns
    -------
    Simulation
        Cells in raw counts, annotation, noise-free profiles in log2(CP10k + 1), and the model itself.

    Raises
    ------
    DataError
        By `Settings`, for numbers no screen can be made of.
    """
    for_network, for_annotation, for_cells = (
        np.random.Generator(np.random.PCG64(stream)) for stream in np.random.SeedSequence(seed).spawn(3)
    )
    network = model.build_network(for_network, settings)
    return Simulation(
        cells=draw_screen(network, for_cells, settings),
        annotation=annotate(network, for_annotation, settings.annotation_noise),
        expectation=expect_screen(network, settings),
        network=network,
    )


def draw_screen(network: Network, rng: np.random.Generator, settings: Settings) -> AnnData:
    """Draw every cell of the screen, in canonical form."""
    groups, rows = [], []
    n_knockouts = len(network.targets)
    for c, context in enumerate(settings.contexts):
        for a, arm in enumerate(model.ARMS):
            fewest = np.array([settings.control_cells[a]] + [settings.knockout_cells[a]] * n_knockouts)
            knockout = np.repeat(np.arange(-1, n_knockouts), fewest + rng.poisson(settings.extra_cells * fewest))
            escaped = (knockout >= 0) & (rng.random(len(knockout)) < network.escape[knockout])
            state = np.where(knockout < 0, model.CONTROL_STATE, model.FIRST_KNOCKOUT + knockout)
            state[escaped] = model.ESCAPED_STATE
            replicate = np.arange(len(knockout)) % settings.replicates
            rows.append(np.stack([np.full(len(knockout), c), np.full(len(knockout), a), state, replicate]))
            groups.append(_label(network, knockout, replicate, context, arm))
    obs = pd.concat(groups)
    text = obs.columns.difference(["dose", "is_control"])
    obs[text] = obs[text].astype("category")
    counts = draw_counts(network, Rows(*np.concatenate(rows, axis=1)), rng, settings.depth_sd)
    return AnnData(X=counts, obs=obs, var=pd.DataFrame(index=pd.Index(network.genes, dtype=object)))


def _label(network: Network, knockout: np.ndarray, replicate: np.ndarray, context: str, arm: str) -> pd.DataFrame:
    """Label one context and arm's cells; knock-out −1 is control."""
    names = np.array([*(network.genes[t] for t in network.targets), CONTROL], dtype=object)
    index = pd.Index([f"{context}-{arm}-{i + 1:05d}" for i in range(len(knockout))], dtype=object)
    return pd.DataFrame(
        {
            "perturbation": names[knockout],
            "context": context,
            "arm": arm,
            "batch": [f"rep{r + 1}" for r in replicate],
            "control_group": f"{context}|{arm}",
            "dose": np.nan,
            "is_control": knockout < 0,
        },
        index=index,
    )


def draw_counts(network: Network, rows: Rows, rng: np.random.Generator, depth_sd: float) -> sp.csr_matrix:
    """Draw raw counts [cell, gene]: log-normal depth, negative binomial (gamma-Poisson) around the expected profile."""
    blocks = []
    for start in range(0, len(rows.state), CELLS_PER_BLOCK):
        context, arm, state, replicate = (
            r[start : start + CELLS_PER_BLOCK] for r in (rows.context, rows.arm, rows.state, rows.replicate)
        )
        depth = network.depth[context] * np.exp(depth_sd * rng.standard_normal(len(state)))
        dispersion = network.dispersion[context]
        mean = depth[:, None] * network.profiles[context, arm, state, replicate]
        mean *= dispersion * rng.standard_gamma(1 / dispersion)
        blocks.append(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    return sp.vstack(blocks, format="csr")


def expect_screen(network: Network, settings: Settings) -> pd.DataFrame:
    """Work out each condition's expected log2(CP10k + 1) over replicates, escaped and other cells: noise-free."""
    first, escape, conditions, names = model.FIRST_KNOCKOUT, network.escape[:, None], [], []
    for c, context in enumerate(settings.contexts):
        for a, arm in enumerate(model.ARMS):
            noise = (network.dispersion[c], network.depth[c], settings.depth_sd)
            states = np.stack(
                [
                    np.mean([expect_log2(profile, *noise) for profile in state], axis=0)
                    for state in network.profiles[c, a]
                ]
            )
            mixed = (1 - escape) * states[first:] + escape * states[model.ESCAPED_STATE]
            conditions += [states[model.CONTROL_STATE], *mixed]
            names += [(context, arm, CONTROL), *((context, arm, network.genes[t]) for t in network.targets)]
    index = pd.MultiIndex.from_tuples(names, names=["context", "arm", "perturbation"])
    return pd.DataFrame(np.stack(conditions), index=index, columns=pd.Index(network.genes, dtype=object)).sort_index()


def expect_log2(
    profile: Float[np.ndarray, "gene"], dispersion: Float[np.ndarray, "gene"], depth: float, depth_sd: float
) -> Float[np.ndarray, "gene"]:
    """Integrate the expected log2(CP10k + 1) of cells with one expected profile, the random total included.

    With a = 10,000 and S the cell's total, 1 + a X/S = (S + a X)/S, and E ln of a positive sum Z is an integral of its
    Laplace transform, ln z = ∫ (e^−t − e^−tz) dt/t. So, given the depth,

        E ln(1 + a X_g/S) = ∫ M_S(t) · (1 − M_g((1 + a) t) / M_g(t)) dt/t,    M_S = Π_j M_j,

    where M_g(t) = (1 + φ_g m_g (1 − e^−t))^(−1/φ_g) is a negative binomial's transform. Trapezoids in ln t and
    Gauss-Hermite nodes in ln depth; the error is below 1e-5.

    Parameters
    ----------
    profile
        Expected share of the cell's counts, sums to 1.
    dispersion
        φ, negative binomial dispersion.
    depth
        Median counts of a cell.
    depth_sd
        Standard deviation of ln depth.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    step = 0.5
    grid = np.exp(np.arange(-20, 4, step))[:, None]  # t × depth, against gene
    total = np.zeros_like(profile)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        counts = depth * np.exp(depth_sd * node)
        t = grid / counts
        near = -np.log1p(-dispersion * counts * profile * np.expm1(-t)) / dispersion  # ln M_g(t)
        far = -np.log1p(-dispersion * counts * profile * np.expm1(-(1 + SCALE) * t)) / dispersion
        total += weight * step * (np.exp(near.sum(axis=1, keepdims=True)) * (1 - np.exp(far - near))).sum(axis=0)
    return total / np.log(2)


def annotate(network: Network, rng: np.random.Generator, noise: float) -> dict[str, frozenset[str]]:
    """Write out the modules as terms, a share of them missing and as many false; every gene keeps a true one."""
    members = network.members
    kept = members & (rng.random(members.shape) >= noise)
    lost = ~kept.any(axis=1)
    kept[lost] = members[lost]
    false = ~members & (rng.random(members.shape) < noise * members.mean() / (1 - members.mean()))
    return {
        gene: frozenset(f"SIMM{m + 1:02d}" for m in np.flatnonzero(row))
        for gene, row in zip(network.genes, kept | false, strict=True)
    }
