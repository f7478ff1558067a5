"""Models better and worse than the baselines."""

from __future__ import annotations

import pandas as pd

from reports.formatting import interval, number
from reports.pages.page_sections import Section, TaskData


def write(data: TaskData) -> str:
    """List, for each baseline, the models that are better, worse, and not different from it."""
    means = data.suite.set_index(["model", "metric"])["mean"]
    comparison = data.task.select(data.run.comparison)
    comparison = comparison[comparison["metric"] == data.lead]
    places = data.places[data.lead]
    sentences = []
    for baseline, tests in comparison.groupby("baseline", sort=False):
        tests = tests.sort_values(["gain", "model"], ascending=[False, True])
        texts = pd.Series(
            [
                f"{row.model} {'+' * (row.gain > 0)}{number(row.gain, places)}{interval(row.low, row.high, places)}"
                for row in tests.itertuples()
            ],
            index=tests.index,
        )
        name = f"`{baseline}` ({number(means[baseline, data.lead], places)})"
        if tests["low"].isna().all():
            sentences.append(
                f"{data.lead}, difference to {name}: {', '.join(texts)}; no interval, since there is one condition."
            )
            continue
        better, worse = texts[tests["low"] > 0], texts[tests["high"] < 0]
        unclear = texts.drop(better.index).drop(worse.index)
        sentence = f"Models better than {name} in {data.lead}: {', '.join(better) or '**none**'}"
        sentence += f"; not significantly different: {', '.join(unclear)}" if len(unclear) else ""
        sentence += f"; worse: {', '.join(worse)}" if len(worse) else ""
        sentences.append(sentence + " (difference, positive where better, and its 95 % interval by paired bootstrap).")
    return "\n\n".join(sentences)


SECTION = Section("", 20, write)
