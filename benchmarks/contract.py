"""The contract between the harness and a predictor: two methods, and what goes in and comes out of them.

A plugin is one file that ends in a frozen `Baseline` record; see `baselines/_template.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from benchmarks.errors import ContractError
from benchmarks.training_data import CONTROL as CONTROL
from benchmarks.training_data import LEVELS as LEVELS
from benchmarks.training_data import CellsInMemory, TrainingData
from benchmarks.training_data import Profiles as Profiles

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData
    from jaxtyping import Float, Int

Direction = Literal["n2p", "p2n"]
Ability = Literal["", "yes", "fallback", "ignored", "no"]
Unit = Literal["cell", "draw", "mean"]
Needs = Literal["profiles", "blocks", "cells"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


RESOURCES = ("memory_gb", "gpus", "hours")
"""What a model may ask of a cluster."""


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _require(what: str, *rules: tuple[object, str]) -> None:
    """Raise `ContractError` with the text of the first rule that does not hold."""
    for holds, text in rules:
        if not holds:
            raise ContractError(f"{what}.{text}.")


def _as_float32(values: Any) -> Any:
    """Return a dense array [profile, gene], or a CSR or CSC matrix with one entry a profile and gene."""
    if not hasattr(values, "tocsr"):
        return np.atleast_2d(np.asarray(values, dtype=np.float32))
    from scipy.sparse import csc_matrix, csr_matrix

    kind = csc_matrix if values.format == "csc" else csr_matrix
    found = kind(values, dtype=np.float32)
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    return found


def no_report(done: int, total: int, text: str = "") -> None:
    """Discard progress."""


@dataclass(frozen=True, init=False)
class Train:
    """All a predictor may learn from; what is not asked for is not read.

    No test cell, held-out condition or statistic of them is in it: the leakage audit has passed before `fit` sees it. It is
    read within `fit`. Plugins' own tests make it from an `AnnData`: `Train(cells, space, perturbation_type)`.
    """

    space: str
    """Expression space of all values: "log2_cp10k" (counts scaled to 10,000 per cell, log2(x + 1)), "log2_raw" (log2(count +
    1)), "log2_upstream" (normalised by the data set's authors, log2) or "zscore"."""
    perturbation_type: str
    """What was done to the cells: "CRISPR", "drug" or "cytokine"."""
    annotation: Mapping[str, frozenset[str]]
    """Gene → annotation terms (GO ids, or the simulator's modules); empty where the data set has none."""
    workdir: Path
    """An empty folder of this fit's own, for packages that insist on writing files; removed afterwards."""
    device: str
    """Torch device to train on."""
    report: Callable[[int, int, str], None]
    """Progress: call `report(done, total, text)` once an epoch."""
    data: TrainingData = field(repr=False)
    """Where the harness keeps the training cells."""

    def __init__(
        self,
        cells: AnnData | None = None,
        space: str = "",
        perturbation_type: str = "",
        annotation: Mapping[str, frozenset[str]] | None = None,
        workdir: Path = Path("."),
        device: str = "cpu",
        report: Callable[[int, int, str], None] = no_report,
        *,
        data: TrainingData | None = None,
    ) -> None:
        if cells is not None:
            data = CellsInMemory(cells)
        _require(
            "Train",
            (data, "cells is missing; expected an AnnData of training cells"),
            (space and perturbation_type, "space or perturbation_type is empty; expected a name"),
        )
        values = space, perturbation_type, annotation or {}, workdir, device, report, data
        for own, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, own.name, value)

    @property
    def genes(self) -> tuple[str, ...]:
        """Names of the genes, in the order of all columns."""
        return self.data.genes

    @property
    def profiles(self) -> Profiles:
        """Number, mean and variance of the cells of every training condition, controls included."""
        return self.data.profiles

    @property
    def controls(self) -> AnnData:
        """Training controls, at most 512 of each context: the same draw for every model of a fold. Fields as in `cells`."""
        return self.data.controls

    @property
    def obs(self) -> pd.DataFrame:
        """Labels of all training cells, as in `cells`; for a record with `needs="blocks"` or "cells"."""
        return self.data.obs

    def take(self, rows: Int[np.ndarray, "cell"]) -> sp.csr_matrix:
        """Read the values of some training cells [cell, gene], float32, by their rows in `obs` and in the order asked for.

        For a record with `needs="blocks"` or "cells".
        """
        return self.data.take(rows)

    @property
    def cells(self) -> AnnData:
        """All training cells, read on first use; for a record with `needs="cells"` only.

        X is a float32 CSR matrix [cell, gene] in `space`; obs has `perturbation` ("control", or gene or compound names;
        combinations sorted, "A+B"), `context`, `batch`, `dose`, `arm`, `control_group`, `is_control`.
        """
        return self.data.cells

    def batches(self, size: int, seed: int) -> Iterator[tuple[sp.csr_matrix, pd.DataFrame]]:
        """Read all training cells once, shuffled and at most `size` at a time.

        For a record with `needs="blocks"` or "cells".

        Yields values [cell, gene], float32, and labels as in `cells.obs`. The same seed gives the same order. Memory does not
        depend on the number of cells.
        """
        return self.data.batches(size, seed)


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

    Raises `ContractError` for empty values, more than two dimensions, NaN or infinite values, an unknown unit, or weights
    that are not one positive number a row.
    """

    values: Any
    """Predicted expression [profile, gene], float32: a dense array, or a SciPy sparse matrix, which is kept as CSR or CSC and is
    quicker to score. One mean profile may be an array [gene]."""
    unit: Unit
    """"cell": rows are single cells, every metric applies. "draw": rows are means of several cells. "mean": one mean
    profile. Metrics that need cells get status `needs_cells` for the last two."""
    note: str = ""
    """What a reader of the table should know, such as "no embedding: fell back to the mean effect"."""
    genes: tuple[str, ...] | None = None
    """Gene names of the columns, if the predictor keeps its own order; must equal the query's."""
    weights: Float[np.ndarray, "profile"] | None = None
    """Weight of each row in the mean profile, such as the number of cells in a draw; None weighs all alike."""

    def mean(self) -> Float[np.ndarray, "gene"]:
        """Mean profile over rows, weighted, accumulated in float64."""
        return self._mean

    @cached_property
    def _mean(self) -> Float[np.ndarray, "gene"]:
        if self.weights is None:
            x = self.values
            if not isinstance(x, np.ndarray):  # SciPy sums in a matrix's own type, whatever it is asked for
                if x.format == "csr":
                    return np.bincount(x.indices, x.data, x.shape[1]) / len(self)
                x = x.astype(np.float64)
            return np.asarray(x.sum(axis=0, dtype=np.float64)).ravel() / len(self)
        return np.average(self.dense().astype(np.float64), axis=0, weights=self.weights)

    def __len__(self) -> int:
        """Return the number of profiles."""
        return int(self.values.shape[0])

    def dense(self) -> Float[np.ndarray, "profile gene"]:
        """Return the values as a dense array."""
        return self.values.toarray() if hasattr(self.values, "toarray") else self.values

    def __post_init__(self) -> None:
        try:
            values = _as_float32(self.values)
        except (TypeError, ValueError) as error:
            raise ContractError(
                f"Prediction.values is a {type(self.values).__name__} that is no array of numbers ({error}); return a NumPy "
                "array or a SciPy sparse matrix [profile, gene]."
            ) from error
        weights = None if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        stored = values if isinstance(values, np.ndarray) else values.data
        n_rows, bad = values.shape[0], int((~np.isfinite(stored)).sum())
        weighted = weights is None or (weights.shape == (n_rows,) and (np.isfinite(weights) & (weights > 0)).all())
        _require(
            "Prediction",
            (self.unit in get_args(Unit), f"unit is {self.unit!r}; expected one of {', '.join(get_args(Unit))}"),
            (
                values.ndim == 2 and min(values.shape),
                f"values has shape {values.shape}; expected [profile, gene], not empty",
            ),
            (self.unit != "mean" or n_rows == 1, f"values has {n_rows} rows with unit 'mean'; expected one"),
            (
                not bad,
                f"values has {bad} NaN or infinite values of {stored.size}; return finite ones, or raise Unsupported",
            ),
            (weighted, f"weights do not fit; expected one positive number for each of {n_rows} rows"),
        )
        object.__setattr__(self, "values", values)
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
    `Unsupported`; "", not stated. Any other word raises `ContractError`. `benchmarks.check` holds the predictor to what is
    stated.
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
        known = ", ".join(filter(None, get_args(Ability)))
        rules = (
            (word in get_args(Ability), f"{name} is {word!r}; expected one of {known}")
            for name, word in vars(self).items()
        )
        _require("Can", *rules)

    def __str__(self) -> str:
        """What is stated, such as "unseen perturbation: no, dose: ignored"."""
        stated = [f"{name.replace('_', ' ')}: {word}" for name, word in vars(self).items() if word]
        return ", ".join(stated) or "abilities not stated"


@dataclass(frozen=True)
class Baseline:
    """A predictor's entry in the registry: how to build it and what is known of it before it runs."""

    name: str
    """Name on the leaderboard; the file's name, or the file's name and a suffix."""
    build: Callable[..., Predictor]
    """Makes a `Predictor`; its keyword arguments are the settings that presets and `--set` change."""
    directions: tuple[Direction, ...]
    """Directions the model can take; for the others it gets a row with status `unsupported`."""
    summary: str
    """One sentence: what it does."""
    source: str
    """Paper or package: "doi:…" or a URL."""
    needs: Needs = "cells"
    """What `fit` reads: "profiles" (`train.profiles`, `train.controls`); "blocks" (`train.obs`, `train.take`,
    `train.batches` too), single cells, but never all of them at once; or "cells" (`train.cells` too), whose memory grows with
    the screen, so that `--memory` may rule the model out. Reading what was not asked for raises `ContractError`."""
    limits: str = ""
    """One sentence: what it cannot take."""
    licence: str = ""
    """Licence of the wrapped package, where it is not this project's own."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of every preset; for a record that differs from another of the same `build` and `training` by these."""
    quick: Mapping[str, object] = field(default_factory=dict)
    """Settings of `--preset quick`."""
    full_training: Mapping[str, float] = field(default_factory=dict)
    """The authors' own training length, setting → value. A run below any of them carries `budget=quick`."""
    training: str = ""
    """Models with the same word here share one seed and, with the same settings, one training; default: the name."""
    can: Can = field(default_factory=Can)
    """What it answers beyond the conditions it was trained on."""
    extra: str = ""
    """Name of the extra in pyproject.toml that installs what it imports; a run without it says how to install it."""
    isolated: bool = False
    """Whether it runs in an environment of its own, because its packages cannot live beside the others."""
    requirements: tuple[str, ...] = ()
    """Packages of that environment, each pinned as "name==version"."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What one training needs of a cluster, beyond what a short one takes anywhere: some of `RESOURCES`. "gpus" counts where
    the run is on a GPU. A model that states no hours may share a job with others."""

    def __post_init__(self) -> None:
        pinned = all("==" in requirement for requirement in self.requirements)
        known = self.directions and set(self.directions) <= set(DIRECTIONS)
        _require(
            f"Baseline '{self.name}'",
            (self.name.isidentifier(), "name has more than letters, digits and underscores"),
            (known, f"directions is {self.directions}; expected some of {DIRECTIONS}"),
            (self.needs in get_args(Needs), f"needs is {self.needs!r}; expected one of {', '.join(get_args(Needs))}"),
            (callable(self.build), f"build is {self.build!r}; expected a class or function"),
            (
                pinned and (self.isolated or not self.requirements),
                "requirements has to be pinned ones, of an isolated model only",
            ),
            (
                set(self.resources) <= set(RESOURCES) and all(_is_positive(n) for n in self.resources.values()),
                f"resources is {dict(self.resources)}; expected positive numbers for some of {', '.join(RESOURCES)}",
            ),
        )
        object.__setattr__(self, "training", self.training or self.name)
