"""Models better and worse than the baselines."""

from __future__ import annotations

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
        better, worse, unclear = list[str](), list[str](), list[str]()
        for row in tests.sort_values(["gain", "model"], ascending=[False, True]).itertuples():
            group = better if row.low > 0 else worse if row.high < 0 else unclear
            sign = "+" if row.gain > 0 else ""
            group.append(f"{row.model} {sign}{number(row.gain, places)}{interval(row.low, row.high, places)}")
        name = f"`{baseline}` ({number(means[baseline, data.lead], places)})"
        if tests["low"].isna().all():
            difference = f"{data.lead}, difference to {name}: {', '.join(unclear)}"
            sentences.append(f"{difference}; no interval, since there is one condition.")
            continue
        sentence = f"Models better than {name} in {data.lead}: {', '.join(better) or '**none**'}"
        sentence += f"; not significantly different: {', '.join(unclear)}" if unclear else ""
        sentence += f"; worse: {', '.join(worse)}" if worse else ""
        sentences.append(sentence + " (difference, positive where better, and its 95 % interval by paired bootstrap).")
    return "\n\n".join(sentences)


SECTION = Section("", 20, write)
