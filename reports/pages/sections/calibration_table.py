"""Split half, ceiling, baseline and rank recovery of the metrics of a task."""

from reports.formatting import markdown_table, number, percent, with_interval
from reports.pages.page_sections import Section, TaskData
from reports.stats.metric_quality import MIXTURES


def write(data: TaskData) -> str:
    """Write a line per scored metric; nothing where none of it was measured."""
    rows = data.scored_quality
    taus = {f"τ {mixture.replace('_', ' ')}": f"tau_{mixture}" for mixture in MIXTURES}
    if rows.empty or rows[["split_half_mean", *taus.values()]].isna().all(axis=None):
        return ""
    baseline = next((name for name in rows["baseline"] if isinstance(name, str)), "baseline")
    lines = []
    for _, row in rows.iterrows():
        places = data.places.get(row["metric"], 3)
        line = {
            "metric": row["metric"],
            baseline: number(row["baseline_mean"], places),
            "split_half": number(row["split_half_mean"], places),
            "split half better by": with_interval(row["gain"], row["gain_low"], row["gain_high"], places),
            "on": percent(row["share"]),
            "full depth": number(row["split_half_full_depth"], 2),
            "ceiling": number(row["ceiling_mean"], places),
        }
        lines.append(
            line | {name: with_interval(row[t], row[f"{t}_low"], row[f"{t}_high"], 2) for name, t in taus.items()}
        )
    return markdown_table(lines, left=1)


SECTION = Section("Calibration", 80, write)
