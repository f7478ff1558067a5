"""What counts as a loss: two tables of settled values compared condition by condition.

A row (task × model × metric) is a loss when it is worse by more than its floor AND by more than noise explains;
docs/regression.md explains both. A failed condition is a line of its own; its stand-in value (that of no_change) is in no
difference. References (oracle, split_half, …) train nothing: one that moves by more than the floor fails the build.

Source
------
docs/decisions/metrics.md, "Aggregation"; Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; Satterthwaite
1946, doi:10.2307/3002019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr
from scipy.stats import false_discovery_control

from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.metrics.metric import FAMILY_FLOORS, Floor
from reports.stats.bootstrap import context_sizes, mean_weights, summarise
from reports.tables import FAILED, GROUP, LEFT_OUT

TASK = list(GROUP)
MODEL = [*TASK, "model"]
ROW = [*MODEL, "metric"]
CELL = ["context", "condition"]
LEVEL = 0.05
"""Share of builds that fail although nothing but noise moved, at most."""
N_BOOT = 2000
FLOORS = {metric.name: metric.floor for metric in METRICS if metric.floor is not None}
BAD = ("loss", "failed", "gone", "no value", "reference")
"""Verdicts that fail a build; the others ("gain", "new", "mended", "fewer") are shown."""
_SEEDS = ["seed_sd", "n_seeds", "n_used", "steady"]


@dataclass(frozen=True)
class Move:
    """One difference between the two tables, with its verdict."""

    task: tuple[str, ...]
    """Values of `GROUP`."""
    model: str
    """Empty: all models of the task."""
    metric: str
    """Empty: all metrics of the model."""
    verdict: str
    old: float = np.nan
    new: float = np.nan
    floor: float = np.nan
    p: float = np.nan
    """Adjusted p-value; NaN where noise plays no part or cannot be estimated (one condition)."""
    detail: str = ""

    @property
    def bad(self) -> bool:
        """Whether it fails the build."""
        return self.verdict in BAD


@dataclass(frozen=True)
class Difference:
    """One row of both tables, over the conditions on which both have a value of the model's own."""

    key: tuple[str, ...]
    """Values of `ROW`."""
    old: float
    new: float
    gain: float
    """Mean difference in the metric's unit, positive where the new table is better."""
    error: float
    """Standard error of `gain`; NaN for a single condition."""
    freedom: float
    """Degrees of freedom of `error`."""
    floor: float
    moved: bool
    n: int

    def p(self, sign: int) -> float:
        """One-sided p-value of being better (sign 1) or worse (−1) than before."""
        if np.isnan(self.error):
            return np.nan
        if self.error == 0.0:
            return float(sign * self.gain <= 0.0)
        return float(stdtr(self.freedom, -sign * self.gain / self.error))

    def move(self, verdict: str, detail: str, p: float = np.nan) -> Move:
        """Return the difference with its verdict."""
        *task, model, metric = self.key
        return Move(tuple(task), model, metric, verdict, self.old, self.new, self.floor, p, detail)


def floor_of(metric: str, family: str, old: float, floors: Mapping[str, float]) -> float:
    """Return the smallest loss worth a failed build, in the metric's unit; `floors` are the user's, which come first."""
    if metric in floors:
        return floors[metric]
    floor = FLOORS.get(metric) or FAMILY_FLOORS.get(family, Floor(0.05))  # a family may not be known any more
    return floor.size * abs(old) + 1e-6 if floor.relative else floor.size


def paired(new: pd.DataFrame, reference: pd.DataFrame, floors: Mapping[str, float]) -> list[Difference]:
    """Take the difference of every row over the conditions both tables have, from `gate_tables.at_common_seeds`.

    Compared are values of the model itself, of metrics that have a best value. `floors` are as in `floor_of`.
    """
    old_rows, new_rows = (t[(t["status"] == "ok") & t["value"].notna() & t["judged"]] for t in (reference, new))
    both = old_rows.merge(new_rows[[*ROW, *CELL, "value", *_SEEDS]], on=[*ROW, *CELL])
    both = both.sort_values([*ROW, *CELL], ignore_index=True)
    sign = np.where(both["higher_is_better"], 1.0, -1.0)
    gain, change = (both["value_y"] - both["value_x"]).to_numpy() * sign, both[["value_x", "value_y"]].to_numpy()
    found = []
    for key, places in both.groupby(ROW, sort=True).indices.items():
        first = both.iloc[places[0]]
        sizes = context_sizes(both["context"].to_numpy()[places])
        old, now = (mean_weights(sizes) @ change[places]).tolist()
        moved = bool(gain[places].any())
        noisy = moved and not (first["steady_x"] or first["steady_y"])
        error, freedom = _error(gain[places], sizes, _seed_part(first)) if noisy else (0.0, 1.0)
        floor = floor_of(key[-1], first["family"], old, floors)
        mean = float(mean_weights(sizes) @ gain[places])
        found.append(Difference(key, old, now, mean, error, freedom, floor, moved, len(places)))
    return found


def _seed_part(row: pd.Series) -> tuple[float, float]:
    """Return variance of the difference of means by training seeds, and its degrees of freedom; 0, 1 where unknown."""
    spreads = [(row[f"seed_sd_{side}"], row[f"n_seeds_{side}"]) for side in "xy"]
    known = [(sd, n - 1) for sd, n in spreads if n > 1 and np.isfinite(sd)]
    if not known:
        return 0.0, 1.0
    freedom = sum(df for _, df in known)
    variance = sum(sd**2 * df for sd, df in known) / freedom
    return variance * (1 / row["n_used_x"] + 1 / row["n_used_y"]), freedom


def _error(gain: np.ndarray, sizes: tuple[int, ...], seeds: tuple[float, float]) -> tuple[float, float]:
    """Return standard error of the mean difference [condition] and its degrees of freedom.

    With K contexts the bootstrap underestimates their part by (K − 1)/K, which is corrected; the degrees of freedom are
    Satterthwaite's for the parts between contexts, within contexts, and between training seeds.
    """
    if len(gain) == 1:
        return np.nan, 1.0
    _, low, high = summarise(gain, sizes, n_boot=N_BOOT, seed=0)
    k, n = len(sizes), len(gain)
    correction = k / (k - 1) if k > 1 else n / (n - 1)
    boot = ((high - low) / (2 * 1.96)) ** 2 * correction
    parts = np.split(gain, np.cumsum(sizes)[:-1])
    within = sum(part.var() / len(part) for part in parts) / k**2
    between = float(np.var([part.mean() for part in parts])) / k
    pieces = [(between, k - 1), (within, n - k), seeds]
    spread = sum(v**2 / df for v, df in pieces if df > 0)
    total = between + within + seeds[0]
    freedom = total**2 / spread if spread > 0 else n - 1.0
    return float(np.sqrt(boot + seeds[0])), float(freedom)


def judge(differences: list[Difference], references: frozenset[tuple[str, ...]]) -> Iterator[Move]:
    """Yield every row that got worse or better; `references` are the rows (`ROW`) of predictors that train nothing."""
    for d in differences:
        if d.key in references and abs(d.gain) > d.floor:
            yield d.move("reference", "a reference moved: metric or data changed")
    tested = [d for d in differences if d.moved and d.key not in references]
    for sign, verdict in ((-1, "loss"), (1, "gain")):
        adjusted = np.array([d.p(sign) for d in tested])
        known = np.isfinite(adjusted)
        if known.any():
            adjusted[known] = false_discovery_control(adjusted[known], method="bh")
        for d, p in zip(tested, adjusted, strict=True):
            if sign * d.gain > d.floor and not p > LEVEL:
                noise = f"n = {d.n}, standard error {d.error:.2g}" + " (no training noise)" * (d.error == 0.0)
                alone = "one condition, noise unknown: the floor alone decides"
                yield d.move(verdict, alone if np.isnan(p) else noise, p)


def gone_and_new(new: pd.DataFrame, reference: pd.DataFrame) -> Iterator[Move]:
    """Yield tasks, models and metrics that only one table has: one line each, not one per row."""
    for verdict, here, there in (("gone", reference, new), ("new", new, reference)):
        tasks, models, metrics = (set(keys(here, c)) - set(keys(there, c)) for c in (TASK, MODEL, [*TASK, "metric"]))
        for task in sorted(tasks):
            yield Move(task, "", "", verdict, detail="the whole task")
        references = set(keys(here[here["kind"] == "reference"], MODEL))
        for key in sorted(key for key in models if key[:-1] not in tasks):
            what = "the reference predictor" if key in references else "the model"
            lacks = "; the old table lacks it, so it is not compared: make it again with --write"
            detail = f"{what}, with all its rows" + lacks * (verdict == "new" and key in references)
            yield Move(key[:-1], key[-1], "", verdict, detail=detail)
        for key in sorted(key for key in metrics if key[:-1] not in tasks):
            yield Move(key[:-1], "", key[-1], verdict, detail="the metric, for all models")


def keys(table: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    """Distinct values of some columns, sorted."""
    return sorted(table[columns].drop_duplicates().itertuples(index=False, name=None))


def status_changes(new: pd.DataFrame, reference: pd.DataFrame) -> Iterator[Move]:
    """Yield, per model, conditions that had a value and have none (failed, declined, left out), and the other way round."""
    shared = reference.merge(new[MODEL].drop_duplicates()).merge(new[[*TASK, "metric"]].drop_duplicates())
    rows = shared.merge(
        new[[*ROW, *CELL, "value", "status", "reason"]], on=[*ROW, *CELL], how="left", suffixes=("_old", "")
    )
    rows["status"] = rows["status"].fillna("missing")
    rows["ok"] = (rows["status"] == "ok") & rows["value"].notna()
    had = rows[(rows["status_old"] == "ok") & rows["value_old"].notna()]
    for key, group in had.groupby(MODEL, sort=True):
        ok, failed = group["ok"], group["status"].isin(FAILED)
        left_out = ~ok & (group["status"].isin(LEFT_OUT) | (group["status"] == "ok"))
        empty = ~ok.groupby(group["metric"]).transform("any")
        lost = ~ok & ~failed & (~left_out | empty)
        for verdict, where in (("failed", failed), ("no value", lost), ("fewer", left_out & ~empty)):
            if where.any():
                yield Move(key[:-1], key[-1], "", verdict, detail=_name(group[where]))
    for key, group in rows[rows["status_old"].isin(FAILED) & rows["ok"]].groupby(MODEL, sort=True):
        yield Move(key[:-1], key[-1], "", "mended", detail=_name(group))


def _name(rows: pd.DataFrame) -> str:
    """Name the conditions and metrics of `rows`, with the first reason."""
    first, metrics = rows.iloc[0], list(dict.fromkeys(rows["metric"]))
    named = ", ".join(metrics[:3]) + (f" and {len(metrics) - 3} more" if len(metrics) > 3 else "")
    n = len(rows[CELL].drop_duplicates())
    reason = (
        ""
        if first["status"] == "ok"
        else ": " + ", ".join(text for text in (first["status"], first["reason"]) if isinstance(text, str) and text)
    )
    return f"{n} condition{'s' * (n > 1)} ({first['context']}/{first['condition']}{' …' * (n > 1)}), {named}{reason}"
