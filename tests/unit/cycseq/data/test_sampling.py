import numpy as np
import pytest
import scipy.sparse as sp

from cycseq import DataError, TrainConfig
from cycseq.data import loader, sampling, vocabulary
from cycseq.data.vocabulary import NO_PERTURBATION


@pytest.fixture
def coded(screen):
    names = vocabulary.from_adata(screen)
    return vocabulary.encode(screen, names), names


def rng():
    return np.random.default_rng(0)


def test_pick_is_without_replacement_when_there_are_enough_cells():
    picked = sampling.pick(12, 10, 200, rng())
    assert picked.shape == (200, 10)
    assert all(len(set(row)) == 10 for row in picked.tolist())
    assert set(picked.ravel()) == set(range(12))
    assert sorted(sampling.pick(10, 10, 1, rng())[0]) == list(range(10))


def test_pick_is_with_replacement_when_there_are_not():
    picked = sampling.pick(3, 10, 50, rng())
    assert picked.shape == (50, 10)
    assert set(picked.ravel()) == {0, 1, 2}


def test_draws_are_means_of_their_cells():
    x = sp.csr_matrix(np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 8.0]], dtype=np.float32))
    assignment = sampling.assign(np.array([[0, 1], [2, 2]]), 3)
    assert sampling.average(assignment, x).tolist() == [[2.0, 1.0], [5.0, 8.0]]


def test_pairs_stay_within_context_batch_and_label(coded):
    cells, names = coded
    config = TrainConfig(cells_per_draw=10, draws_per_condition=4)
    held = sampling.split_cells(cells, names, 0.25, seed=0)
    pairs = sampling.make_pairs(cells, names, ~held, config, rng())
    assert len(pairs) == 3 * 2 * 6 * 4
    for side, is_control in ((pairs.control, True), (pairs.perturbed, False)):
        assert np.allclose(side.sum(axis=1), 1)
        assert (np.diff(side.indptr) == 10).all()
        of_pair = np.repeat(np.arange(len(pairs)), np.diff(side.indptr))
        assert (cells.batch[side.indices] == pairs.b[of_pair]).all()
        expected = np.full(len(of_pair), NO_PERTURBATION) if is_control else pairs.p[of_pair]
        assert (cells.perturbation[side.indices] == expected).all()


def test_training_and_validation_draws_share_no_cell(coded):
    cells, names = coded
    held = sampling.split_cells(cells, names, 0.25, seed=0)
    assert held.mean() == pytest.approx(0.25, abs=0.02)
    used = []
    for keep in (~held, held):
        pairs = sampling.make_pairs(cells, names, keep, TrainConfig(draws_per_condition=5), rng())
        used.append(set(pairs.control.indices) | set(pairs.perturbed.indices))
        assert used[-1] <= set(np.flatnonzero(keep))
    assert not used[0] & used[1]


def test_split_of_a_context_is_the_same_alone(screen):
    names = vocabulary.from_adata(screen)
    own = (screen.obs["context"] == "lineB").to_numpy()
    whole = sampling.split_cells(vocabulary.encode(screen, names), names, 0.2, seed=3)
    alone = sampling.split_cells(vocabulary.encode(screen[own], names), names, 0.2, seed=3)
    assert np.array_equal(whole[own], alone)
    assert not np.array_equal(whole, sampling.split_cells(vocabulary.encode(screen, names), names, 0.2, seed=4))


def test_batch_without_controls_takes_those_of_its_context(screen):
    lacking = (
        (screen.obs["context"] == "lineA") & (screen.obs["batch"] == "rep1") & (screen.obs["perturbation"] == "control")
    ).to_numpy()
    cells = screen[~lacking]
    names = vocabulary.from_adata(cells)
    coded = vocabulary.encode(cells, names)
    pairs = sampling.make_pairs(coded, names, np.ones(cells.n_obs, bool), TrainConfig(draws_per_condition=2), rng())
    first = names.batches.index(("lineA", "rep1"))
    second = names.batches.index(("lineA", "rep2"))
    used = pairs.control[pairs.b == first].indices
    assert len(used) > 0
    assert set(coded.batch[used]) == {second}


def test_context_without_controls_is_an_error(screen):
    cells = screen[((screen.obs["context"] != "lineA") | (screen.obs["perturbation"] != "control")).to_numpy()]
    names = vocabulary.from_adata(cells)
    with pytest.raises(DataError, match=r"lineA.*no control cells"):
        sampling.make_pairs(vocabulary.encode(cells, names), names, np.ones(cells.n_obs, bool), TrainConfig(), rng())


def test_single_cell_unit_uses_each_perturbed_cell_once(coded):
    cells, names = coded
    pairs = sampling.make_pairs(cells, names, np.ones(len(cells.batch), bool), TrainConfig(unit="cell"), rng())
    assert sorted(pairs.perturbed.indices) == np.flatnonzero(cells.perturbation != NO_PERTURBATION).tolist()
    assert (np.diff(pairs.control.indptr) == 1).all()


def test_loader_gives_every_pair_once_cached_or_not(coded, monkeypatch):
    cells, names = coded
    pairs = sampling.make_pairs(
        cells, names, np.ones(len(cells.batch), bool), TrainConfig(draws_per_condition=2), rng()
    )
    cached = list(loader.PairLoader(pairs, "cpu").epoch(16, rng()))
    monkeypatch.setattr(loader, "CACHE_BYTES", 0)
    lazy = loader.PairLoader(pairs, "cpu")
    for one, other in zip(cached, lazy.epoch(16, rng()), strict=True):
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
    assert sorted(
        zip(np.concatenate([b.p for b in cached]), np.concatenate([b.b for b in cached]), strict=True)
    ) == sorted(zip(pairs.p, pairs.b, strict=True))
    whole = pairs.take(np.arange(len(pairs)))
    both = np.concatenate([whole.control.numpy().ravel(), whole.perturbed.numpy().ravel()]).astype(np.float64)
    assert lazy.statistics.variance == pytest.approx(both.var(), rel=1e-6)
    assert np.allclose(lazy.statistics.perturbed, whole.perturbed.numpy().mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((7,), [1]), ((100, 100), [2, 2]), ((60, 140), [1, 3]), ((99, 101), [2, 2]), ((3, 120), [1, 1])],
)
def test_query_draws_use_every_cell_once_within_its_batch(sizes, expected):
    batches = rng().permutation(np.repeat(np.arange(len(sizes)), sizes))
    assignment, of_draw = sampling.query_draws(batches, 50, rng())
    assert [int((of_draw == b).sum()) for b in range(len(sizes))] == expected
    assert np.allclose(assignment.sum(axis=1), 1)
    assert sorted(assignment.indices) == list(range(len(batches)))
    for draw, own in enumerate(np.split(assignment.indices, assignment.indptr[1:-1])):
        assert (batches[own] == of_draw[draw]).all()


def test_query_of_single_cells_keeps_the_cells():
    assignment, _ = sampling.query_draws(np.array([0, 1, 0, 1, 1]), 1, rng())
    assert assignment.shape == (5, 5)
    assert np.allclose(assignment.data, 1)


def test_doses_are_conditions_and_carried_by_the_control(screen):
    cells = screen.copy()
    cells.obs["dose"] = np.where(
        cells.obs["perturbation"] == "control", np.nan, np.where(np.arange(cells.n_obs) % 2, 10.0, 1000.0)
    )
    names = vocabulary.from_adata(cells)
    assert names.dosed
    pairs = sampling.make_pairs(
        vocabulary.encode(cells, names), names, np.ones(cells.n_obs, bool), TrainConfig(draws_per_condition=2), rng()
    )
    assert pairs.dose.shape == (3 * 2 * 6 * 2 * 2, 1)
    assert sorted(np.unique(pairs.dose)) == pytest.approx([1.0, 3.0])


def test_perturbed_cell_without_dose_is_an_error(screen):
    cells = screen.copy()
    cells.obs["dose"] = 10.0
    cells.obs.loc[cells.obs_names[100], "dose"] = np.nan
    assert cells.obs["perturbation"].iloc[100] != "control"
    with pytest.raises(DataError, match="1 perturbed cells have no positive dose"):
        vocabulary.encode(cells, vocabulary.from_adata(cells))
