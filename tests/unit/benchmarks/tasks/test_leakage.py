"""The leakage audit finds test cells, held-out conditions and fields with statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.contract import Prediction, Query
from benchmarks.errors import LeakageError
from benchmarks.tasks.leakage import HiddenCells, audit_query, audit_train
from benchmarks.tasks.splits import split
from tests.conftest import make_cells


@pytest.fixture
def fold(grid_cells):
    return split(grid_cells.obs, "unseen_context", 0)


def test_clean_fold(grid_cells, fold):
    assert audit_train(grid_cells[fold.train].copy(), fold, grid_cells) == "clean"


def test_finds_test_cell_by_name(grid_cells, fold):
    stolen = np.append(fold.train, fold.conditions[0].control_b[0])
    with pytest.raises(LeakageError, match=r"1 of \d+ test cells"):
        audit_train(grid_cells[stolen].copy(), fold, grid_cells)


def test_finds_renamed_test_cell_by_content(grid_cells, fold):
    train = grid_cells[np.append(fold.train, fold.conditions[0].control_a[0])].copy()
    train.obs_names = [f"new{i}" for i in range(train.n_obs)]
    with pytest.raises(LeakageError, match="under another name"):
        audit_train(train, fold, grid_cells)


def test_finds_held_out_condition(grid_cells, fold):
    train = grid_cells[fold.train].copy()
    context, perturbation, _ = min(fold.held_out)
    train.obs.iloc[0, train.obs.columns.get_loc("context")] = context
    train.obs.iloc[0, train.obs.columns.get_loc("perturbation")] = perturbation
    with pytest.raises(LeakageError, match="held-out condition"):
        audit_train(train, fold, grid_cells)


def test_finds_combination_with_hidden_part(grid_cells):
    fold = split(grid_cells.obs, "unseen_perturbation", 0)
    train = grid_cells[fold.train].copy()
    hidden = min(c.perturbation for c in fold.conditions)
    train.obs.iloc[0, train.obs.columns.get_loc("perturbation")] = "+".join(sorted((hidden, "Z")))
    with pytest.raises(LeakageError, match="held-out condition"):
        audit_train(train, fold, grid_cells)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a.uns.update(mean=1.0),
        lambda a: a.obsm.update(X_pca=np.zeros((a.n_obs, 2))),
        lambda a: a.var.insert(0, "mean", 0.0),
        lambda a: a.obs.insert(0, "score", 0.0),
        lambda a: a.layers.update(scaled=a.X.copy()),
    ],
)
def test_finds_fields_with_statistics(grid_cells, fold, spoil):
    train = grid_cells[fold.train].copy()
    spoil(train)
    with pytest.raises(LeakageError, match="carry"):
        audit_train(train, fold, grid_cells)


def test_leaky_protocol_is_marked(grid_cells):
    fold = split(grid_cells.obs, "resampled", 0)
    assert audit_train(grid_cells[fold.train].copy(), fold, grid_cells).startswith("leaky: ")


def test_query_without_truth(grid_cells, fold):
    condition = fold.conditions[0]
    cells = grid_cells[condition.control_a]
    query = Query(condition.context, condition.perturbation, "n2p", cells.copy(), seed=0)
    truth = set(grid_cells.obs_names[condition.truth("n2p")])
    audit_query(query, truth)
    with pytest.raises(LeakageError, match="view"):
        audit_query(replace(query, cells=cells), truth)
    with pytest.raises(LeakageError, match="truth or reference cells"):
        audit_query(query, set(cells.obs_names[:2]))


def test_nearly_empty_cells_may_be_equal():
    cells = make_cells({("x", "A"): 30, ("x", "control"): 30})
    cells.X = cells.X.multiply(0).tocsr()
    cells.X.eliminate_zeros()
    fold = split(cells.obs, "held_out_cells", 0)
    assert audit_train(cells[fold.train].copy(), fold, cells) == "clean"


@pytest.mark.parametrize("direction", ["n2p", "p2n"])
def test_predicted_rows_are_compared_with_hidden_cells_only(grid_cells, fold, direction):
    hidden, condition = HiddenCells(grid_cells, fold, direction), fold.conditions[0]
    x = grid_cells.X.toarray()
    means = [x[own].mean(axis=0) for own in (condition.truth(direction), condition.input(direction))]

    def found(positions: np.ndarray, shift: float = 0.0) -> tuple[int, bool]:
        count, text = hidden.found_in(Prediction(x[positions] + shift, unit="cell"), *means)
        return count, bool(text)

    for own in (condition.input(direction), fold.train[:9]):
        assert found(own) == (0, False)
    for stolen in (condition.truth(direction), condition.reference(direction), fold.conditions[-1].truth(direction)):
        if not set(stolen) & set(hidden.shown):
            assert found(stolen) == (len(stolen), True)
    assert found(condition.truth(direction), 0.5) == (0, False)
    mixed = np.append(condition.input(direction), condition.reference(direction)[:2])
    assert found(mixed) == (2, True)


def test_mean_of_hidden_cells_is_found(grid_cells, fold):
    hidden, condition = HiddenCells(grid_cells, fold, "n2p"), fold.conditions[0]
    truth, start = (
        grid_cells.X[own].toarray().mean(axis=0) for own in (condition.truth("n2p"), condition.input("n2p"))
    )
    assert hidden.found_in(Prediction(truth, unit="mean"), truth, start)[1]
    assert not hidden.found_in(Prediction(truth + 1e-3, unit="mean"), truth, start)[1]
