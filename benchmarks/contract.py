"""The contract between the harness and a predictor: two methods, and what goes in and comes out of them.

A plugin is one file that ends in a frozen `Baseline` record; see `baselines/_template.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from benchmarks.errors import ContractError

if TYPE_CHECKING:
    from anndata import AnnData
    from jaxtyping import Float

Direction = Literal["n2p", "p2n"]
Ability = Literal["", "yes", "fallback", "ignored", "no"]
Unit = Literal["cell", "draw", "mean"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
CONTROL = "control"
"""Label of unperturbed cells in `obs["perturbation"]`, in every data set."""


def no_report(done: int, total: int, text: str = "") -> None:
    """Discard progress."""


@dataclass(frozen=True)
class Train:
    """All a predictor may learn from.

    No test cell, held-out condition or statistic of them is in it: the leakage audit has passed before `fit` sees it.
    """

    cells: AnnData
    """Training cells. X is a float32 CSR matrix [cell, gene] in `space`; obs has `perturbation` ("control", or gene or
    compound names; combinations sorted, "A+B"), `context`, `batch`, `dose`, `arm`, `control_group`, `is_control`."""
    space: str
    """Expression space of X: "log2_cp10k" (counts scaled to 10,000 per cell, log2(x + 1)), "log2_raw" (log2(count + 1)),
    "log2_upstream" (normalised by the data set's authors, log2) or "zscore"."""
    perturbation_type: str
    """What was done to the cells: "CRISPR", "drug" or "cytokine"."""
    annotation: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Gene → annotation terms (GO ids, or the simulator's modules); empty where the data set has none."""
    workdir: Path = Path(".")
    """An empty folder of this fit's own, for packages that insist on writing files; removed afterwards."""
    device: str = "cpu"
    """Torch device to train on."""
    report: Callable[[int, int, str], None] = no_report
    """Progress: call `report(done, total, text)` once an epoch."""


@dataclass(frozen=True)
class Query:
    """One question, without its answer: what would these cells look like in the other state?"""

    context: str
    perturbation: str
    direction: Direction
    """"n2p": `cells` are controls, predict them perturbed. "p2n": `cells` are perturbed, predict them as controls."""
    cells: AnnData
    """Input cells [cell, gene] in the same space, genes and order as the training cells; never the truth."""
    seed: int
    """Seed for whatever is random in the prediction."""
    dose: float | None = None
    """Dose that is asked for, in nM; None for controls and for perturbations without doses."""
    start_dose: float | None = None
    """Dose of the input cells, in nM; None for controls and for perturbations without doses. With both doses, `cells` had
    the same compound at a lower dose."""


@dataclass(frozen=True)
class Prediction:
    """What a predictor answers: profiles in the space of the query's cells.

    Parameters
    ----------
    values
        Predicted expression [profile, gene], or one mean profile [gene].
    unit
        "cell": rows are single cells, every metric applies. "draw": rows are means of several cells. "mean": one mean
        profile. Metrics that need cells get status `needs_cells` for the last two.
    note
        What a reader of the table should know, such as "no embedding: fell back to the mean effect".
    genes
        Gene names of the columns, if the predictor keeps its own order; must equal the query's.
    weights
        Weight of each row in the mean profile, such as the number of cells in a draw; None weighs all alike.

    Raises
    ------
    ContractError
        Empty values, more than two dimensions, NaN or infinite values, an unknown unit, or weights that are not one
        positive number a row.
    """

    values: Float[np.ndarray, "profile gene"]
    unit: Unit
    note: str = ""
    genes: tuple[str, ...] | None = None
    weights: Float[np.ndarray, "profile"] | None = None

    def mean(self) -> Float[np.ndarray, "gene"]:
        """Mean profile over rows, weighted, accumulated in float64."""
        if self.weights is None:
            return self.values.mean(axis=0, dtype=np.float64)  # without a copy in float64
        return np.average(self.values.astype(np.float64), axis=0, weights=self.weights)

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ContractError(f"Prediction.unit is {self.unit!r}; expected one of {', '.join(get_args(Unit))}.")
        try:
            values = np.atleast_2d(np.asarray(self.values, dtype=np.float32))
        except (TypeError, ValueError) as error:
            raise ContractError(
                f"Prediction.values is a {type(self.values).__name__} that is no array of numbers "
                f"({error}); return a dense NumPy array [profile, gene]."
            ) from error
        if values.ndim != 2 or values.size == 0:
            raise ContractError(f"Prediction.values has shape {values.shape}; expected [profile, gene], not empty.")
        if self.unit == "mean" and len(values) != 1:
            raise ContractError(
                f"Prediction.values has {len(values)} rows with unit 'mean'; expected one mean profile."
            )
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise ContractError(
                f"Prediction.values has {bad} NaN or infinite values of {values.size}; return finite "
                "numbers, or raise Unsupported with the reason."
            )
        object.__setattr__(self, "values", values)
        if self.weights is not None:
            weights = np.asarray(self.weights, dtype=np.float64)
            if weights.shape != (len(values),) or not (np.isfinite(weights) & (weights > 0)).all():
                raise ContractError(
                    f"Prediction.weights has shape {weights.shape} for {len(values)} rows; expected one "
                    "positive number a row."
                )
            object.__setattr__(self, "weights", weights)


@runtime_checkable
class Predictor(Protocol):
    """The two methods of a model."""

    def fit(self, train: Train, *, seed: int) -> None:
        """Learn from the training cells; raise `Unsupported` if this task is not for this model."""

    def predict(self, query: Query) -> Prediction:
        """Answer one query; raise `Unsupported` if this condition is not for this model."""


@runtime_checkable
class Persistent(Protocol):
    """Optional: a predictor that can be put on disk, so that `--resume` and other rows need no second training."""

    def save(self, folder: Path) -> None:
        """Write everything `predict` needs into `folder`, which exists and is empty."""

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""


@dataclass(frozen=True)
class Can:
    """What a predictor answers where its training cells end, on data of the kind it is made for.

    Each is one of: "yes", it has an answer of its own; "fallback", it answers with something more general (the mean
    effect, say) and the prediction's note says so; "ignored", its answer does not depend on it; "no", it raises
    `Unsupported`; "", not stated. `benchmarks.check` holds the predictor to what is stated.

    Raises
    ------
    ContractError
        Another word.
    """

    unseen_perturbation: Ability = ""
    """A perturbation without a training cell, in a context with training perturbations."""
    unseen_context: Ability = ""
    """A perturbation that was trained on elsewhere, in a context whose training cells are all controls."""
    combination: Ability = ""
    """Two perturbations together that were trained on one by one only."""
    dose: Ability = ""
    """The next higher dose of a drug that has training cells at lower doses only, and other drugs at that one, too."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            given = getattr(self, entry.name)
            if given not in get_args(Ability):
                known = ", ".join(filter(None, get_args(Ability)))
                raise ContractError(f"Can.{entry.name} is {given!r}; expected one of {known}, or '' for not stated.")

    def __str__(self) -> str:
        """What is stated, such as "unseen perturbation: no, dose: ignored"."""
        stated = ((entry.name.replace("_", " "), getattr(self, entry.name)) for entry in fields(self))
        return ", ".join(f"{name}: {word}" for name, word in stated if word) or "abilities not stated"


@dataclass(frozen=True)
class Baseline:
    """A predictor's entry in the registry: how to build it and what is known of it before it runs.

    Parameters
    ----------
    name
        Name on the leaderboard; the file's name, or the file's name and a suffix.
    build
        Callable that makes a `Predictor`; its keyword arguments are the settings that presets and `--set` change.
    directions
        Directions the model can take; for the others it gets a row with status `unsupported`.
    summary
        One sentence: what it does.
    source
        Paper or package: "doi:…" or a URL.
    limits
        One sentence: what it cannot take.
    licence
        Licence of the wrapped package, where it is not this project's own.
    settings
        Settings of every preset; for a record that differs from another of the same `build` and `training` by these.
    quick
        Settings of `--preset quick`.
    full_training
        The authors' own training length, setting → value. A run below any of them carries `budget=quick`.
    training
        Models with the same word here share one seed and, with the same settings, one training; default: the name.
    can
        What it answers beyond the conditions it was trained on.
    extra
        Name of the extra in pyproject.toml that installs what it imports; a run without it says how to install it.
    """

    name: str
    build: Callable[..., Predictor]
    directions: tuple[Direction, ...]
    summary: str
    source: str
    limits: str = ""
    licence: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    quick: Mapping[str, object] = field(default_factory=dict)
    full_training: Mapping[str, float] = field(default_factory=dict)
    training: str = ""
    can: Can = field(default_factory=Can)
    extra: str = ""
    isolated: bool = False
    requirements: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ContractError(f"Baseline.name is {self.name!r}; expected letters, digits and underscores.")
        unknown = [d for d in self.directions if d not in DIRECTIONS]
        if unknown or not self.directions:
            raise ContractError(
                f"Baseline '{self.name}' has directions {self.directions}; expected some of {DIRECTIONS}."
            )
        if not callable(self.build):
            raise ContractError(f"Baseline '{self.name}' has build={self.build!r}; expected a class or function.")
        loose = [r for r in self.requirements if "==" not in r]
        if loose or (self.requirements and not self.isolated):
            raise ContractError(
                f"Baseline '{self.name}' has requirements {self.requirements} and isolated={self.isolated}; expected "
                "requirements of an isolated model only, each pinned as 'name==version'."
            )
        object.__setattr__(self, "training", self.training or self.name)
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
        object.__setattr__(self, "quick", MappingProxyType(dict(self.quick)))
        object.__setattr__(self, "full_training", MappingProxyType(dict(self.full_training)))
