"""Which models a run does not train, and which it starts first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.execution.plan import Plan, make_jobs, make_plan
from benchmarks.execution.runner import in_order, why_not_trained
from benchmarks.tasks.question import Question
from benchmarks.tasks.suites import SMOKE

NAMED = ("linear", "scgen", "gears", "knn")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(Question(suite="smoke", models=NAMED))


def test_a_slow_model_is_left_out_of_preset_quick_unless_it_is_named(plan: Plan) -> None:
    quick = replace(plan, suite=replace(SMOKE, slow=("scgen",)), request=Question(suite="smoke"))
    reason = why_not_trained(quick, plan.baselines["scgen"])
    assert "--models scgen runs it" in reason
    assert why_not_trained(quick, plan.baselines["linear"]) == ""
    assert why_not_trained(replace(quick, request=plan.request), plan.baselines["scgen"]) == "", "it was asked for"
    paper = replace(quick, request=Question(suite="smoke", preset="paper"))
    assert why_not_trained(paper, plan.baselines["scgen"]) == ""


def test_a_model_is_not_trained_for_what_its_record_rules_out(plan: Plan) -> None:
    doses = replace(plan, protocol="low_to_high_dose")
    assert "record says dose: no" in why_not_trained(doses, plan.baselines["scgen"])
    assert why_not_trained(doses, plan.baselines["linear"]) == ""
    assert why_not_trained(plan, plan.baselines["scgen"]) == ""


def test_long_trainings_start_first_where_workers_run_side_by_side(plan: Plan, tmp_path) -> None:
    jobs = make_jobs(plan, tmp_path, tmp_path)
    listed = [job.tasks[0].model for job in jobs]
    assert [job.tasks[0].model for job in in_order(plan, jobs, 1)] == listed
    first = [job.tasks[0].model for job in in_order(plan, jobs, 2)]
    assert first == ["scgen", "gears", *(name for name in listed if name not in ("scgen", "gears"))]
