"""Effects that add, and nearest neighbours: by hand, and on a simulated screen whose pairs are planted sums."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import concat

from baselines.additive import Additive, cell_noise, shrunken_means
from baselines.knn import Knn, jaccard
from baselines.shared.effects import context_means
from benchmarks.contract import CONTROL
from benchmarks.data.cell_table import read
from benchmarks.data.expression_space import to_space
from benchmarks.data.simulation.screen import Screen
from benchmarks.data.sources import load_reader
from benchmarks.errors import ContractError
from tests.unit.baselines.planted import cells_of, query_of, train_of

BASE = [5.0, 5.0, 5.0]


def profiles(**contexts: dict[str, list[float]]) -> dict[tuple[str, str], np.ndarray]:
    """Controls at 5 and each perturbation's effect above them."""
    found = {(c, CONTROL): np.array(BASE) for c in contexts}
    return found | {(c, p): np.array(BASE) + e for c, own in contexts.items() for p, e in own.items()}


def change(model, context, perturbation, direction="n2p"):
    prediction = model.predict(query_of(BASE, context, perturbation, direction))
    return (prediction.mean() - BASE) * (1 if direction == "n2p" else -1), prediction.note


@pytest.fixture
def additive():
    screen = profiles(x={"A": [1, 0, 0], "B": [0, 2, 0], "A+B": [9, 9, 9]}, z={})
    model = Additive()
    model.fit(train_of(cells_of(screen)), seed=0)
    return model


def test_combination_is_sum_of_parts(additive):
    for direction in ("n2p", "p2n"):
        effect, note = change(additive, "x", "A+B", direction)
        assert effect == pytest.approx([1, 2, 0], abs=1e-5)
        assert note == ""


def test_unknown_parts_get_mean_effect_with_note(additive):
    mean = np.array([10, 11, 9]) / 3
    effect, note = change(additive, "x", "A+Q")
    assert effect == pytest.approx(mean + np.array([1, 0, 0]), abs=1e-5)
    assert note == "Q not trained on: mean effect in its place"
    effect, note = change(additive, "x", "Q+R")
    assert effect == pytest.approx(mean, abs=1e-5), "once, not twice"
    assert note == "Q and R not trained on: mean effect"


@pytest.mark.parametrize(
    ("other", "share", "expected"),
    [
        ({"A": [2.0, 0, 0], "B": [0, 2.0, 0]}, 1.0, [2, 0, 0]),  # the same in both: all of it carries over
        ({"A": [0.0, 2, 0], "B": [2.0, 0, 0]}, 0.0, [1, 1, 0]),  # the reverse in the other: only the mean does
    ],
)
def test_carry_over_to_new_context(other, share, expected):
    screen = profiles(x={"A": [2.0, 0, 0], "B": [0, 2.0, 0]}, y=other, z={})
    model = Additive()
    model.fit(train_of(cells_of(screen)), seed=0)
    assert model.singles.of((None, None)).carried == pytest.approx(share)
    effect, note = change(model, "z", "A")
    assert effect == pytest.approx(expected, abs=1e-5)
    assert note == "no training perturbation in z: mean of all contexts"


def test_mean_effect_is_shrunk_by_noise():
    """Mean changes 4 and 0 around 2: with noise variances 2 and 0, half a unit of the 4 between them is noise."""
    index = pd.MultiIndex.from_tuples([("x", "A"), ("y", "A")], names=["context", "perturbation"])
    table = context_means(pd.DataFrame([[4.0], [0.0]], index=index))
    means = shrunken_means(table, pd.Series({"x": 2.0, "y": 0.0}))
    assert means[0].tolist() == pytest.approx([2 + 2 * (1 - 0.5 / 4), 2 - 2 * (1 - 0.5 / 4)])
    assert shrunken_means(table, pd.Series({"x": 99.0, "y": 99.0}))[0].tolist() == [2.0, 2.0], "nothing but noise"
    assert shrunken_means(table[:1], pd.Series({"x": 1.0}))[0].tolist() == [4.0], "one context has nowhere to go"


def test_noise_of_mean_change():
    cells = cells_of({("x", CONTROL): [1.0, 5.0], ("x", "A"): [1.0, 5.0]}, n_cells=500, noise=0.5)
    assert cell_noise(train_of(cells))["x"] == pytest.approx(2 * 0.25 * (1 / 500 + 1 / 500), rel=0.1)


def test_additive_recovers_simulated_pairs():
    design = load_reader("norman_simulated").design(n_singles=8, n_pairs=6, interacting=0.0, n_genes=120)
    cells = read(to_space(concat(list(Screen(design, 5).blocks())), "counts")[0])
    names = cells.obs["perturbation"].astype(str)
    pairs = sorted({name for name in names if "+" in name})
    model = Additive()
    model.fit(train_of(cells[(~names.isin(pairs)).to_numpy()].copy()), seed=0)
    control = np.asarray(cells[(names == CONTROL).to_numpy()].X.mean(axis=0)).ravel()
    found, mean = [], []
    for pair in pairs:
        truth = np.asarray(cells[(names == pair).to_numpy()].X.mean(axis=0)).ravel() - control
        query = query_of(control, "sim_K562", pair, genes=tuple(cells.var_names))
        found.append(np.corrcoef(model.predict(query).mean() - control, truth)[0, 1])
        mean.append(np.corrcoef(model.singles.effects.mean(axis=0), truth)[0, 1])
    assert np.mean(found) > 0.8
    assert np.mean(found) > np.mean(mean) + 0.2


def test_trained_condition_is_its_own_neighbour():
    model = Knn()
    model.fit(train_of(cells_of(profiles(x={"A": [1, 0, 0], "B": [0, 2, 0]}, y={"A": [5, 0, 0]}))), seed=0)
    assert change(model, "x", "A")[0] == pytest.approx([1, 0, 0], abs=1e-5)


def test_neighbours_by_similar_effects():
    """y answers as x does, w the other way round: from y alone, although w's controls are as near."""
    shared = {"A": [1.0, 0, 0], "B": [0, 1.0, 0], "C": [0, 0, 1.0]}
    reverse = {name: [-v for v in effect] for name, effect in shared.items()}
    screen = profiles(x=shared, y=shared | {"D": [3.0, 1, 0]}, w=reverse | {"D": [-7.0, 0, 2]})
    model = Knn()
    model.fit(train_of(cells_of(screen)), seed=0)
    effect, note = change(model, "x", "D")
    assert effect == pytest.approx([3, 1, 0], abs=1e-5)
    assert note == "from y"


def test_neighbours_by_similar_controls():
    screen = {
        ("x", CONTROL): np.array([1.0, 5, 9]),
        ("y", CONTROL): np.array([1.0, 5, 9]),
        ("w", CONTROL): np.array([9.0, 5, 1]),
        ("y", "A"): np.array([2.0, 5, 9]),
        ("w", "A"): np.array([9.0, 5, 5]),
    }
    model = Knn()
    model.fit(train_of(cells_of(screen)), seed=0)
    prediction = model.predict(query_of(screen["x", CONTROL], "x", "A"))
    assert prediction.mean() == pytest.approx([2, 5, 9], abs=1e-5)
    assert prediction.note == "from y"


def test_neighbours_by_annotation():
    annotation = {"A": {"t1", "t2"}, "B": {"t2"}, "C": {"t9"}, "Q": {"t1", "t2"}}
    model = Knn(n_neighbours=2)
    screen = profiles(x={"A": [4.0, 0, 0], "B": [0, 4.0, 0], "C": [0, 0, 4.0]})
    model.fit(train_of(cells_of(screen), {g: frozenset(t) for g, t in annotation.items()}), seed=0)
    near, far = jaccard(frozenset("A12"), frozenset("Q12")), jaccard(frozenset("B2"), frozenset("Q12"))
    assert (near, far) == (2 / 4, 1 / 4)
    effect, note = change(model, "x", "Q")
    assert effect == pytest.approx([4 * 2 / 3, 4 / 3, 0], abs=1e-5)
    assert note == "from A, B"
    effect, note = change(model, "x", "R")
    assert effect == pytest.approx([4 / 3] * 3, abs=1e-5)
    assert note == "nothing similar was trained on: mean effect"


def test_zero_neighbours_raise():
    with pytest.raises(ContractError, match="n_neighbours"):
        Knn(n_neighbours=0)
