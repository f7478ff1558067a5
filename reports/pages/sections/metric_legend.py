"""What each metric is, and which way is better."""

import pandas as pd

from reports.formatting import markdown_table
from reports.pages.page_sections import Section
from reports.stats.run_statistics import RunStatistics


def write(run: RunStatistics) -> str:
    """Write a line per metric of the run."""
    metrics = run.tables.metrics
    lines = []
    for row in metrics[metrics["metric"].isin(run.leaderboard["metric"])].itertuples():
        judged = pd.notna(row.best)
        line = {"metric": row.metric, "family": row.family}
        line["better"] = ("higher" if row.higher_is_better else "lower") if judged else "neither"
        line["best"] = f"{row.best:g}" if judged else "–"
        line["ranked"] = "yes" if row.scored else "no"
        lines.append(line | {"what it is": str(row.summary), "source": str(row.source)})
    return markdown_table(lines, left=7)


SECTION = Section("Metrics", 30, write, per_task=False)
