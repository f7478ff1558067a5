"""Aggregation by hand: two contexts, three conditions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reports.stats.aggregate import leaderboard
from reports.stats.condition_values import _worst
from reports.stats.run_statistics import analyse
from reports.tables import GROUP, PLANTED_COLUMNS, ReportError, Tables
from reports.task_labels import tasks
from tests.unit.reports.result_tables import metrics_table, run_costs, run_scores, score_rows

METRICS = metrics_table()
# context A holds one condition, B two: the mean over contexts is not the mean over conditions
BY_HAND = {
    ("a_model", "A", "p1"): 0.6,
    ("a_model", "B", "p1"): 0.1,
    ("a_model", "B", "p2"): 0.3,
    ("no_change", "A", "p1"): 0.0,
    ("no_change", "B", "p1"): -0.1,
    ("no_change", "B", "p2"): 0.1,
    ("oracle", "A", "p1"): 1.0,
    ("oracle", "B", "p1"): 1.0,
    ("oracle", "B", "p2"): 1.0,
}


def table(
    changes: dict[tuple[str, str, str], object] | None = None, metric: str = "pearson_delta", **common: object
) -> pd.DataFrame:
    """Return the table of `BY_HAND` with some values changed."""
    return score_rows({(*key, metric): value for key, value in (BY_HAND | (changes or {})).items()}, **common)


def suite_row(board: pd.DataFrame, model: str, metric: str = "pearson_delta") -> pd.Series:
    """Return the one suite-level row of a model and metric."""
    rows = board[(board["level"] == "suite") & (board["model"] == model) & (board["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_mean_over_contexts_of_means_over_conditions() -> None:
    board = leaderboard(table(), METRICS)
    row = suite_row(board, "a_model")
    assert row["mean"] == pytest.approx((0.6 + (0.1 + 0.3) / 2) / 2)
    assert (row["n_conditions"], row["n_failed"], row["status"], row["rank"]) == (3, 0, "ok", 1)
    in_b = board[(board["level"] == "context") & (board["context"] == "B") & (board["model"] == "a_model")].iloc[0]
    assert in_b["mean"] == pytest.approx(0.2)


def test_seeds_are_averaged_within_a_condition_first() -> None:
    second = score_rows({("a_model", "B", "p2", "pearson_delta"): 0.5}, seed=1)
    row = suite_row(leaderboard(pd.concat([table(), second]), METRICS), "a_model")
    assert row["mean"] == pytest.approx((0.6 + (0.1 + 0.4) / 2) / 2)
    assert row["n_conditions"] == 3


@pytest.mark.parametrize(
    ("status", "count"), [("failed", "n_failed"), ("timeout", "n_failed"), ("unsupported", "n_unsupported")]
)
def test_a_condition_without_a_value_takes_that_of_no_change(status: str, count: str) -> None:
    row = suite_row(leaderboard(table({("a_model", "B", "p2"): status}), METRICS), "a_model")
    assert row["mean"] == pytest.approx((0.6 + (0.1 + 0.1) / 2) / 2)
    assert row[count] == 1
    assert row["n_failed"] + row["n_unsupported"] == 1
    assert row["reason"] == "B/p2: because of p2"
    assert row["status"] == "ok"
    assert row["rank"] == 1


def test_a_seed_that_failed_takes_no_changes_value_for_that_seed_only() -> None:
    second = score_rows({("a_model", "B", "p2", "pearson_delta"): "failed"}, seed=1)
    row = suite_row(leaderboard(pd.concat([table(), second]), METRICS), "a_model")
    assert row["mean"] == pytest.approx((0.6 + (0.1 + (0.3 + 0.1) / 2) / 2) / 2)
    assert row["n_failed"] == 1


def test_a_condition_without_a_row_counts_as_failed() -> None:
    scores = table()
    scores = scores[~((scores["model"] == "a_model") & (scores["perturbation"] == "p2"))]
    row = suite_row(leaderboard(scores, METRICS), "a_model")
    assert row["mean"] == pytest.approx((0.6 + (0.1 + 0.1) / 2) / 2)
    assert row["n_failed"] == 1
    assert "no row in scores.csv" in row["reason"]


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_a_model_that_failed_everywhere_has_no_value_and_no_rank_anywhere(status: str) -> None:
    scores = table({key: status for key in BY_HAND if key[0] == "a_model"})
    board = leaderboard(scores, METRICS)
    row = suite_row(board, "a_model")
    assert row[["mean", "low", "high", "scaled", "rank", "p_best"]].isna().all()
    assert (row["status"], row["n_failed"], row["reason"]) == (status, 3, "because of p1")
    assert suite_row(board, "no_change")["rank"] == 1
    run = analyse(
        Tables(scores, METRICS, run_costs(), pd.DataFrame(columns=list(PLANTED_COLUMNS)), pd.DataFrame()),
        n_boot=20,
        seed=0,
    )
    for name in ("friedman", "wins", "comparison", "sensitivity"):
        assert "a_model" not in set(run.results[name]["model"]), name


def test_a_model_that_failed_in_one_context_has_no_value_there_and_one_over_all() -> None:
    board = leaderboard(table({("a_model", "A", "p1"): "failed"}), METRICS)
    assert suite_row(board, "a_model")["mean"] == pytest.approx((0.0 + (0.1 + 0.3) / 2) / 2)
    assert suite_row(board, "a_model")["rank"] == 1
    in_a = board[(board["level"] == "context") & (board["context"] == "A") & (board["model"] == "a_model")].iloc[0]
    assert in_a[["mean", "rank"]].isna().all()
    assert in_a["status"] == "failed"


def test_a_model_that_has_not_run_is_an_unranked_row_and_no_failure() -> None:
    scores = table({key: "not_run" for key in BY_HAND if key[0] == "a_model"})
    board = leaderboard(scores, METRICS)
    row = suite_row(board, "a_model")
    assert row[["mean", "low", "high", "rank"]].isna().all()
    assert (row["status"], row["n_failed"], row["n_unsupported"], row["n_left_out"]) == ("not_run", 0, 0, 0)
    assert (row["n_conditions"], row["n_not_run"]) == (3, 3)
    other = suite_row(board, "no_change")
    assert other["mean"] == pytest.approx(0.0)
    assert (other["rank"], other["n_conditions"], other["n_not_run"]) == (1, 3, 0)
    assert {task.incomplete for task, _ in tasks(board)} == {True}
    assert {task.incomplete for task, _ in tasks(leaderboard(table(), METRICS))} == {False}


def test_a_condition_that_a_model_has_still_to_run_is_left_out_for_every_model() -> None:
    board = leaderboard(table({("a_model", "B", "p2"): "not_run"}), METRICS)
    for model, mean in (("a_model", (0.6 + 0.1) / 2), ("no_change", (0.0 - 0.1) / 2)):
        row = suite_row(board, model)
        assert row["mean"] == pytest.approx(mean)
        assert (row["n_conditions"], row["n_left_out"], row["status"], row["rank"]) == (2, 1, "ok", 1 + (mean < 0))
    assert suite_row(board, "oracle")["n_conditions"] == 2


def test_models_without_a_common_condition_have_no_value() -> None:
    apart = {
        ("a_model", "A", "p1"): "not_run",
        ("no_change", "B", "p1"): "not_run",
        ("no_change", "B", "p2"): "not_run",
    }
    board = leaderboard(table(apart), METRICS)
    assert board["mean"].isna().all()
    assert set(board["status"]) == {"not_run"}


def test_a_seed_that_has_not_run_leaves_the_mean_of_the_others() -> None:
    second = score_rows(
        {("a_model", context, p, "pearson_delta"): "not_run" for _, context, p in list(BY_HAND)[:3]}, seed=1
    )
    board = leaderboard(pd.concat([table(), second]), METRICS)
    row = suite_row(board, "a_model")
    assert row["mean"] == suite_row(leaderboard(table(), METRICS), "a_model")["mean"]
    assert (row["status"], row["rank"], row["n_not_run"], row["n_left_out"]) == ("ok", 1, 3, 0)
    assert all(task.incomplete for task, _ in tasks(board))


@pytest.mark.parametrize("status", ["unsupported", "needs_cells"])
def test_a_model_that_declines_everything_is_an_unranked_row(status: str) -> None:
    gone = {key: status for key in BY_HAND if key[0] == "a_model"}
    board = leaderboard(table(gone), METRICS)
    row = suite_row(board, "a_model")
    assert row[["mean", "low", "high", "rank"]].isna().all()
    assert (row["status"], row["n_failed"], row["n_unsupported"]) == (status, 0, 3)
    assert row["reason"] == "because of p1"
    assert suite_row(board, "no_change")["rank"] == 1


def test_without_no_change_a_failure_leaves_no_mean() -> None:
    scores = table({("a_model", "B", "p2"): "failed"})
    row = suite_row(leaderboard(scores[scores["model"] != "no_change"], METRICS), "a_model")
    assert np.isnan(row["mean"])
    assert np.isnan(row["rank"])
    assert row["status"] == "failed"
    assert "no value of no_change" in row["reason"]


def test_a_condition_without_a_score_is_left_out_for_everybody() -> None:
    board = leaderboard(table({("no_change", "B", "p2"): "too_few_genes"}), METRICS)
    row = suite_row(board, "a_model")
    assert row["mean"] == pytest.approx((0.6 + 0.1) / 2)
    assert (row["n_conditions"], row["n_left_out"]) == (2, 1)
    assert suite_row(board, "oracle")["n_conditions"] == 2


def test_references_are_listed_and_never_ranked() -> None:
    board = leaderboard(table(), METRICS)
    oracle = suite_row(board, "oracle")
    assert oracle["mean"] == 1.0
    assert np.isnan(oracle["rank"])
    assert suite_row(board, "a_model")["rank"] == 1


def test_ranks_follow_the_direction_of_the_metric() -> None:
    board = leaderboard(pd.concat([table(), table(metric="mse"), table(metric="copy_margin")]), METRICS)
    assert suite_row(board, "a_model", "pearson_delta")["rank"] == 1
    assert suite_row(board, "a_model", "mse")["rank"] == 2
    assert np.isnan(suite_row(board, "a_model", "copy_margin")["rank"])


def test_tasks_are_never_compared() -> None:
    better = table({key: 0.9 for key in BY_HAND if key[0] == "no_change"}, direction="p2n")
    board = leaderboard(pd.concat([table(), better]), METRICS)
    suite = board[board["level"] == "suite"].set_index(["direction", "model"])["rank"]
    assert suite["n2p", "a_model"] == 1
    assert suite["p2n", "no_change"] == 1
    assert suite["p2n", "a_model"] == 2


def test_doses_are_conditions_of_their_own() -> None:
    doses = [score_rows({("no_change", "A", "drug", "mse"): 1.0}, dose=dose) for dose in (10.0, 100.0)]
    assert suite_row(leaderboard(pd.concat(doses), METRICS), "no_change", "mse")["n_conditions"] == 2


def test_quick_budget_and_leaks_of_any_row_show() -> None:
    scores = table()
    scores.loc[0, ["budget", "audit"]] = ["quick", "leaky: cells shared"]
    row = suite_row(leaderboard(scores, METRICS), "a_model")
    assert (row["budget"], row["audit"]) == ("quick", "leaky: cells shared")


def test_a_value_that_is_missing_though_ok_names_its_row() -> None:
    with pytest.raises(ReportError, match=r"1 rows .* ok and no finite value.*a_model.*context=B.*perturbation=p2"):
        leaderboard(table({("a_model", "B", "p2"): float("nan")}), METRICS)


def test_a_row_without_a_condition_is_refused() -> None:
    scores = table()
    scores.loc[0, "perturbation"] = ""
    with pytest.raises(ReportError, match=r"1 rows name no condition, first .*a_model"):
        leaderboard(scores, METRICS)


def test_a_row_given_twice_is_refused() -> None:
    scores = table()
    with pytest.raises(ReportError, match="given twice"):
        leaderboard(pd.concat([scores, scores.iloc[:1]]), METRICS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "fine"),
        ("status", "uninformative"),
        ("kind", "baseline"),
        ("metric", "rmsd"),
        ("source", "synthetic"),
    ],
)
def test_unknown_words_are_refused(column: str, value: str) -> None:
    scores = table()
    scores.loc[0, column] = value
    with pytest.raises(ReportError, match=f"'{column}' holds '{value}'; expected one of"):
        leaderboard(scores, METRICS)


def test_the_order_of_the_rows_of_the_input_does_not_matter() -> None:
    scores = run_scores("n2p")
    shuffled = scores.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(leaderboard(scores, METRICS, n_boot=50), leaderboard(shuffled, METRICS, n_boot=50))


def test_one_more_model_moves_nobody() -> None:
    scores = run_scores("n2p")
    columns = ["level", "context", "model", "metric", "mean", "low", "high"]
    alone = leaderboard(scores[scores["model"] != "gears"], METRICS, n_boot=50)[columns]
    together = leaderboard(scores, METRICS, n_boot=50)
    together = together.loc[together["model"] != "gears", columns]
    keys = ["level", "context", "model", "metric"]
    pd.testing.assert_frame_equal(alone.set_index(keys).sort_index(), together.set_index(keys).sort_index())


@pytest.mark.parametrize(
    ("audits", "worst"),
    [
        (("clean", "proved"), "clean"),
        (("proved", "proved"), "proved"),
        (("not proved: x", "clean"), "not proved: x"),
        (("proved", "leak: x"), "leak: x"),
        (("leaky: x", "leak: y"), "leak: y"),
        (("", "clean"), "clean"),
    ],
)
def test_worst_audit_of_any_fold_is_shown(audits, worst):
    rows = pd.DataFrame(
        {**dict.fromkeys(GROUP, "x"), "model": "m", "kind": "model", "budget": "full", "audit": list(audits)}
    )
    assert list(_worst(rows)["audit"]) == [worst]
