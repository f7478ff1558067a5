"""The names that a run knows: suites, sets of perturbations, models, protocols, data sets and metrics, as rows and as tables.

`run --list` prints the same rows. Nothing here imports pandas before a table is asked for, so that a list comes at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import registry
from benchmarks.data import cards
from benchmarks.scoring.metrics.all_metrics import metric_rows
from benchmarks.tasks.protocol import list_protocols
from benchmarks.tasks.suites import SUITES

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


def models(plugins: Sequence[str | Path] = ()) -> pd.DataFrame:
    """List the models that a run may name.

    Parameters
    ----------
    plugins
        Plugin files of your own, listed among the others.

    Returns
    -------
    DataFrame
        A row for each model: `model`, `directions`, what it can do beyond its training cells (`unseen_perturbation`,
        `unseen_context`, `combination`, `dose`: "yes", "fallback", "ignored", "no", or "" where it is not stated), what it
        `needs` in memory, `summary`, `limits`, `source`, `licence`, and the `extra` that installs its packages.

    Raises
    ------
    PluginError
        A plugin file that does not exist or holds no model.

    Examples
    --------
    >>> import benchmarks as cb
    >>> cb.models().set_index("model").loc["no_change", "directions"]
    'n2p p2n'
    """
    return _table(model_rows([Path(path) for path in plugins]))


def suites() -> pd.DataFrame:
    """List the suites.

    Returns
    -------
    DataFrame
        A row for each suite: `suite`, `title`, the data sets of `real` and `simulated` cells ("" for none), `protocol`,
        `directions`, and the `models` of a run that names none; the last two are joined by blanks.

    Examples
    --------
    >>> import benchmarks as cb
    >>> "cropseq" in set(cb.suites()["suite"])
    True
    """
    return _table(suite_rows())


def metrics() -> pd.DataFrame:
    """List the metrics, in the order of every report.

    Returns
    -------
    DataFrame
        A row for each metric: `metric`, `family`, the `best` value (NaN where it only describes), whether
        `higher_is_better`, whether it is `scored` or only reported, the status of conditions for which it is `undefined`,
        `summary`, and `source` of the definition.

    Examples
    --------
    >>> import benchmarks as cb
    >>> cb.metrics().set_index("metric").loc["pearson_delta", "family"]
    'change'
    """
    return _table(metric_rows())


def model_rows(plugins: Sequence[Path] = ()) -> list[Row]:
    """List models as rows of `models`."""
    return [
        {"model": record.name, "directions": " ".join(record.directions)}
        | vars(record.can)
        | {name: getattr(record, name) for name in ("needs", "summary", "limits", "source", "licence", "extra")}
        for record in registry.available(plugins).values()
    ]


def suite_rows() -> list[Row]:
    """List suites as rows of `suites`."""
    return [
        {"suite": suite.name, "title": suite.title, "real": suite.real or "", "simulated": suite.simulated or ""}
        | {"protocol": suite.protocol, "directions": " ".join(suite.directions), "models": " ".join(suite.models)}
        for suite in SUITES.values()
    ]


def set_rows() -> list[Row]:
    """List named sets of perturbations: data set, name, summary, and the perturbations."""
    return [
        {"dataset": name, "set": key, "summary": found.summary, "perturbations": ", ".join(found.perturbations)}
        for name in cards.available()
        for key, found in cards.read_card(name).sets.items()
    ]


def protocol_rows() -> list[Row]:
    """List protocols: name, summary, and whether test cells are trained on by design."""
    return [{"protocol": p.name, "summary": p.summary, "leaky": p.leaky} for p in list_protocols().values()]


def dataset_rows() -> list[Row]:
    """List data sets: name, title, and whether their cells are real or simulated."""
    known = (cards.read_card(name) for name in cards.available())
    return [{"dataset": card.name, "title": card.title, "source": card.source} for card in known]


def _table(rows: Sequence[Row]) -> pd.DataFrame:
    import pandas as pd  # takes longer than all of the lists

    return pd.DataFrame(rows)
