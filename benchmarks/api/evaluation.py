"""Scores of predictions that are there already, whatever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from anndata import AnnData

from benchmarks.api.arguments import errors_in_python, several
from benchmarks.api.result import Result
from benchmarks.contract import DIRECTIONS
from benchmarks.data.readers.elements import InMemory
from benchmarks.data.readers.h5ad import INDEX, Keys
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import SOURCE_SPACES
from benchmarks.errors import choice
from benchmarks.execution.machine import usable_cores
from benchmarks.scoring.external.score_files import GENES, SOURCES, STARTS, ScoringRequest, score_files

Cells: TypeAlias = AnnData | str | Path
"""Cells in memory, or the path of an h5ad file."""


def evaluate(
    prediction: Cells | Mapping[str, Cells],
    truth: Cells,
    train: Cells | None = None,
    *,
    perturbation_key: str = "perturbation",
    context_key: str = "",
    dose_key: str = "",
    dose_unit: str = "nM",
    control: str | Sequence[str] = (),
    gene_key: str = "",
    layer: str = "X",
    separator: str = "+",
    space: str = "auto",
    direction: str = "n2p",
    genes: str = "all",
    start: str = "",
    source: str = "real",
    calibrate: bool = True,
    seed: int = 0,
    threads: int | None = None,
) -> Result:
    """Score predictions against true cells, as `cycseq-bench score` does: the same cells have the same values.

    No file is written, and no AnnData is changed. docs/scoring-files.md says what the cells must contain, and which controls a
    model may have seen.

    Parameters
    ----------
    prediction
        Predicted cells [cell, gene], or one mean profile a condition; or name → such predictions, to compare several. One
        that has no name is called "prediction", or as its file.
    truth
        True cells, at least 4 a condition, and controls, at least 4 a context.
    train
        The training cells. Without them there is no mean effect (`train_mean`), and metrics that need it are "unsupported".
    perturbation_key, context_key, dose_key
        Columns of `obs` in all of them. Without `context_key` all cells are of one context, without `dose_key` there are no
        doses.
    dose_unit
        Unit of doses that name none.
    control
        Label of controls, or a pattern such as "NT*", or several; empty: the usual ones.
    gene_key
        Column of `var` with the genes' symbols; empty: its index.
    layer
        The matrix to read: "X", "raw", or a name in `layers`.
    separator
        What joins the parts of a combination.
    space
        What the matrices hold: "counts", "ln", "log2" or "zscore"; "auto" finds it from the values.
    direction
        "n2p": perturbed cells are predicted; "p2n": controls are.
    genes
        "all": predictions have every gene of the truth; "shared": scores are on the genes that all have.
    start
        Controls from which a predicted change is measured: those of the "truth" or of the "prediction"; empty: the truth's, and
        other ones in a prediction are refused.
    source
        "real" or "simulated" cells; simulated ones are named so wherever their scores are shown.
    calibrate
        Whether references and planted predictors are scored too, which takes most of the time.
    seed
        Seed of every random choice, such as which controls are input and which are reference.
    threads
        Conditions that are scored at a time; None: all cores that this process may use.

    Returns
    -------
    Result
        `scores`, `leaderboard`, comparisons and plots. A condition without a usable prediction is a row with status "failed" and
        the reason.

    Raises
    ------
    DataError
        Cells that cannot be read or compared; the message says what was found, what is expected, and which parameter helps.
    BenchmarkError
        A parameter with a value that it does not take.

    See Also
    --------
    run : Train and score models.

    Examples
    --------
    The cells of another seed are a nearly perfect prediction of the made-up screen:

    >>> import benchmarks as cb
    >>> truth, predicted = cb.toy_screen(seed=0), cb.toy_screen(seed=1)
    >>> predicted = predicted[predicted.obs["perturbation"] != "control"]
    >>> result = cb.evaluate(predicted, truth, context_key="context", source="simulated", calibrate=False)
    >>> change = result.scores.query("metric == 'pearson_delta'")
    >>> change.groupby("model")["value"].mean().round(1).to_dict()
    {'no_change': 0.0, 'prediction': 0.8}
    """
    with errors_in_python():
        named = prediction if isinstance(prediction, Mapping) else {_name(prediction): prediction}
        request = ScoringRequest(
            predictions=tuple(_cells(cells, str(name)) for name, cells in named.items()),
            names=tuple(map(str, named)),
            truth=_cells(truth, "truth"),
            train=None if train is None else _cells(train, "train"),
            keys=Keys(
                perturbation_key,
                context_key,
                dose=dose_key,
                dose_unit=dose_unit,
                genes=gene_key or INDEX,
                labelling=Labelling(separator, several(control)),
                layer=layer,
            ),
            space=None if space == "auto" else choice("--space", space, ("auto", *SOURCE_SPACES)),
            direction=choice("--direction", direction, DIRECTIONS),
            genes=choice("--genes", genes, GENES),
            start=choice("--start", start, STARTS),
            source=choice("--source", source, SOURCES),
            calibrate=calibrate,
            seed=seed,
            threads=threads or usable_cores(),
        )
        scored = score_files(request)
    return Result(scored.tables, scored.notes, scored.manifest)


def _name(prediction: Cells) -> str:
    return Path(prediction).stem if isinstance(prediction, str | Path) else "prediction"


def _cells(given: Cells, name: str) -> Path | InMemory:
    return Path(given) if isinstance(given, str | Path) else InMemory(given, name)
