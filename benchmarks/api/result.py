"""What a run or a scoring of predictions found: tidy tables, comparisons and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.api.arguments import in_python
from benchmarks.data.store.atomic_files import atomic, write_json
from benchmarks.data.store.folder_digests import write_sums
from benchmarks.errors import BenchmarkError, StoreError, UnknownName
from benchmarks.execution.manifest import read_manifest
from benchmarks.scoring.result_folder import write_results
from reports.formatting import decimals, mean_or_status, number, visible
from reports.stats.condition_values import score_matrices
from reports.stats.paired_comparison import compare_pair
from reports.stats.run_statistics import RunStatistics, analyse
from reports.tables import PLANTED_COLUMNS, ReportError, Tables, check_tables, load, read_table
from reports.task_labels import (
    Task,
    describe_trouble,
    fit_costs,
    headline,
    lead_metric,
    ordered_models,
    tasks,
    why_uninformative,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BELOW_LABEL, _TITLE = 52, 10
"""Points from the axes to the legend, beneath a label of two lines; size of the title's letters."""
_SHOWN = ("ceiling", "split_half")
"""References that a notebook shows."""
N_BOOT = 2000
"""Draws of the bootstrap of a report."""
_FACTS = (
    *("dose", "start_dose", "n_truth_cells", "n_input_cells", "n_reference_cells", "n_significant_genes"),
    *("mmd_bandwidth", "fold"),
)
"""Columns of numbers of conditions.csv."""


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Scores of models or of predictions, and what follows from them.

    Made by `evaluate`, `run` and `load_run`. In a notebook it shows the leaderboard.

    Parameters
    ----------
    tables
        Name → table of a results folder, as docs/run-folder.md lists them; those that are computed from others are not among
        them.
    texts
        Notes as `notes.json` has them.
    manifest
        What was asked, of which data, and by which versions.

    Examples
    --------
    >>> import benchmarks as cb
    >>> truth, predicted = cb.toy_screen(seed=0), cb.toy_screen(seed=1)
    >>> predicted = predicted[predicted.obs["perturbation"] != "control"]
    >>> result = cb.evaluate({"mine": predicted}, truth, context_key="context", source="simulated", calibrate=False)
    >>> result
    <Result: 2 models, 8 conditions, SIMULATED data; best in pearson_delta: mine>
    >>> best = result.leaderboard.query("metric == 'pearson_delta' and level == 'suite' and rank == 1")
    >>> best["model"].item()
    'mine'
    """

    tables: Mapping[str, pd.DataFrame]
    texts: tuple[str, ...]
    manifest: Mapping[str, Any]

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know: what was left out, renamed or assumed."""
        return [in_python(text) for text in self.texts]

    @property
    def scores(self) -> pd.DataFrame:
        """A row for each condition × metric × model × seed: `value`, `status`, and the `reason` where it is not "ok"."""
        return self.tables["scores"]

    @property
    def conditions(self) -> pd.DataFrame:
        """A row for each test condition: its numbers of cells and of changed genes."""
        return self.tables["conditions"]

    @property
    def planted(self) -> pd.DataFrame:
        """Scores of planted predictors of known quality; no row without calibration."""
        return self.tables.get("planted", pd.DataFrame(columns=list(PLANTED_COLUMNS)))

    @property
    def metrics(self) -> pd.DataFrame:
        """A row for each metric, as `benchmarks.metrics` lists them."""
        return self.tables["metrics"]

    @property
    def leaderboard(self) -> pd.DataFrame:
        """A row for each model, metric and level ("suite", or "context"): mean, 95 % interval, scaled value, rank."""
        return self.statistics.leaderboard

    @cached_property
    def statistics(self) -> RunStatistics:
        """All tables that are computed from the scores: `leaderboard`, `comparison` with the baselines, `quality` of the metrics,
        `friedman`, `wins`, `sensitivity`."""
        return analyse(self._checked, n_boot=N_BOOT, seed=0)

    @cached_property
    def _checked(self) -> Tables:
        more = {name: self.tables.get(name) for name in ("planted", "models")}
        try:
            return check_tables(self.scores, self.metrics, self.tables["costs"], **more, notes=self.texts)
        except ReportError as error:
            raise StoreError(str(error)) from error

    @cached_property
    def _tasks(self) -> list[tuple[Task, pd.DataFrame]]:
        return list(tasks(self.leaderboard))

    def compare(self, model: str, other: str, *, n_boot: int = N_BOOT, seed: int = 0) -> pd.DataFrame:
        """Compare two models over the same conditions, metric by metric.

        Parameters
        ----------
        model, other
            Names of ranked models.
        n_boot, seed
            Draws and seed of the bootstrap.

        Returns
        -------
        DataFrame
            A row for each direction and scored metric for which both have a value. `gain` is how much better `model` is than
            `other`, in the metric's unit, with `low` and `high`, the ends of its 95 % interval (paired hierarchical bootstrap
            over contexts and conditions). `p_wilcoxon` is of the signed-rank test over `n_conditions`; it is not corrected for
            the number of metrics.

        Raises
        ------
        UnknownName
            A model that is not in the result.
        BenchmarkError
            Two models without a metric for which both are ranked.

        Examples
        --------
        >>> import benchmarks as cb
        >>> truth, predicted = cb.toy_screen(seed=0), cb.toy_screen(seed=1)
        >>> predicted = predicted[predicted.obs["perturbation"] != "control"]
        >>> result = cb.evaluate({"mine": predicted}, truth, context_key="context", calibrate=False)
        >>> gain = result.compare("mine", "no_change").set_index("metric").loc["pearson_delta"]
        >>> bool(gain["low"] > 0.5)
        True
        """
        known = self.scores.loc[self.scores["kind"] == "model", "model"].unique()
        for name in (model, other):
            if name not in known:
                raise UnknownName("model of this result", name, known)
        matrices = score_matrices(self.statistics.settled, self.metrics)
        found = compare_pair(matrices, model, other, n_boot=n_boot, seed=seed)
        if found.empty:
            reasons = self.scores[self.scores["model"].isin([model, other]) & (self.scores["reason"] != "")]["reason"]
            first = f", such as: {reasons.iloc[0]}" if len(reasons) else ""
            raise BenchmarkError(f"No metric has a ranked value of both {model} and {other}; `scores` says why{first}.")
        return found

    def plot_ranking(self, metric: str | None = None, *, direction: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot the mean and the 95 % interval of each model, best first, with the references.

        Parameters
        ----------
        metric
            Name of the metric; None: the headline, pearson_delta.
        direction
            "n2p" or "p2n"; None: the first that there is.
        ax
            Axes to draw into; None: those of a new figure of pyplot.

        Returns
        -------
        Axes
            With a title that says the data, whether they are simulated, and which models were trained for a quick look.

        Raises
        ------
        UnknownName
            A metric or a direction that is not in the result.

        Examples
        --------
        >>> import benchmarks as cb
        >>> truth, predicted = cb.toy_screen(seed=0), cb.toy_screen(seed=1)
        >>> predicted = predicted[predicted.obs["perturbation"] != "control"]
        >>> result = cb.evaluate({"mine": predicted}, truth, context_key="context", calibrate=False)
        >>> ax = result.plot_ranking("pearson_delta")
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['mine', 'no_change']
        """
        from matplotlib.transforms import ScaledTranslation  # slow to import, as the figures are

        from reports.figures import leaderboard_figures, style

        task, board, metric = self._choose(metric, direction)
        board = board.assign(low=board["low"].fillna(board["mean"]), high=board["high"].fillna(board["mean"]))
        models = board.loc[board["kind"] == "model", "model"].unique()
        with _axes(ax, 2.6 + 0.34 * len(models)) as axes:
            leaderboard_figures.ranking_panel(axes, board, metric, style.looks_of(board))
            blunt = " (uninformative here)" if why_uninformative(board, metric) else ""
            _finish(axes, f"Ranking by {metric}{blunt}: mean over contexts, 95 % interval", task, board)
            below = axes.transAxes + ScaledTranslation(0, -_BELOW_LABEL / 72, axes.figure.dpi_scale_trans)
            axes.legend(loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, borderaxespad=0, fontsize=8)
        return axes

    def plot_contexts(self, metric: str | None = None, *, direction: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot a metric as a heat map, model × context; parameters, return value and errors are those of `plot_ranking`."""
        from reports.figures import leaderboard_figures  # slow to import

        task, board, metric = self._choose(metric, direction)
        models = board.loc[board["kind"] == "model", "model"].unique()
        with _axes(ax, 1.9 + 0.36 * len(models)) as axes:
            leaderboard_figures.contexts_panel(axes, board, metric)
            _finish(axes, f"{metric} per context; n/a: no value; †: failures, scored as no_change", task, board)
        return axes

    def plot_time(self, metric: str | None = None, *, direction: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot a metric against the time to fit; parameters, return value and errors are those of `plot_ranking`.

        Raises `BenchmarkError` where no time is known, as of predictions from outside.
        """
        from reports.figures import leaderboard_figures, style  # slow to import

        task, board, metric = self._choose(metric, direction)
        costs = fit_costs(self._checked.costs, task)
        if costs.empty:
            raise BenchmarkError("No time is known: these models were not trained here. `run` measures it.")
        board = board.assign(low=board["low"].fillna(board["mean"]), high=board["high"].fillna(board["mean"]))
        with _axes(ax, 4.6) as axes:
            models = leaderboard_figures.time_panel(axes, board, metric, costs, style.looks_of(board))
            _finish(axes, f"Time against {metric}: bars are 95 % intervals", task, board)
            axes.legend(loc="lower right", fontsize=8)
            leaderboard_figures.name_points(axes, models)
        return axes

    def save(self, folder: str | Path, *, figures: bool = True) -> Path:
        """Write a results folder: tables, `notes.json`, `manifest.json`, the leaderboard's page, and figures.

        They are the files that `cycseq-bench score` writes, and `load_run` reads them. Of a run, trained models and predictions
        are not among them; `run(..., folder=...)` keeps these.

        Parameters
        ----------
        folder
            A folder that does not exist yet, or is empty.
        figures
            Whether to draw figures, which takes most of the time.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        StoreError
            A folder that holds something, or that cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StoreError(f"{folder} is there already and not empty; expected a new folder. Choose another name.")
        write_json(folder / "manifest.json", dict(self.manifest))
        write_results(folder, dict(self.tables), self.texts, figures=figures)
        write_sums(folder)
        return folder

    def to_html(self, path: str | Path) -> Path:
        """Write the page that a run and `cycseq-bench score` write as `report.html`: one file, which opens without a network.

        Parameters
        ----------
        path
            Name of the file; one of that name is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        StoreError
            A file that cannot be written.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import benchmarks as cb
        >>> truth, predicted = cb.toy_screen(seed=0), cb.toy_screen(seed=1)
        >>> predicted = predicted[predicted.obs["perturbation"] != "control"]
        >>> result = cb.evaluate(predicted, truth, context_key="context", source="simulated", calibrate=False)
        >>> with TemporaryDirectory() as folder:
        ...     page = result.to_html(Path(folder) / "mine.html").read_text()
        >>> "SIMULATED" in page
        True
        """
        path = Path(path)
        with TemporaryDirectory() as temporary, atomic(path) as file:
            file.write((self.save(Path(temporary) / path.stem, figures=False) / "report.html").read_bytes())
        return path

    def __repr__(self) -> str:
        """Say how much there is, of which data, and which model is best."""
        models = self.scores.loc[self.scores["kind"] == "model", "model"].nunique()
        conditions = len(self.scores[["context", "perturbation", "dose"]].drop_duplicates())
        words = [f"{models} models", f"{conditions} conditions", *self._warnings]
        best = []
        for task, board in self._tasks:
            lead = lead_metric(board)
            first = ordered_models(board, lead).query("rank == 1")["model"]
            way = f" ({task.direction})" if len(self._tasks) > 1 else ""
            best.append(f"best in {lead}{way}: {', '.join(first) or 'not ranked'}")
        return f"<Result: {'; '.join([', '.join(words), *best])}>"

    def _repr_html_(self) -> str:
        """Write the leaderboard as HTML: a table for each direction, with what must stand beside its numbers."""
        return "".join(_html(task, board) for task, board in self._tasks)

    @property
    def _warnings(self) -> list[str]:
        return sorted({warning for task, _ in self._tasks for warning in task.warnings})

    def _choose(self, metric: str | None, direction: str | None) -> tuple[Task, pd.DataFrame, str]:
        """Find the task of a direction, its part of the leaderboard, and the metric that is meant."""
        found = {task.direction: (task, board) for task, board in reversed(self._tasks)}
        if direction is not None and direction not in found:
            raise UnknownName("direction of this result", direction, found)
        task, board = found[direction] if direction else self._tasks[0]
        if metric is not None and metric not in set(board["metric"]):
            raise UnknownName("metric of this result", metric, board["metric"].unique())
        return task, board, metric or lead_metric(board)


def load_run(folder: str | Path) -> Result:
    """Read the folder of a run or of scored predictions.

    Parameters
    ----------
    folder
        A folder that `cycseq-bench run`, `cycseq-bench score` or `Result.save` wrote. Nothing in it is executed or changed.

    Returns
    -------
    Result
        Its tables; statistics are computed from them again.

    Raises
    ------
    StoreError
        A folder without tables, or with tables that cannot be used.
    """
    folder = Path(folder)
    try:
        found = load(folder)
        tables = {name: getattr(found, name) for name in ("scores", "metrics", "costs", "planted", "models")}
        numbers = {"conditions": _FACTS, "controls": ()}
        paths = {name: folder / f"{name}.csv" for name in numbers}
        tables |= {name: read_table(path, numbers[name]) for name, path in paths.items() if path.is_file()}
    except ReportError as error:
        raise StoreError(str(error)) from error
    plain = {name: _without_categories(table) for name, table in tables.items() if len(table) or name == "costs"}
    return Result(plain, found.notes, read_manifest(folder))


def _without_categories(table: pd.DataFrame) -> pd.DataFrame:
    kinds = {name: object for name, kind in table.dtypes.items() if isinstance(kind, pd.CategoricalDtype)}
    return table.astype(kinds)


@contextmanager
def _axes(ax: Axes | None, height: float) -> Iterator[Axes]:
    """Yield the axes that are given, or those of a new figure, `height` inches high, while the style of figures is set."""
    from reports.figures import style  # slow to import

    if ax is None:
        import matplotlib.pyplot as plt  # notebooks show its figures only

        # Load the backend before the settings below: a notebook's backend changes settings, and these must stay changed.
        plt.draw_if_interactive()
    with style.settings():
        if ax is None:
            _, ax = plt.subplots(figsize=(style.WIDTH, height), layout="constrained")
        yield ax


def _finish(axes: Axes, what: str, task: Task, board: pd.DataFrame) -> None:
    """Write the title: what is shown, of which task, and what must stand beside every number."""
    quick = board.loc[(board["budget"] == "quick") & board["mean"].notna(), "model"].unique()
    marks = [*task.warnings, *([f"QUICK training: {', '.join(quick)}"] if len(quick) else [])]
    lines = map(visible, filter(None, (what, task.title, " · ".join(marks))))
    width = max(20, int(72 * axes.bbox.width / axes.figure.dpi / (0.55 * _TITLE)))
    axes.set_title("\n".join(part for line in lines for part in wrap(line, width)), loc="left", fontsize=_TITLE)


def _html(task: Task, board: pd.DataFrame) -> str:
    """Write the headline of a task as a small table."""
    lead = lead_metric(board)
    rows = ordered_models(board, lead)
    rows = rows[(rows["kind"] == "model") | rows["model"].isin(_SHOWN)]
    places = decimals(rows.loc[rows["kind"] == "model", "mean"])
    lines = []
    for _, row in rows.iterrows():
        marks = [row["budget"]] if row["budget"] == "quick" else []
        marks += ["reference"] if row["kind"] == "reference" else []
        cells = {"rank": f"{row['rank']:.0f}" if row["rank"] > 0 else "–", "model": row["model"]}
        cells |= {f"{headline(board)} [95 % interval]": mean_or_status(row, places), "scaled": number(row["scaled"], 2)}
        lines.append(cells | {"": ", ".join([*marks, *filter(None, [describe_trouble(row)])])})
    table = pd.DataFrame(lines).map(lambda cell: visible(str(cell)))
    title = " · ".join(filter(None, (visible(task.title), *task.warnings)))
    why = why_uninformative(board, lead)
    note = f"<p>No ranks: {escape(visible(why))}</p>" if why else ""
    return f"<p><b>{escape(title)}</b></p>{table.to_html(index=False, border=0, escape=True)}{note}"
