"""The generative model of the simulated CROP-seq screen: modules, regulation, knock-out effects, programmes, profiles.

A knock-out holds its target's ln expression `knockdown` below normal; every other gene follows x = A x over a sparse
regulatory network, with A of the cell's context. Knock-outs reach a module's genes through its hub, so that knock-outs
of one module act alike; part of their reach and part of a module's regulation is a context's own.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from benchmarks.data.simulation.design import require

ARMS = ("noNK", "NK")
CONTROL_STATE, ESCAPED_STATE, FIRST_KNOCKOUT = 0, 1, 2
"""Rows of a context's profiles: control cells, escaped cells (stress only), then one row per knock-out."""


@dataclass(frozen=True)
class Settings:
    """What is simulated. The defaults are the benchmark's data set and are frozen; change them in tests only."""

    contexts: tuple[str, ...] = ("sim_K562", "sim_LP1", "sim_MM1S", "sim_NALM6", "sim_SUDHL4")
    """Names of the contexts."""
    n_genes: int = 1000
    """Genes measured."""
    n_knockouts: int = 26
    """Genes knocked out, all of them measured."""
    n_modules: int = 24
    """Regulatory modules; every gene is in one to three."""
    replicates: int = 2
    """Batches of each context; every condition is spread evenly over them."""
    knockout_cells: tuple[int, int] = (100, 30)
    """Fewest cells of one knock-out per context, arm noNK and arm NK."""
    control_cells: tuple[int, int] = (400, 140)
    """Fewest control cells per context, arm noNK and arm NK."""
    extra_cells: float = 0.04
    """Mean share of cells above the fewest, Poisson."""
    counts_per_gene: float = 1.2
    """Median counts of a cell over the number of genes."""
    depth_sd: float = 0.35
    """Standard deviation of a cell's ln depth."""
    dispersion: tuple[float, float] = (0.1, 0.4)
    """Negative binomial dispersion at mean count m: first + second / sqrt(m), times log-normal gene noise of sd 0.3."""
    knockdown: float = 1.5
    """Fall of a knocked-out gene's ln expression in cells that do not escape."""
    reach: float = 3.0
    """Largest weight of a knock-out's edges; the knock-outs' weights run from 0 to this, evenly in their cube root."""
    inactive: float = 0.15
    """Probability that a knock-out reaches nothing beyond its target in a context."""
    escape: tuple[float, float] = (0.05, 0.4)
    """Range of the share of a knock-out's cells that escape: no knock-out effect, but stress all the same."""
    stress: float = 0.1
    """Scale of the stress programme's ln fold changes."""
    exposure: float = 0.6
    """Scale of the exposure programme's ln fold changes in arm NK."""
    batch_sd: float = 0.08
    """Standard deviation of a replicate's ln shift, gene by gene."""
    annotation_noise: float = 0.1
    """Share of true gene-module terms missing from the annotation, and of false ones in it."""

    def __post_init__(self) -> None:
        require(
            "Settings",
            {
                "at least 2 knock-outs, and at most a quarter of the genes": 2 <= self.n_knockouts <= self.n_genes // 4,
                "at least 6 modules and 1 replicate": self.n_modules >= 6 and self.replicates >= 1,
                "at least 1 context": bool(self.contexts),
                "at least 1 cell of a condition for each replicate": self.replicates
                <= min(*self.knockout_cells, *self.control_cells),
            },
        )


@dataclass(frozen=True)
class Network:
    """The generative model behind the cells: for tests and references, never for a predictor."""

    genes: tuple[str, ...]
    """Names of the genes."""
    targets: Int[np.ndarray, "knockout"]
    """Column of each knock-out's target."""
    members: np.ndarray
    """Gene in module, the truth behind the annotation, bool [gene, module]."""
    regulation: tuple[sp.csr_matrix, ...]
    """A of each context: what one unit of ln expression of a column's gene does to a row's gene."""
    effects: Float[np.ndarray, "context knockout gene"]
    """ln fold change in cells that do not escape, without the programmes."""
    stress: Float[np.ndarray, "context gene"]
    """ln fold change of every cell with a targeting guide."""
    exposure: Float[np.ndarray, "context gene"]
    """ln fold change of every cell of arm NK, controls too."""
    escape: Float[np.ndarray, "knockout"]
    """Share of cells that escape."""
    profiles: Float[np.ndarray, "context arm state replicate gene"]
    """Expected share of a cell's counts; states as in `CONTROL_STATE`, `ESCAPED_STATE`, `FIRST_KNOCKOUT`."""
    dispersion: Float[np.ndarray, "context gene"]
    """Negative binomial dispersion."""
    depth: Float[np.ndarray, "context"]
    """Median counts of a cell."""


def build_network(rng: np.random.Generator, settings: Settings) -> Network:
    """Draw modules, regulation, programmes and baselines, and work out every state's expected profile."""
    n_contexts, n_genes = len(settings.contexts), settings.n_genes
    targets = np.sort(rng.choice(n_genes, settings.n_knockouts, replace=False))
    members = draw_modules(rng, targets, n_genes, settings.n_modules)
    regulation = draw_regulation(rng, targets, members, settings)
    effects = np.stack([propagate(a, targets, settings.knockdown) for a in regulation])
    stress = draw_programme(rng, targets, settings.stress, share=0.06, n_contexts=n_contexts, n_genes=n_genes)
    exposure = draw_programme(rng, targets, settings.exposure, share=0.08, n_contexts=n_contexts, n_genes=n_genes)
    common, own = rng.normal(0, 1.25, n_genes), rng.normal(0, 1.0, (n_contexts, n_genes))
    common[targets] = 0.3 + np.abs(common[targets])  # a knock-out is of a gene that the line expresses
    own[:, targets] *= 0.25
    depth = settings.counts_per_gene * n_genes * np.exp(rng.normal(0, 0.15, n_contexts))
    batch = rng.normal(0, settings.batch_sd, (n_contexts, settings.replicates, n_genes))
    log_mean = (common + own)[:, None, None, None] + batch[:, None, None]  # context, arm, state, replicate, gene
    shift = np.zeros((n_contexts, len(ARMS), FIRST_KNOCKOUT + len(targets), 1, n_genes))
    shift[:, :, ESCAPED_STATE:] += stress[:, None, None, None]
    shift[:, :, FIRST_KNOCKOUT:] += effects[:, None, :, None]
    blunting = np.ones(shift.shape[2])  # a few knock-outs keep a cell from answering the exposure
    blunting[FIRST_KNOCKOUT + rng.choice(len(targets), max(1, len(targets) // 8), replace=False)] = 0.2
    shift[:, 1] += blunting[:, None, None] * exposure[:, None, None]
    baseline = np.exp(common + own)
    mean_count = depth[:, None] * baseline / baseline.sum(axis=1, keepdims=True)
    floor, slope = settings.dispersion
    dispersion = (floor + slope / np.sqrt(mean_count)) * np.exp(rng.normal(0, 0.3, n_genes))
    profiles = np.exp(log_mean + shift)
    return Network(
        genes=tuple(f"SIMG{i + 1:04d}" for i in range(n_genes)),
        targets=targets,
        members=members,
        regulation=regulation,
        effects=effects,
        stress=stress,
        exposure=exposure,
        escape=rng.uniform(*settings.escape, len(targets)),
        depth=depth,
        dispersion=dispersion,
        profiles=profiles / profiles.sum(axis=-1, keepdims=True),
    )


def draw_modules(rng: np.random.Generator, targets: np.ndarray, n_genes: int, n_modules: int) -> np.ndarray:
    """Put genes into one to three modules, bool [gene, module]; targets into one or two of the first third of them."""
    members = np.zeros((n_genes, n_modules), dtype=bool)
    knocked_out = set(targets.tolist())
    for gene in range(n_genes):
        among, most = (n_modules // 3, 2) if gene in knocked_out else (n_modules, 3)
        members[gene, rng.choice(among, 1 + rng.binomial(most - 1, 0.4), replace=False)] = True
    return members


def draw_regulation(
    rng: np.random.Generator, targets: np.ndarray, members: np.ndarray, settings: Settings
) -> tuple[sp.csr_matrix, ...]:
    """Draw A of each context: target → hub → module members, and a few edges of no module.

    A knock-out's weight is shared by the contexts to its own degree (0.4 to 1); the rest goes, in each context, to a
    hub of that context's own. A module's edges are shared at 0.8. Spectral radius at most 0.8.
    """
    n_genes = len(members)
    candidates = members.copy()
    candidates[targets] = False
    hubs = np.array([rng.choice(np.flatnonzero(c)) if c.any() else m for m, c in enumerate(candidates.T)])
    strength = settings.reach * rng.permutation((np.arange(len(targets)) / (len(targets) - 1)) ** 3)
    shared = rng.uniform(0.4, 1.0, len(targets))
    to_hubs = draw_to_hubs(rng, members[targets])
    loads = draw_loads(rng, members)
    direct = rng.standard_normal((n_genes, len(targets))) * (rng.random((n_genes, len(targets))) < 0.012)
    background = rng.normal(0, 0.15, (n_genes, n_genes)) * (rng.random((n_genes, n_genes)) < 1 / n_genes)
    matrices = []
    for _ in settings.contexts:
        active = strength * (rng.random(len(targets)) >= settings.inactive)
        here = draw_own_hubs(rng, to_hubs, shared)
        a = background.copy()
        a[:, hubs] += np.sqrt(0.8) * loads + np.sqrt(0.2) * draw_loads(rng, members)
        a[:, targets] += 0.25 * active * direct
        a[np.ix_(hubs, targets)] += (active[:, None] * here).T
        a[targets] *= 0.25  # knock-outs stand upstream: little feeds back on them
        np.fill_diagonal(a, 0)
        matrices.append(limit_radius(sp.csr_matrix(a)))
    return tuple(matrices)


def draw_to_hubs(rng: np.random.Generator, members: np.ndarray) -> np.ndarray:
    """Draw edges from targets to the hubs of their modules [target, module], before strength."""
    edges = members * rng.uniform(0.6, 1.0, members.shape)
    return edges * np.where(rng.random(edges.shape) < 0.95, 1, -1)


def draw_own_hubs(rng: np.random.Generator, to_hubs: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Mix a context's edges to hubs: those that all contexts share, by their degree, and one of its own for each target."""
    n_targets, n_modules = to_hubs.shape
    own = np.zeros_like(to_hubs)
    own[np.arange(n_targets), rng.integers(n_modules, size=n_targets)] = rng.uniform(0.6, 1.0, n_targets)
    return np.sqrt(shared)[:, None] * to_hubs + np.sqrt(1 - shared)[:, None] * own


def draw_loads(rng: np.random.Generator, members: np.ndarray) -> np.ndarray:
    """Draw what each hub does to its module's genes [gene, module]: 70 % of members, three in four activated."""
    weights = np.abs(rng.normal(0.35, 0.15, members.shape)) * np.where(rng.random(members.shape) < 0.75, 1, -1)
    return weights * (members & (rng.random(members.shape) < 0.7))


def limit_radius(a: sp.csr_matrix, limit: float = 0.8, steps: int = 200) -> sp.csr_matrix:
    """Scale A so that the spectral radius of |A| is at most `limit`; power iteration on I + |A|, which converges."""
    shifted = abs(a) + sp.identity(a.shape[0], format="csr")
    vector, radius = np.ones(a.shape[0]), 0.0
    for _ in range(steps):
        vector = shifted @ vector
        radius = float(vector.max()) - 1
        vector /= radius + 1
    return a * min(1.0, limit / radius) if radius else a


def propagate(a: sp.csr_matrix, targets: np.ndarray, knockdown: float, steps: int = 100) -> np.ndarray:
    """Let each knock-out spread over the network: (I − A)⁻¹ e, scaled so that the target falls by `knockdown`.

    Scaling the column is the exact answer to holding the target fixed: every other gene still obeys x = A x.
    """
    source = np.zeros((a.shape[0], len(targets)))
    source[targets, np.arange(len(targets))] = 1
    total = source
    for _ in range(steps):
        total = source + a @ total
    return -knockdown * (total / total[targets, np.arange(len(targets))]).T


def draw_programme(
    rng: np.random.Generator, targets: np.ndarray, scale: float, *, share: float, n_contexts: int, n_genes: int
) -> np.ndarray:
    """Draw a programme's ln fold changes [context, gene]: `share` of the genes, never a target, mostly upwards."""
    genes = rng.choice(np.setdiff1d(np.arange(n_genes), targets), int(np.ceil(share * n_genes)), replace=False)
    common = rng.uniform(0.5, 1.5, len(genes)) * np.where(rng.random(len(genes)) < 0.7, 1, -1)
    programme = np.zeros((n_contexts, n_genes))
    programme[:, genes] = scale * common * rng.uniform(0.7, 1.3, (n_contexts, len(genes)))
    return programme
