"""The suites: which data, which question. Constants, not configuration files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.contract import Direction
from benchmarks.errors import BenchmarkError, UnknownName

if TYPE_CHECKING:
    from benchmarks.tasks.question import ControlRule

SIMPLE = ("no_change", "train_mean", "train_control", "context_transfer", "linear", "additive", "knn", "linear_go")
MECHANISTIC = ("ot_barycentric", "gsfa_like", "grn_propagation", "own_gene")
SLOW = ("scvi", "biolord", "cellot")
"""Take minutes a fold where perturbations are many, and `cellot` makes an environment of its own first."""
CYCSEQ = ("cycseq_n2p", "cycseq_p2n", "cycseq_plus_n2p", "cycseq_plus_p2n")
ALL_MODELS = (*SIMPLE, *MECHANISTIC, "scgen", "gears", *SLOW, *CYCSEQ)


@dataclass(frozen=True)
class Size:
    """What preset quick keeps of a data set; chosen by name, the same for all models (`selection.reduce`)."""

    genes: int
    perturbations: int
    cells: int
    """Most cells of a condition."""
    controls: int
    """Most controls of a context."""


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
    """Keep only cells of this arm, where the data have arms; None keeps all."""
    tests: str = ""
    """Named set of the data set's card that is tested; empty: everything."""
    contexts_held_out: int = 1
    """`unseen_context`: in how many contexts each perturbation is held out at once."""
    one_context: bool = False
    """`unseen_context`: a fold holds half of the perturbations of one context out."""
    quick_folds: int = 1
    """Folds of preset quick; preset paper runs all."""
    quick_size: Size | None = None
    """What preset quick keeps of the data; None: everything."""
    slow: tuple[str, ...] = ()
    """Models that preset quick leaves out of a run in which no models are named; their rows say so."""

    def under(self, control_rule: ControlRule) -> Suite:
        """Name the suite after a control rule other than the default, so that every table says it."""
        if control_rule == "nontargeting":
            return self
        title = f"{self.title}. Control rule nk: NK-exposed cells against unexposed ones of the same knock-out"
        return replace(self, name=f"{self.name}_nk", title=title)


CROPSEQ = Suite(
    name="cropseq",
    title="CROP-seq knock-outs in five blood cancer lines: a knock-out held out in one line, seen in the others",
    real="cropseq",
    simulated="cropseq_simulated",
    arm="noNK",
    models=(*ALL_MODELS, "cycseq_pretrained_n2p", "cycseq_pretrained_p2n"),
    slow=SLOW,
)
REPLOGLE = Suite(
    name="replogle",
    title="CRISPR interference in K562 and RPE1: half of one line's knock-downs held out, all of the other line's seen",
    real="replogle",
    simulated="replogle_simulated",
    one_context=True,
    slow=SLOW,
    quick_size=Size(genes=500, perturbations=60, cells=120, controls=300),
)
SCIPLEX = Suite(
    name="sciplex",
    title="Compounds at four doses in three lines: the effect of a higher dose, from cells at the next lower one",
    real="sciplex3",
    simulated="sciplex_simulated",
    protocol="low_to_high_dose",
    directions=("n2p",),
    arm="24h",
    tests="paper",
    quick_size=Size(genes=500, perturbations=24, cells=150, controls=200),
)
TRIANGULAR = Suite(
    name="triangular",
    title="MED30 and TTK in K562: does a model predict the target, or copy its input?",
    real="replogle",
    simulated="triangular_simulated",
    tests="figure3",
    slow=SLOW,
    quick_size=Size(genes=500, perturbations=24, cells=100, controls=400),
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
    title="A very small simulated screen: shows that everything runs; too small to rank models",
    simulated="smoke_simulated",
    arm="noNK",
    slow=SLOW,
)
SUITES = {suite.name: suite for suite in (CROPSEQ, REPLOGLE, SCIPLEX, TRIANGULAR, GRID, KANG, SMOKE)}
PAPER = (CROPSEQ.name, REPLOGLE.name, SCIPLEX.name, TRIANGULAR.name)
"""What `--suite all` runs: the paper's four."""
ALL = "all"


def own_suite(name: str) -> Suite:
    """Make the suite of a user's own file: all its cells, the first protocol that they allow."""
    return Suite(name=f"own_{name}", title=f"{name}, a file of the user's own", protocol="")


def find_suite(name: str) -> Suite:
    """Look a suite up by name; raises `UnknownName`."""
    if name not in SUITES:
        raise UnknownName("suite", name, (*SUITES, ALL))
    return SUITES[name]


def suite_names(names: Sequence[str]) -> tuple[str, ...]:
    """Resolve `--suite`: one name, several, or "all"; raises `UnknownName`, and `BenchmarkError` for none."""
    names = PAPER if tuple(names) == (ALL,) else tuple(dict.fromkeys(names))
    if not names:
        raise BenchmarkError(f"--suite is empty; name a suite, several with commas between, or '{ALL}'.")
    return tuple(find_suite(name).name for name in names)
