"""What a predictor is given to learn from, made of an AnnData alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.contract import CONTROL, Train
from benchmarks.errors import ContractError
from benchmarks.tasks.fold_statistics import fold_statistics
from benchmarks.training_data import CONTROLS_PER_CONTEXT, choose_controls
from tests.conftest import make_cells

SIZES = {
    ("a", CONTROL): 30,
    ("a", "G1"): 7,
    ("b", CONTROL): 5,
    ("b", "G2"): 1,
    ("b", "G3", 10.0): 4,
    ("b", "G3", 1.0): 3,
}


def train_of(sizes=SIZES) -> Train:
    return Train(make_cells(sizes, n_genes=9), "log2_cp10k", "CRISPR")


def test_profiles_of_cells_in_memory_are_those_of_the_pass_over_a_fold() -> None:
    train = train_of()
    streamed = fold_statistics(train.cells, np.arange(train.cells.n_obs), 0).profiles()
    assert train.profiles.labels.equals(streamed.labels)
    assert list(train.profiles.labels["n_cells"]) == [7, 30, 1, 3, 4, 5]
    np.testing.assert_allclose(train.profiles.mean, streamed.mean, rtol=1e-12)
    np.testing.assert_allclose(train.profiles.variance, streamed.variance, rtol=1e-9, atol=1e-12)


def test_profiles_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        train_of().profiles.mean[0] = 0.0


def test_controls_are_all_up_to_the_limit_and_a_seeded_draw_beyond() -> None:
    train = train_of()
    assert list(train.controls.obs_names) == list(train.cells.obs_names[train.cells.obs["perturbation"] == CONTROL])
    obs = make_cells({("a", CONTROL): CONTROLS_PER_CONTEXT + 50, ("a", "G1"): 5, ("b", CONTROL): 3}, n_genes=2).obs
    chosen = choose_controls(obs, 0)
    assert (np.diff(chosen) > 0).all()
    assert obs["perturbation"].iloc[chosen].eq(CONTROL).all()
    assert obs["context"].iloc[chosen].value_counts().to_dict() == {"a": CONTROLS_PER_CONTEXT, "b": 3}
    np.testing.assert_array_equal(chosen, choose_controls(obs, 0))
    assert not np.array_equal(chosen, choose_controls(obs, 1))


@given(st.integers(1, 80), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_batches_hold_every_cell_once_and_repeat_with_the_seed(size: int, seed: int) -> None:
    train = train_of()
    first, second = (list(train.batches(size, seed)) for _ in range(2))
    names = [name for _, obs in first for name in obs.index]
    assert sorted(names) == sorted(train.cells.obs_names)
    assert max(x.shape[0] for x, _ in first) <= size
    for (x, obs), (again, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x.toarray(), train.cells[obs.index].X.toarray())
        np.testing.assert_array_equal(x.toarray(), again.toarray())


def test_batches_are_shuffled_by_the_seed() -> None:
    names = [[name for _, obs in train_of().batches(8, seed) for name in obs.index] for seed in (0, 1)]
    assert names[0] != names[1]
    assert names[0] != sorted(names[0])


def test_a_train_can_be_changed_in_one_field() -> None:
    train = train_of()
    changed = replace(train, device="cuda")
    assert (changed.device, changed.space, changed.cells is train.cells) == ("cuda", train.space, True)


@pytest.mark.parametrize("arguments", [{"space": "zscore", "perturbation_type": "drug"}, {"cells": "some"}])
def test_a_train_needs_cells_and_a_space(arguments: dict) -> None:
    if "cells" in arguments:
        arguments = {"cells": make_cells(SIZES)}
    with pytest.raises(ContractError):
        Train(**arguments)
