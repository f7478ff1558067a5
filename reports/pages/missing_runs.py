"""What a run was asked for and has not done: models, directions, folds and seeds, with counts."""

from collections.abc import Sequence

import pandas as pd

from reports.formatting import bullets
from reports.tables import NOT_RUN

_SET = ["direction", "fold", "seed", "model"]
_NAMED = 12
"""Up to so many models are named; more are counted."""


def tell_missing(scores: pd.DataFrame) -> str:
    """Write what is missing from a table of scores, for the top of a page; "" where nothing is."""
    models = scores[scores["kind"] == "model"]
    waiting = models.loc[models["status"] == NOT_RUN, _SET].drop_duplicates().astype(object)
    if waiting.empty:
        return ""
    asked = models[_SET].drop_duplicates().astype(object)
    rests = asked.merge(waiting, how="left", indicator="state").groupby(["direction", "model"])["state"]
    nothing = {key for key, state in rests if (state == "both").all()}
    lines = []
    for direction, rows in waiting.groupby("direction", sort=True):
        whole = sorted({model for way, model in nothing if way == direction})
        if whole:
            lines.append(f"{direction}: {_names(whole)} {'have' if len(whole) > 1 else 'has'} not run at all")
        parts = rows[~rows["model"].isin(whole)].groupby(["fold", "seed"], sort=True)["model"]
        lines += [f"{direction}, fold {fold}, seed {seed}: {_names(sorted(names))}" for (fold, seed), names in parts]
    text = (
        f"**INCOMPLETE: {len(waiting)} of {len(asked)} predictions of a model in one direction, fold and seed have not run.** A "
        f"model that has not run has status `{NOT_RUN}`, no value and no rank. Conditions that some model has still to run are "
        "left out for every model. `--resume` goes on."
    )
    return f"{text}\n\n{bullets(lines)}"


def _names(models: Sequence[str]) -> str:
    names = ", ".join(f"`{model}`" for model in models[:_NAMED])
    return names + (f" and {len(models) - _NAMED} more" if len(models) > _NAMED else "")
