"""Doses as part of conditions, and the protocol that predicts a higher dose from a lower one."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.contract import CONTROL
from benchmarks.errors import DataError, LeakageError
from benchmarks.execution.unit import make_query
from benchmarks.scoring.training_summary import summarise_training
from benchmarks.tasks.conditions import ROLES, Condition, Scope, TestCondition, conditions, lower_doses
from benchmarks.tasks.leakage import audit_train
from benchmarks.tasks.protocol import list_protocols
from benchmarks.tasks.splits import n_folds, split
from tests.conftest import make_cells

DOSES = (10.0, 100.0, 1000.0)
HONEST = [p for p, kind in list_protocols().items() if not kind.leaky]


@pytest.fixture
def screen():
    """Two lines × compounds D, E, F × three doses of 24 cells, 30 controls each."""
    sizes = {(c, p, d): 24 for c in "xy" for p in "DEF" for d in DOSES}
    return make_cells(sizes | {(c, CONTROL): 30 for c in "xy"})


def trained(cells, made):
    obs = cells.obs.iloc[made.train]
    return {
        Condition(c, p, d if d > 0 else None)
        for c, p, d in zip(*(obs[k] for k in ("context", "perturbation", "dose")), strict=True)
    }


def raised(obs, fold=0, **scope):
    return split(obs, "low_to_high_dose", fold, scope=Scope(perturbations=("D",), **scope))


def test_conditions_have_doses(screen):
    table = conditions(screen.obs)
    assert len(table) == 18
    assert lower_doses(table)[Condition("x", "D", 1000.0)] == 100.0
    assert Condition("x", "D", 10.0) not in lower_doses(table)


def test_folds_go_from_highest_dose_down(screen):
    assert n_folds(screen.obs, "low_to_high_dose", Scope(perturbations=("D",))) == 2
    for fold, (start, target) in enumerate(((100.0, 1000.0), (10.0, 100.0))):
        made = raised(screen.obs, fold)
        assert [(c.context, c.perturbation, c.start_dose, c.dose) for c in made.conditions] == [
            (line, "D", start, target) for line in "xy"
        ]
        for condition in made.conditions:
            obs = screen.obs
            assert set(obs["dose"].iloc[condition.input("n2p")]) == {start}
            assert set(obs["dose"].iloc[condition.reference("n2p")]) == {start}
            assert set(obs["dose"].iloc[condition.truth("n2p")]) == {target}
            assert len(condition.truth("n2p")) == 24
            assert len(condition.input("n2p")) == len(condition.reference("n2p")) == 8, "a third of 24"


def test_only_lower_doses_of_tested_compound_are_trained_on(screen):
    made = raised(screen.obs, 1, contexts=("x",))
    assert {c.context for c in made.conditions} == {"x"}
    seen = trained(screen, made)
    assert not {c for c in seen if c.perturbation == "D" and c.dose >= 100.0}
    assert {c for c in seen if c.perturbation == "D"} == {Condition(line, "D", 10.0) for line in "xy"}
    assert {c for c in seen if c.perturbation in "EF"} == {
        Condition(c, p, d) for c in "xy" for p in "EF" for d in DOSES
    }
    assert (screen.obs["is_control"].iloc[made.train]).sum() == 60, "all controls are trained on"


def test_start_dose_skips_doses_with_few_cells():
    cells = make_cells({("x", "D", 10.0): 24, ("x", "D", 100.0): 19, ("x", "D", 1000.0): 24, ("x", CONTROL): 30})
    made = raised(cells.obs)
    assert [(c.start_dose, c.dose) for c in made.conditions] == [(10.0, 1000.0)]
    assert Condition("x", "D", 100.0) in trained(cells, made), "too few to start from, but it may be trained on"


def test_same_fifth_of_compounds_in_every_fold(screen):
    found = [{c.perturbation for c in split(screen.obs, "low_to_high_dose", fold).conditions} for fold in (0, 1)]
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_single_dose_raises():
    cells = make_cells({("x", "D", 10.0): 24, ("x", CONTROL): 30})
    with pytest.raises(DataError, match="low_to_high_dose"):
        split(cells.obs, "low_to_high_dose", 0)


@pytest.mark.parametrize("protocol", ["unseen_context", "unseen_perturbation"])
def test_compound_is_hidden_at_every_dose(protocol):
    sizes = {(c, p, d): 24 for c in "xy" for p in "DE" for d in DOSES} | {(c, CONTROL): 30 for c in "xy"}
    cells = make_cells(sizes | {("x", "D", 10.0): 19, ("x", "E", 10.0): 19})
    for fold in range(n_folds(cells.obs, protocol)):
        made = split(cells.obs, protocol, fold)
        tested = {c.condition.pair for c in made.conditions}
        assert not {c for c in trained(cells, made) if c.pair in tested}
        assert all(c.start_dose is None for c in made.conditions)


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.lists(st.integers(15, 40), min_size=12, max_size=12),
    protocol=st.sampled_from(HONEST),
)
def test_roles_are_disjoint_and_hidden_conditions_not_trained_on(seed, sizes, protocol):
    keys = [(c, p, d) for c in "xy" for p in "DE" for d in DOSES]
    cells = make_cells(dict(zip(keys, sizes, strict=True)) | {(c, CONTROL): 20 for c in "xy"}, n_genes=25)
    try:
        folds = n_folds(cells.obs, protocol)
    except DataError:
        return  # nothing has enough cells
    for fold in {0, folds - 1}:
        made = split(cells.obs, protocol, fold, seed=seed)
        assert made.conditions
        for condition in made.conditions:
            parts = [set(getattr(condition, role)) for role in ROLES]
            assert all(parts)
            assert all(a.isdisjoint(b) for a, b in combinations(parts, 2))
        assert set(made.tested).isdisjoint(made.train)
        assert trained(cells, made).isdisjoint(made.held_out)
        assert audit_train(cells[made.train].copy(), made, cells) == "clean"


@pytest.mark.parametrize(("context", "dose"), [("x", 1000.0), ("y", 5000.0), ("y", np.nan)])
def test_audit_finds_target_dose_and_above_in_any_context(screen, context, dose):
    made = raised(screen.obs)
    train = screen[made.train].copy()
    row = train.obs.index[train.obs["is_control"]][0]
    train.obs.loc[row, ["context", "perturbation", "dose"]] = [context, "D", dose]
    with pytest.raises(LeakageError, match=f"held-out condition {context}/D"):
        audit_train(train, replace(made, held_out=frozenset()), screen)


def test_query_has_start_dose_and_dose(screen):
    condition = raised(screen.obs).conditions[0]
    query = make_query(condition, "n2p", screen, 0)
    assert (query.start_dose, query.dose) == (100.0, 1000.0)
    assert set(query.cells.obs["dose"]) == {100.0}
    plain = split(screen.obs, "held_out_cells", 0).conditions[0]
    forward, back = (make_query(plain, way, screen, 0) for way in ("n2p", "p2n"))
    assert (forward.start_dose, forward.dose) == (None, plain.dose)
    assert (back.start_dose, back.dose) == (plain.dose, None)


def test_dose_words_differ_by_dose():
    empty = np.array([], dtype=int)
    words = [TestCondition("x", "D", *[empty] * 4, dose=dose).dose_words for dose in (None, 10.0, 100.0)]
    assert words[0] == ()
    assert len(set(words)) == 3


def test_mean_effect_of_dose_step(screen):
    made = raised(screen.obs)
    training = summarise_training(screen, made.train, 0, made.conditions)
    found = training.mean_effect(made.conditions)
    x = screen.X.toarray().astype(float)

    def mean(perturbation, dose):
        rows = (
            (screen.obs["context"] == "x") & (screen.obs["perturbation"] == perturbation) & (screen.obs["dose"] == dose)
        )
        return x[rows.to_numpy()].mean(axis=0)

    expected = np.mean([mean(p, 1000.0) - mean(p, 100.0) for p in "EF"], axis=0)
    assert found[0] == pytest.approx(expected)
    other = training.start_like(made.conditions[0])
    assert set(other) <= set(made.train)
    assert len(other) == 8, "the third of D's cells at 100 nM in x that is trained on"
    assert set(screen.obs["dose"].iloc[training.perturbed_like(made.conditions[0])]) == {1000.0}
