"""The order of the models under parts of the data, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reports.stats.aggregate import rank_settled
from reports.stats.condition_values import condition_values, score_matrices
from reports.stats.ranks import order_agreement, rank_sensitivity
from reports.tables import Tables, check_scores
from tests.unit.reports.result_tables import metrics_table, score_rows

METRICS = metrics_table()
# in context A the order is a, b, c; in B it is c, b, a, and A decides the mean
BOTH = {"a": (0.9, 0.1), "b": (0.5, 0.2), "c": (0.1, 0.3)}


def analysed(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the sensitivity table, one row per subset."""
    return listed(scores).drop_duplicates(["by", "subset"]).set_index(["by", "subset"])


def listed(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the sensitivity table, one row per subset and model."""
    nothing = pd.DataFrame()
    tables = Tables(check_scores(scores, METRICS), METRICS, nothing, nothing, nothing)
    settled = condition_values(tables.scores, METRICS)
    return rank_sensitivity(
        score_matrices(settled, METRICS),
        rank_settled(settled, score_matrices(settled, METRICS), METRICS, n_boot=5),
        tables,
    )


def both(metric: str = "pearson_delta", **common: object) -> pd.DataFrame:
    """Return the scores of `BOTH`: few cells in A, many in B."""
    cells = {
        (model, context, "p", metric): value
        for model, values in BOTH.items()
        for context, value in zip("AB", values, strict=True)
    }
    table = score_rows(cells, **common)
    return table.assign(n_truth_cells=table["context"].map({"A": 10, "B": 90}))


def test_contexts_and_cells() -> None:
    tau = analysed(both())["tau"]
    assert tau["everything", ""] == 1
    assert tau["context", "A"] == tau["cells", "few"] == 1
    assert tau["context", "B"] == tau["cells", "many"] == -1


def test_another_metric_is_turned_by_its_direction() -> None:
    tau = analysed(pd.concat([both(), both("mse"), both("r2")]))["tau"]
    assert tau["metric", "mse"] == -1
    assert tau["metric", "r2"] == 1


def test_seeds_and_folds() -> None:
    turned = both(seed=1, fold=2).assign(value=lambda rows: -0.1 * rows["value"])
    tau = analysed(pd.concat([both(), turned]))["tau"]
    assert (tau["seed", "0"], tau["seed", "1"]) == (1, -1)
    assert (tau["fold", "0"], tau["fold", "2"]) == (1, -1)
    assert "seed" not in analysed(both()).index.get_level_values("by")


def test_ranks_and_means_are_listed_per_model() -> None:
    table = listed(both())
    in_b = table[(table["by"] == "context") & (table["subset"] == "B")].set_index("model")
    assert in_b["rank"].to_dict() == {"a": 3, "b": 2, "c": 1}
    assert in_b["mean"].to_dict() == {"a": 0.1, "b": 0.2, "c": 0.3}


def test_agreement_over_common_models_only() -> None:
    assert order_agreement({"a": 1, "b": 2, "x": 0}, {"a": 5, "b": 9, "y": 0}) == pytest.approx(1)
    assert order_agreement({"a": 1, "b": 3, "c": 2}, {"a": 1, "b": 2, "c": 3}) == pytest.approx(1 / 3)
    assert np.isnan(order_agreement({"a": 1, "b": 1}, {"a": 1, "b": 2}))
    assert np.isnan(order_agreement({"a": 1}, {"b": 2}))
