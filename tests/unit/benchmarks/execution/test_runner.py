"""Which models a run does not train, and which it starts first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.errors import BenchmarkError, UnknownName
from benchmarks.execution.executor import Execution, executor_names, find_executor
from benchmarks.execution.executors.process import in_order
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import why_not_trained
from benchmarks.tasks.question import Question
from benchmarks.tasks.suites import SMOKE

NAMED = ("linear", "scgen", "gears", "knn")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(Question(suite="smoke", models=NAMED))


def test_slow_model_is_left_out_of_preset_quick_unless_named(plan: Plan) -> None:
    scgen, linear = plan.baselines["scgen"], plan.baselines["linear"]
    quick = replace(plan, suite=replace(SMOKE, slow=("scgen",)), question=replace(plan.question, models=()))
    assert "--models scgen" in why_not_trained(quick, scgen)
    assert why_not_trained(quick, linear) == ""
    assert why_not_trained(replace(quick, question=plan.question), scgen) == "", "it was named"
    paper = replace(quick, question=replace(quick.question, preset="paper"))
    assert why_not_trained(paper, scgen) == ""


def test_model_is_not_trained_where_its_record_rules_the_protocol_out(plan: Plan) -> None:
    doses = replace(plan, question=replace(plan.question, protocol="low_to_high_dose"))
    assert "dose: no" in why_not_trained(doses, plan.baselines["scgen"])
    assert why_not_trained(doses, plan.baselines["linear"]) == ""
    assert why_not_trained(plan, plan.baselines["scgen"]) == ""


def test_long_trainings_start_first_where_several_run_at_a_time(plan: Plan) -> None:
    listed = [spec.record.name for spec in plan.specs]
    assert [spec.record.name for spec in in_order(plan.specs, 1)] == listed
    first = [spec.record.name for spec in in_order(plan.specs, 2)]
    assert first == ["scgen", "gears", *(name for name in listed if name not in ("scgen", "gears"))]


def test_keys_depend_on_the_question_and_not_on_the_execution(plan: Plan) -> None:
    question = Question(suite="smoke", models=NAMED)
    assert make_plan(question).key == plan.key
    assert make_plan(replace(question, models=("linear",), seeds=2)).key == plan.key, "a resumed run may add some"
    assert make_plan(replace(question, base_seed=1)).key != plan.key
    keys = {spec.record.name: spec.key for spec in plan.specs}
    changed = make_plan(replace(question, settings={"linear": {"ridge": 7.0}}))
    moved = {spec.record.name for spec in changed.specs if spec.key != keys[spec.record.name]}
    assert (changed.key, moved) == (plan.key, {"linear"})


def test_another_model_or_direction_moves_no_other_models_seed(plan: Plan) -> None:
    alone = make_plan(Question(suite="smoke", models=("linear",), directions=("n2p",)))
    assert {(spec.record.name, spec.fold, spec.seed) for spec in alone.specs} < {
        (spec.record.name, spec.fold, spec.seed) for spec in plan.specs
    }


def test_executors_are_found_by_name(plan: Plan, tmp_path) -> None:
    assert {"inline", "process"} <= set(executor_names())
    with pytest.raises(UnknownName, match="inline"):
        find_executor("inlin")
    with pytest.raises(BenchmarkError, match="--timeout"):
        find_executor("inline")(plan, tmp_path, Execution(timeout=1.0))
