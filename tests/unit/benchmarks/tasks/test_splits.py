"""Splits: disjoint groups of cells, reproducible, with the right conditions held out by each protocol."""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.contract import DIRECTIONS
from benchmarks.errors import DataError, UnknownName
from benchmarks.tasks import protocols
from benchmarks.tasks.conditions import ROLES, Condition, Scope, tell_untested
from benchmarks.tasks.protocol import list_protocols
from benchmarks.tasks.splits import n_folds, split
from tests.conftest import make_cells

WITHOUT_DOSES = [p for p in list_protocols() if p != "low_to_high_dose"]
HONEST = [p for p in WITHOUT_DOSES if not list_protocols()[p].leaky]


@pytest.mark.parametrize("protocol", HONEST)
def test_roles_and_training_are_disjoint(grid_cells, protocol):
    for fold in range(n_folds(grid_cells.obs, protocol)):
        made = split(grid_cells.obs, protocol, fold)
        for condition in made.conditions:
            groups = [set(getattr(condition, r)) for r in ROLES] + [set(made.train)]
            assert all(a.isdisjoint(b) for a, b in combinations(groups, 2))
            assert all(groups)


@pytest.mark.parametrize("protocol", WITHOUT_DOSES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_labels_of_roles(grid_cells, protocol, direction):
    labels = grid_cells.obs[["context", "perturbation"]].to_numpy()
    for condition in split(grid_cells.obs, protocol, 0).conditions:
        source, goal = (
            ("control", condition.perturbation) if direction == "n2p" else (condition.perturbation, "control")
        )
        for positions, label in (
            (condition.input(direction), source),
            (condition.reference(direction), source),
            (condition.truth(direction), goal),
        ):
            assert {tuple(row) for row in labels[positions]} == {(condition.context, label)}


def test_unseen_context_holds_out_each_condition_once(grid_cells):
    folds = [split(grid_cells.obs, "unseen_context", f) for f in range(n_folds(grid_cells.obs, "unseen_context"))]
    pairs = [pair for fold in folds for pair in fold.held_out]
    assert len(pairs) == len(set(pairs)) == 12
    for fold in folds:
        assert sorted(c.perturbation for c in fold.held_out) == ["A", "A+B", "B", "C"]
        obs = grid_cells.obs.iloc[fold.train]
        trained = set(map(Condition, obs["context"], obs["perturbation"]))
        assert trained.isdisjoint(fold.held_out)
        assert {c.perturbation for c in trained} == {"control", "A", "B", "C", "A+B"}


def test_unseen_context_with_two_contexts_held_out(grid_cells):
    made = split(grid_cells.obs, "unseen_context", 0, scope=Scope(contexts_held_out=2))
    assert len(made.held_out) == 8
    assert n_folds(grid_cells.obs, "unseen_context", Scope(contexts_held_out=2)) == 2


def test_unseen_perturbation_hides_combinations(grid_cells):
    for fold in range(n_folds(grid_cells.obs, "unseen_perturbation")):
        made = split(grid_cells.obs, "unseen_perturbation", fold)
        hidden = {c.perturbation for c in made.conditions}
        trained = set(grid_cells.obs["perturbation"].iloc[made.train])
        assert hidden
        assert not any(hidden & set(p.split("+")) for p in trained)


def test_unseen_context_with_one_perturbation():
    cells = make_cells({(c, p): n for c, n in (("big", 60), ("small", 30)) for p in ("IFN", "control")})
    found = [split(cells.obs, "unseen_context", f).held_out for f in (0, 1)]
    assert found == [{Condition("big", "IFN")}, {Condition("small", "IFN")}]


def test_resampled_is_leaky(grid_cells):
    made = split(grid_cells.obs, "resampled", 0)
    assert made.leaky
    assert set(made.conditions[0].truth("n2p")) <= set(made.train)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31))
def test_digest_depends_on_seed_and_not_on_order_of_cells(seed):
    cells = make_cells({(c, p): 24 for c in "xy" for p in ("A", "B", "control")})
    first, again = (split(cells.obs, "unseen_context", 0, seed=seed) for _ in range(2))
    assert first.digest(cells.obs_names) == again.digest(cells.obs_names)
    order = np.random.default_rng(seed).permutation(cells.n_obs)
    moved = cells[order]
    inverse = np.argsort(order)
    same = type(first)(
        first.protocol,
        first.fold,
        first.leaky,
        np.sort(inverse[first.train]),
        tuple(type(c)(c.context, c.perturbation, *(inverse[getattr(c, r)] for r in ROLES)) for c in first.conditions),
        first.held_out,
    )
    assert same.digest(moved.obs_names) == first.digest(cells.obs_names)


def test_small_conditions_are_trained_on_and_not_tested():
    cells = make_cells({("x", "A"): 30, ("y", "A"): 19, ("x", "control"): 30, ("y", "control"): 30})
    with pytest.raises(DataError, match="unseen_context"):
        split(cells.obs, "unseen_context", 0)
    made = split(cells.obs, "held_out_cells", 0)
    assert [(c.context, c.perturbation) for c in made.conditions] == [("x", "A")]
    assert (
        (cells.obs["context"].iloc[made.train] == "y") & (cells.obs["perturbation"].iloc[made.train] == "A")
    ).sum() == 19


def test_errors(grid_cells):
    with pytest.raises(UnknownName, match="unseen_context"):
        split(grid_cells.obs, "unseen_contxt", 0)
    with pytest.raises(DataError, match="0 to 2"):
        split(grid_cells.obs, "unseen_context", 3)
    few = make_cells({("x", "A"): 30, ("x", "control"): 5})
    with pytest.raises(DataError, match="5 controls"):
        split(few.obs, "held_out_cells", 0)


def test_listing_finds_protocol_of_new_file(tmp_path, monkeypatch):
    (tmp_path / "extra.py").write_text(
        "from dataclasses import replace\n"
        "from benchmarks.tasks.protocols.resampled import PROTOCOL as RESAMPLED\n"
        "PROTOCOL = replace(RESAMPLED, name='extra', order=6)\n"
    )
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(tmp_path)])
    before = list(list_protocols())
    list_protocols.cache_clear()
    try:
        assert list(list_protocols()) == [*before, "extra"]
    finally:
        list_protocols.cache_clear()
        sys.modules.pop("benchmarks.tasks.protocols.extra")


def test_untested_conditions_are_named_with_numbers():
    sizes = {("A", "control"): 30, ("A", "G1"): 30, ("A", "G2"): 5, ("B", "control"): 30}
    labels = [(*key, key[1] == "control") for key, n in sizes.items() for _ in range(n)]
    obs = pd.DataFrame(labels, columns=["context", "perturbation", "is_control"]).assign(dose=np.nan)
    notes = " ".join(tell_untested(obs, [Condition("A", "G1")]))
    assert "1 of 2 conditions" in notes
    assert "G2" in notes
    assert "B" in notes
    assert "G1" not in notes


@pytest.mark.parametrize("protocol", HONEST)
def test_most_input_cells(grid_cells, protocol):
    free, capped = (split(grid_cells.obs, protocol, 0, input_cells=most) for most in (10**6, 4))
    np.testing.assert_array_equal(free.train, capped.train)
    assert max(len(c.input(d)) for c in free.conditions for d in DIRECTIONS) > 4
    inputs = dict[str, list[np.ndarray]]()
    for before, after in zip(free.conditions, capped.conditions, strict=True):
        inputs.setdefault(after.context, []).append(after.control_a)
        for direction in DIRECTIONS:
            assert len(after.input(direction)) == min(4, len(before.input(direction)))
        np.testing.assert_array_equal(after.truth("p2n"), before.truth("p2n"))
    for same in inputs.values():
        assert all(own is same[0] for own in same), "conditions with the same controls start from the same cells"


def test_controls_of_a_context_are_listed_once(grid_cells):
    made = split(grid_cells.obs, "held_out_cells", 0)
    table = made.roles(grid_cells.obs_names)
    controls = table[table["role"] == "control_a"]
    assert set(controls["perturbation"]) == {""}
    assert not controls["cell"].duplicated().any()
    order = np.random.default_rng(0).permutation(grid_cells.n_obs)
    assert made.digest(grid_cells.obs_names) != split(grid_cells.obs, "held_out_cells", 0, seed=1).digest(
        grid_cells.obs_names
    )
    assert made.digest(grid_cells.obs_names) != made.digest(grid_cells.obs_names[order])
