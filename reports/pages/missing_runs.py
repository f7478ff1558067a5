"""What a run was asked for and has not done: models, directions, folds and seeds, with counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.formatting import bullets
from reports.tables import NOT_RUN

_SET = ["direction", "fold", "seed", "model"]
_NAMED = 12
"""Up to so many models are named; more are counted."""


@dataclass(frozen=True)
class MissingRuns:
    """What has not run."""

    headline: str
    text: str
    lines: tuple[str, ...]


def tell_missing(scores: pd.DataFrame) -> str:
    """Write what is missing from a table of scores, for the top of a Markdown page; "" where nothing is."""
    missing = find_missing(scores, "`")
    return f"**{missing.headline}** {missing.text}\n\n{bullets(missing.lines)}" if missing else ""


def find_missing(scores: pd.DataFrame, mark: str = "") -> MissingRuns | None:
    """Find what is missing from a table of scores; names are written between `mark`. None where nothing is."""
    models = scores[scores["kind"] == "model"]
    waiting = models.loc[models["status"] == NOT_RUN, _SET].drop_duplicates().astype(object)
    if waiting.empty:
        return None
    asked = models[_SET].drop_duplicates().astype(object)
    rests = asked.merge(waiting, how="left", indicator="state").groupby(["direction", "model"])["state"]
    nothing = {key for key, state in rests if (state == "both").all()}
    lines = []
    for direction, rows in waiting.groupby("direction", sort=True):
        whole = sorted({model for way, model in nothing if way == direction})
        if whole:
            lines.append(f"{direction}: {_names(whole, mark)} {'have' if len(whole) > 1 else 'has'} not run at all")
        parts = rows[~rows["model"].isin(whole)].groupby(["fold", "seed"], sort=True)["model"]
        lines += [
            f"{direction}, fold {fold}, seed {seed}: {_names(sorted(names), mark)}" for (fold, seed), names in parts
        ]
    headline = f"INCOMPLETE: {len(waiting)} of {len(asked)} predictions of a model in one direction, fold and seed have not run."
    text = (
        f"A model that has not run has status {mark}{NOT_RUN}{mark}, no value and no rank. Conditions that some model has "
        f"still to run are left out for every model. {mark}--resume{mark} goes on."
    )
    return MissingRuns(headline, text, tuple(lines))


def _names(models: Sequence[str], mark: str) -> str:
    names = ", ".join(f"{mark}{model}{mark}" for model in models[:_NAMED])
    return names + (f" and {len(models) - _NAMED} more" if len(models) > _NAMED else "")
