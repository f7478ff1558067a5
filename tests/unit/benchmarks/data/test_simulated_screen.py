"""Large simulated screens: their form, that they come block by block, and that their noise-free truth is the truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats

from benchmarks.data.simulation import screen as screen_module
from benchmarks.data.simulation.design import Design
from benchmarks.data.simulation.perturbed_states import (
    DOSES_NM,
    KINDS,
    PUSH,
    Hill,
    SimulatedState,
    dosed,
    draw_compounds,
    draw_pairs,
    numbered,
    singles,
)
from benchmarks.data.simulation.screen import Screen
from benchmarks.data.simulation.sparse_counts import LARGE_MEAN, draw_sparse_counts
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import DataError
from tests.conftest import validate

TARGETS = numbered("SIM_P", 12)
TINY = Design(
    contexts=("sim_A", "sim_B"),
    targets=TARGETS,
    conditions=singles(TARGETS),
    n_genes=200,
    n_modules=8,
    cells=30,
    cells_sd=0.6,
    control_cells=60,
)


def joined(screen):
    blocks = list(screen.blocks())
    x = sp.vstack([b.X for b in blocks], format="csr")
    return AnnData(x, obs=pd.concat([b.obs for b in blocks]), var=blocks[0].var)


@pytest.fixture(scope="module")
def tiny():
    return joined(Screen(TINY, 1))


def test_cells_are_canonical_and_as_many_as_designed(tiny):
    validate(tiny)
    assert tiny.X.dtype == np.float32
    found = pd.crosstab(tiny.obs["context"], tiny.obs["perturbation"])
    screen = Screen(TINY, 1)
    np.testing.assert_array_equal(found[list(TARGETS)].to_numpy(), screen.sizes)
    assert (found["control"] == 60).all()
    assert tiny.n_obs == screen.n_cells
    spread = pd.crosstab([tiny.obs["context"], tiny.obs["perturbation"]], tiny.obs["batch"])
    assert (spread["rep1"] - spread["rep2"]).abs().max() <= 1


def test_same_seed_same_cells_and_another_seed_others(tiny):
    assert digest(joined(Screen(TINY, 1))) == digest(tiny)
    assert digest(joined(Screen(TINY, 2))) != digest(tiny)


def test_blocks_are_small_and_come_one_context_at_a_time(monkeypatch):
    drawn = []
    real = screen_module.draw_context
    monkeypatch.setattr(screen_module, "draw_context", lambda rng, n, *rest: drawn.append(n) or real(rng, n, *rest))
    monkeypatch.setattr(screen_module, "BLOCK_VALUES", 50 * TINY.n_genes)
    blocks = Screen(TINY, 1).blocks()
    first = next(blocks)
    assert drawn == [0]
    sizes = [first.n_obs, *(b.n_obs for b in blocks)]
    assert max(sizes) == 50
    assert sum(sizes) == Screen(TINY, 1).n_cells
    assert drawn == [0, 1]


def test_a_condition_cut_in_two_by_a_block_keeps_its_cells(monkeypatch):
    monkeypatch.setattr(screen_module, "BLOCK_VALUES", 7 * TINY.n_genes)
    cells = joined(Screen(TINY, 1))
    assert cells.obs_names.is_unique
    counted = pd.crosstab(cells.obs["context"], cells.obs["perturbation"])[list(TARGETS)]
    np.testing.assert_array_equal(counted.to_numpy(), Screen(TINY, 1).sizes)


def test_cells_of_a_condition_have_a_long_tail():
    targets = numbered("SIM_P", 400)
    design = Design(("sim_A",), targets, singles(targets), cells=100, cells_sd=0.6, least_cells=1)
    logs = np.log(Screen(design, 0).sizes)
    assert np.median(logs) == pytest.approx(np.log(100), abs=0.1)
    assert logs.std() == pytest.approx(0.6, abs=0.06)
    assert np.ptp(logs) > 2.5


@pytest.mark.parametrize("escape", [(0.0, 0.0), (0.4, 0.4)])
def test_mean_of_many_cells_is_the_expectation(escape):
    strong = {"SIM_P001": 3.0}
    design = replace(
        TINY,
        contexts=("sim_A",),
        conditions=singles(TARGETS)[:1],
        cells=20_000,
        cells_sd=0,
        control_cells=20_000,
        escape=escape,
        strengths=strong,
    )
    screen = Screen(design, 5)
    cells, truth = joined(screen), screen.expectation()
    for label in ("control", "SIM_P001"):
        counts = cells.X[(cells.obs["perturbation"] == label).to_numpy()].toarray()
        values = np.log2(1 + 1e4 * counts / counts.sum(axis=1, keepdims=True))
        error = values.std(axis=0) / np.sqrt(len(values))
        z = ((values.mean(axis=0) - truth.loc[("sim_A", "none", label)]) / error).to_numpy()
        assert np.abs(z).max() < 5, label
        assert 0.8 < np.sqrt((z**2).mean()) < 1.2, label


def test_a_response_solves_the_network():
    """x = A x + what the target pushes, but on the target itself, which is held."""
    screen = Screen(TINY, 3)
    model, world = screen.context(0), screen.world
    responses = model.responses(TINY.conditions, world, TINY)
    for number, x in enumerate(responses):
        pushed = TINY.activity * model.edges[number].toarray().ravel()
        residual = model.regulation @ np.where(np.arange(len(x)) == world.targets[number], 0, x) + pushed - x
        assert x[world.targets[number]] == TINY.activity
        np.testing.assert_allclose(np.delete(residual, world.targets[number]), 0, atol=1e-9)
    assert np.abs(responses).max() > 0.5


def test_contexts_share_part_of_a_response():
    targets = numbered("SIM_P", 40)
    design = Design(("sim_A", "sim_B"), targets, singles(targets), inactive=0)
    screen = Screen(design, 0)
    one, other = (screen.context(n).responses(design.conditions, screen.world, design) for n in (0, 1))
    strong = np.linalg.norm(one, axis=1) > 2.0
    shared = [np.corrcoef(a, b)[0, 1] for a, b in zip(one[strong], other[strong], strict=True)]
    assert len(shared) >= 5
    assert 0.4 < np.mean(shared) < 0.9


def test_named_strength_is_set_and_active_everywhere():
    design = replace(TINY, strengths={"SIM_P003": 2.5}, inactive=1.0)
    screen = Screen(design, 0)
    for number in range(2):
        size = np.abs(screen.context(number).responses(design.conditions, screen.world, design)).sum(axis=1)
        assert size[2] > 5
        np.testing.assert_allclose(np.delete(size, 2), abs(design.activity))


def test_pairs_without_interaction_are_sums_and_the_others_are_not():
    pairs = draw_pairs(np.random.default_rng(0), TARGETS, 30, interacting=0.5, n_modules=8)
    design = replace(TINY, conditions=(*singles(TARGETS), *pairs.conditions), inactive=0.0, activity=1.5)
    screen = Screen(design, 2)
    x = screen.context(0).responses(design.conditions, screen.world, design)
    kinds = list(pairs.kinds.values())
    assert kinds.count("additive") == 15
    assert set(kinds) == set(KINDS)
    for row, condition in enumerate(pairs.conditions, start=len(TARGETS)):
        (a, first), (b, second) = condition.parts
        rest = np.setdiff1d(np.arange(design.n_genes), screen.world.targets)
        expected = (first * x[a] + second * x[b])[rest]
        kind = pairs.kinds[condition.perturbation]
        np.testing.assert_array_equal(x[row][screen.world.targets[[a, b]]], 1.5)
        assert (kind == "additive") == ((first, second) == (1.0, 1.0) and condition.push is None)
        if kind == "new":
            assert np.abs(x[row][rest] - expected).max() >= 0.9 * PUSH
        else:
            np.testing.assert_allclose(x[row][rest], expected, atol=1e-9)


def test_no_interaction_gives_sums_only():
    pairs = draw_pairs(np.random.default_rng(0), TARGETS, 10, interacting=0.0)
    assert set(pairs.kinds.values()) == {"additive"}
    with pytest.raises(DataError, match="at most 66 pairs"):
        draw_pairs(np.random.default_rng(0), TARGETS, 67)


def test_hill_curve_has_its_half_its_top_and_rises():
    curve = Hill(0, top=0.8, half=300.0, slope=1.7)
    assert curve(0.0) == 0
    assert curve(300.0) == pytest.approx(0.4)
    assert curve(1e9) == pytest.approx(0.8)
    assert np.all(np.diff([curve(dose) for dose in DOSES_NM]) > 0)


def test_dose_scales_the_response_and_the_target_is_not_held():
    compounds = {"SIM_C001": (Hill(11, 1.0, 500.0, 1.0),)}
    design = replace(
        TINY, conditions=dosed(compounds), holds_target=False, strengths={"SIM_P012": 2.0}, escape=(0.0, 0.0)
    )
    screen = Screen(design, 0)
    x = screen.context(0).responses(design.conditions, screen.world, design)
    weights = np.array([compounds["SIM_C001"][0](dose) for dose in DOSES_NM])
    np.testing.assert_allclose(x, weights[:, None] * x[-1] / weights[-1], atol=1e-12)
    assert x[-1, screen.world.targets[11]] != design.activity
    obs = joined(screen).obs
    assert sorted(obs.loc[~obs["is_control"], "dose"].unique()) == list(DOSES_NM)
    assert obs.loc[obs["is_control"], "dose"].isna().all()


def test_truth_has_one_row_a_dose():
    design = replace(TINY, conditions=dosed({"SIM_C001": (Hill(0, 1.0, 500.0, 1.0),)}), strengths={"SIM_P001": 3.0})
    truth = Screen(design, 0).expectation()
    assert truth.index.names == ["context", "arm", "perturbation", "dose"]
    assert len(truth) == 2 * (1 + 4)
    assert truth.loc[("sim_A", "none", "SIM_C001")].to_numpy().std(axis=0).max() > 0.1


def test_compounds_share_targets_and_some_do_nothing():
    compounds = draw_compounds(np.random.default_rng(0), numbered("SIM_C", 60), 10, inactive=0.3)
    main = [curves[0].target for curves in compounds.values()]
    assert np.bincount(main).tolist() == [6] * 10
    assert 0.15 < np.mean([curves[0].half > 10 * max(DOSES_NM) / 2 for curves in compounds.values()]) < 0.45
    assert all(len({c.target for c in curves}) == len(curves) for curves in compounds.values())


@pytest.mark.parametrize(("mean", "dispersion"), [(0.05, 0.4), (2.0, 1.5), (LARGE_MEAN * 3, 0.3)])
def test_sparse_counts_are_negative_binomial(mean, dispersion):
    n = 40_000
    counts = draw_sparse_counts(
        np.array([[0.75, 0.25]]),
        np.zeros(n, int),
        np.full(n, mean / 0.25),
        np.array([0.2, dispersion]),
        np.random.default_rng(1),
    )
    values = counts[:, 1].toarray().ravel()
    expected = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))
    edges = np.unique(expected.ppf(np.linspace(0.02, 0.999, 20)))
    observed = np.histogram(values, np.concatenate([[-1], edges, [np.inf]]) + 0.5)[0]
    probability = np.diff(np.concatenate([[0], expected.cdf(edges), [1]]))
    assert stats.chisquare(observed, probability * n).pvalue > 1e-3
    assert counts.has_sorted_indices
    assert counts.data.min() >= 1


def test_annotation_has_true_terms_for_every_gene():
    screen = Screen(TINY, 0)
    assert list(screen.annotation) == list(screen.world.genes)
    for gene, members in zip(screen.world.genes, screen.world.members, strict=True):
        assert screen.annotation[gene] & {f"SIMM{m + 1:02d}" for m in np.flatnonzero(members)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_genes": 20}, "at most half of the genes"),
        ({"contexts": ()}, "1 context and 1 condition"),
        ({"conditions": ()}, "1 context and 1 condition"),
        ({"contexts": ("a", "a")}, "every context once"),
        ({"cells": 0.0}, "positive numbers"),
        ({"counts_per_gene": 0.1}, "none is empty"),
        ({"strengths": {"no such target": 1.0}}, "strengths of its targets"),
        ({"conditions": (SimulatedState("B+A", ((0, 1.0),)),)}, "name 'A\\+B'"),
        ({"conditions": (SimulatedState("control", ((0, 1.0),)),)}, "than 'control'"),
        ({"conditions": (SimulatedState("A", ((12, 1.0),)),)}, "targets from 0 to 11"),
        ({"conditions": (SimulatedState("A", ((0, 1.0),), push=(8, 1.0)),)}, "module from 0 to 7"),
        ({"conditions": (SimulatedState("A", ((0, 1.0),)), SimulatedState("A", ((1, 1.0),)))}, "every condition once"),
    ],
)
def test_designs_no_screen_can_be_made_of(wrong, message):
    with pytest.raises(DataError, match=message):
        replace(TINY, **wrong)
