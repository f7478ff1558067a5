"""The suites: which data, which question. Constants, not configuration files."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.contract import Direction
from benchmarks.errors import UnknownName

ALL_MODELS = (
    "no_change",
    "train_mean",
    "train_control",
    "context_transfer",
    "linear",
    "additive",
    "knn",
    "linear_go",
    "ot_barycentric",
    "gsfa_like",
    "grn_propagation",
    "scgen",
    "gears",
    "cycseq_n2p",
    "cycseq_p2n",
    "cycseq_plus_n2p",
    "cycseq_plus_p2n",
)


@dataclass(frozen=True)
class Suite:
    """One question put to all models."""

    name: str
    title: str
    real: str | None = None
    """Data set of real cells."""
    simulated: str | None = None
    """Data set of simulated cells: the real one's twin, used where the real one is not present."""
    protocol: str = "unseen_context"
    """Empty: the first protocol that is not leaky and that the data allow."""
    directions: tuple[Direction, ...] = ("n2p", "p2n")
    models: tuple[str, ...] = ALL_MODELS
    arm: str | None = None
    """Keep only cells of this arm; None keeps all."""
    contexts_held_out: int = 1
    """`unseen_context`: in how many contexts each perturbation is held out at once."""
    quick_folds: int = 1
    """Folds of preset quick; preset paper runs all."""


CROPSEQ = Suite(
    name="cropseq",
    title="CROP-seq knock-outs in five blood cancer lines: a knock-out held out in one line, seen in the others",
    real="cropseq",
    simulated="cropseq_simulated",
    arm="noNK",
)
GRID = Suite(
    name="grid",
    title="Nine genes × four cell lines (PerturBench development file): held out in two lines, seen in the other two",
    real="perturbench_devel",
    contexts_held_out=2,  # nine genes over four lines: one line each would leave two candidates for retrieval
)
KANG = Suite(
    name="kang",
    title="Interferon-beta in seven blood cell types: stimulated cells of one type held out",
    real="kang",
    quick_folds=3,  # a fold is one condition: with fewer there is no interval, and nothing can be ranked
)
SMOKE = Suite(
    name="smoke",
    title="A very small simulated screen: shows that everything runs, tells no models apart",
    simulated="smoke_simulated",
    arm="noNK",
)
SUITES = {suite.name: suite for suite in (CROPSEQ, GRID, KANG, SMOKE)}


def own_suite(name: str) -> Suite:
    """Make the suite of a user's own file: all its cells, the first protocol that they allow."""
    return Suite(name=f"own_{name}", title=f"{name}, a file of the user's own", protocol="")


def find_suite(name: str) -> Suite:
    """Look a suite up by name; raises `UnknownName`."""
    if name not in SUITES:
        raise UnknownName("suite", name, SUITES)
    return SUITES[name]
