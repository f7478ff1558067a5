"""The memory limit of a run: how it is given, what is left out, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.errors import BenchmarkError
from benchmarks.execution.executor import Execution
from benchmarks.execution.memory import COPIES, in_words, parse_memory
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import check_memory, plan_units, run, too_large
from benchmarks.tasks.question import Question


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(Question(suite="smoke", models=("linear", "gsfa_like"), directions=("n2p",), folds=1))


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("4G", 2**32), ("4096M", 2**32), ("4GiB", 2**32), ("4gib", 2**32), ("4GB", 4 * 10**9), ("1.5K", 1536), ("77", 77)],
)
def test_sizes(text: str, n_bytes: int) -> None:
    assert parse_memory(text) == n_bytes


@pytest.mark.parametrize("text", ["", "4X", "G", "-1G", "0", "4 G B", "nan", "1e3M"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BenchmarkError, match="--memory"):
        parse_memory(text)


def test_a_size_in_words_is_one_that_can_be_given() -> None:
    for n_bytes in (2**32, 5_000_000, 1500):
        assert parse_memory(in_words(n_bytes)) == pytest.approx(n_bytes, rel=0.01)


@given(st.integers(1, 2**50))
def test_a_size_in_words_is_never_less(n_bytes: int) -> None:
    assert parse_memory(in_words(n_bytes)) >= n_bytes


def test_the_default_is_below_what_is_free() -> None:
    assert 0 < Execution().memory < psutil.virtual_memory().total


def test_only_models_that_read_all_cells_count_and_jobs_share_the_limit(plan: Plan) -> None:
    reads_all, needed = plan.baselines["gsfa_like"], 2**30
    assert too_large(reads_all, needed, Execution(memory=needed)) == ""
    assert too_large(reads_all, needed, Execution(memory=needed, jobs=2)) != ""
    found = too_large(reads_all, needed, Execution(memory=needed - 1))
    assert "--memory" in found
    assert "1G" in found
    for reads_less in (plan.baselines["linear"], replace(reads_all, needs="blocks")):
        assert too_large(reads_less, needed, Execution(memory=1)) == ""


def test_a_model_that_does_not_fit_is_a_row_and_the_others_run(plan: Plan, tmp_path: Path) -> None:
    train = plan.splits[0].train
    needed = 8 * COPIES * (plan.cells.X[train].nnz + len(train))
    assert "ok" in run_with(plan, tmp_path / "enough", needed)["gsfa_like"]
    status = run_with(plan, tmp_path / "less", needed - 1)
    assert status["gsfa_like"] == {"unsupported"}
    assert "ok" in status["linear"]
    scores = pd.read_csv(tmp_path / "less" / "scores.csv", keep_default_na=False)
    assert scores.loc[scores["model"] == "gsfa_like", "reason"].str.contains("--memory").all()


def run_with(plan: Plan, folder: Path, memory: int) -> pd.Series:
    """Run inline; model → statuses."""
    result = run(plan, folder, Execution(executor="inline", figures=False, memory=memory))
    assert result.failures == 0
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False)
    return scores[scores["kind"] == "model"].groupby("model")["status"].agg(set)


def test_a_limit_below_one_condition_is_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="--memory"):
        check_memory(plan, 1000)
    with pytest.raises(BenchmarkError, match="--memory"):
        plan_units(plan, tmp_path / "run", Execution(memory=1000))
    assert not (tmp_path / "run").exists()
    check_memory(replace(plan, splits=()), 1000)
