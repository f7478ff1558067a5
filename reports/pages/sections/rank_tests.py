"""Friedman's test, and where the order of the models changes most."""

from __future__ import annotations

import numpy as np

from reports.formatting import number
from reports.pages.page_sections import Section, TaskData
from reports.stats.ranks import ALPHA


def write(data: TaskData) -> str:
    """Write the result of Friedman's test, and the subsets whose order agrees least with that of the leading metric."""
    sentences = []
    ranks = data.task.select(data.run.friedman)
    ranks = ranks[ranks["metric"] == data.lead]
    if len(ranks) and np.isfinite(ranks["p"].iloc[0]):
        first = ranks.iloc[0]
        differ = "differ" if first["p"] < ALPHA else "do not differ significantly"
        sentences.append(
            f"Friedman's test over {first['n_conditions']} conditions: the {first['n_models']} models {differ} in {data.lead} "
            f"(χ² = {first['chi2']:.1f}, p = {first['p']:.2g}); mean ranks nearer than {first['critical_difference']:.2f} "
            "do not differ significantly (Nemenyi)."
        )
    subsets = data.task.select(data.run.sensitivity)
    subsets = subsets[subsets["by"] != "everything"].drop_duplicates(["by", "subset"]).dropna(subset="tau")
    subsets = subsets[~((subsets["by"] == "metric") & (subsets["subset"] == data.lead))]
    lowest = subsets.sort_values(["by", "tau", "subset"]).drop_duplicates("by").sort_values("tau")
    if len(lowest):
        named = ", ".join(f"{row.by} {row.subset} ({number(row.tau, 2)})" for row in lowest.itertuples())
        sentences.append(f"The order of the models agrees least with that of {data.lead} under (Kendall's τ): {named}.")
    return " ".join(sentences)


SECTION = Section("", 50, write)
