"""Predictors that know nothing, or no more than the names of the perturbed genes, reach no metric's better values."""

from __future__ import annotations

from functools import cache

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.contract import Prediction
from benchmarks.scoring.cell_sets import take
from benchmarks.scoring.evaluate import evaluate
from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.references import references
from benchmarks.scoring.scored_fold import ScoredFold, scored_fold_of
from benchmarks.scoring.scored_set import BlockedFold
from benchmarks.scoring.summaries import summarise_predictions, summarise_truth
from benchmarks.scoring.training_summary import summarise_training
from benchmarks.tasks.splits import Split, TestCondition
from tests.unit.benchmarks.scoring.metrics.quantities import draw

SEEDS = range(10)
GENES, TESTED, TRAINED, CELLS, CONTROLS = 160, 6, 24, 24, 90
RAISED = 3.0
KNOW_NOTHING = ("no_change", "other_controls", "shifted")
KNOW_NAMES = ("names_only", "names_raised")
N = TESTED
NULL = {
    "sign_accuracy": None,  # 0 for no change, and anything for a random one, whose sign is right by chance
    "nmae_lfc": None,  # 1 for no change, above for a random one
    "pds": (N + 1) / (2 * N),
    "pds_vcc": None,  # names move it, which is why it is not ranked
    "pds_cosine": 0.5,
    "pds_cosine_vcc": None,
    "centroid_accuracy": 0.5,
    "rank_perturbench": (N - 1) / (2 * N),
}
"""What a metric of the change or of retrieval gets from who knows nothing; 0 where it is not named."""
MOVED_BY_NAMES = ("pearson_delta_all_genes", "cosine_delta_all_genes", "pds_cosine_vcc")


def screen(seed: int, effect: float = 0.5) -> tuple[ad.AnnData, Split]:
    """One context: every perturbation takes its own gene away, changes some others, and all share one change."""
    generator = np.random.default_rng(seed)
    base = generator.gamma(2.0, 2.0, GENES) + 0.5
    common = effect * generator.normal(size=GENES) * (generator.random(GENES) < 0.5)
    blocks, labels = [generator.poisson(base, (CONTROLS, GENES))], ["control"] * CONTROLS
    for number in range(TESTED + TRAINED):
        own = effect * generator.normal(size=GENES) * (generator.random(GENES) < 0.3)
        rate = base * 2 ** (common + own)
        rate[number] *= 0.02 if effect else 1.0
        blocks.append(generator.poisson(rate, (CELLS, GENES)))
        labels += [f"G{number}"] * CELLS
    x = np.log2(1 + np.vstack(blocks)).astype(np.float32)
    obs = pd.DataFrame({"context": "A", "perturbation": labels}, index=[f"c{i}" for i in range(len(labels))])
    cells = ad.AnnData(sp.csr_matrix(x), obs, pd.DataFrame(index=[f"G{i}" for i in range(GENES)]))
    a, b, c = np.array_split(generator.permutation(CONTROLS), 3)
    conditions = []
    for number in range(TESTED):
        first = CONTROLS + number * CELLS
        parts = np.arange(first, first + CELLS // 2), np.arange(first + CELLS // 2, first + CELLS)
        conditions.append(TestCondition("A", f"G{number}", np.sort(a), np.sort(b), *parts))
    train = np.sort(np.concatenate([c, np.arange(CONTROLS + TESTED * CELLS, len(labels))]))
    return cells, Split("unseen_perturbation", 0, False, train, tuple(conditions), frozenset())


def make_fold(seed: int, direction="n2p", effect: float = 0.5) -> ScoredFold:
    cells, split = screen(seed, effect)
    training = summarise_training(cells, split.train, seed, split.conditions)
    return scored_fold_of(cells, split, direction, training, space="log2_raw", seed=seed)


def predictors(fold: ScoredFold):
    """Predictor → cells of a condition."""

    def restored(number: int) -> np.ndarray:
        cells = fold.input_cells(number).toarray()
        cells[:, fold.perturbed_genes(number)] += RAISED
        return cells

    if fold.direction == "p2n":
        return {"no_change": lambda number: fold.input_cells(number).toarray(), "restored": restored}

    def start(number: int) -> np.ndarray:
        return take(fold.cells, fold.training.start_like(fold.conditions[number])).toarray()

    def raised(number: int) -> np.ndarray:
        own, cells = fold.perturbed_genes(number), named(number).copy()
        cells[:, np.setdiff1d(fold.own_gene[fold.own_gene >= 0], own)] += RAISED
        return cells

    def named(number: int) -> np.ndarray:
        cells = start(number).copy()
        cells[:, fold.perturbed_genes(number)] = 0.0
        return cells

    return {
        "no_change": lambda number: fold.input_cells(number).toarray(),
        "other_controls": start,
        "shifted": lambda number: start(number) + np.float32(0.3 if fold.seed % 2 else -0.3),
        "names_only": named,
        "names_raised": raised,
    }


@cache
def scores(direction: str = "n2p", effect: float = 0.5) -> dict[str, dict[str, np.ndarray]]:
    """Metric → predictor → values [seed, condition]."""
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for seed in SEEDS:
        fold = make_fold(seed, direction, effect)
        truth = summarise_truth(fold)
        for name, cells in predictors(fold).items():
            load = lambda n, cells=cells: Prediction(cells(n), unit="cell")  # noqa: E731
            for metric, values in evaluate(fold, truth, summarise_predictions(fold, truth, load)).items():
                found.setdefault(metric, {}).setdefault(name, []).append(values.values)
    return {metric: {name: np.array(v) for name, v in by_name.items()} for metric, by_name in found.items()}


def ids(metric) -> str:
    return metric.name


def null_cases() -> list:
    """Metrics of the change and of retrieval that have a null value, with the predictors that must get it.

    Not `_shared` metrics, which have shared noise, and not names where the perturbed gene is among the genes.
    """
    cases = []
    for metric in METRICS:
        null = NULL.get(metric.name, 0.0)
        if metric.family in ("change", "retrieval") and null is not None and not metric.name.endswith("_shared"):
            with_names = () if metric.name.endswith("_all_genes") else KNOW_NAMES
            cases += [pytest.param(metric, n, null, id=f"{metric.name}-{n}") for n in (*KNOW_NOTHING, *with_names)]
    return cases


@pytest.mark.parametrize(("metric", "predictor", "null"), null_cases())
def test_null_value_of_know_nothing(metric, predictor, null):
    values = scores()[metric.name][predictor]
    by_seed = np.nanmean(values, axis=1) if np.isfinite(values).any(axis=1).all() else None
    if by_seed is None:
        assert metric.undefined == "too_few_genes"
        pytest.skip("too few significant genes in some screens")
    error = by_seed.std(ddof=1) / np.sqrt(len(by_seed))
    # names of other targets, raised, are changes by chance; centring is on the mean of finitely many perturbations
    allowed = 4 * error + (0.05 if metric.name == "pearson_delta_centroid" else 1e-6)
    assert abs(by_seed.mean() - null) <= allowed


@pytest.mark.parametrize("metric", [m for m in METRICS if m.scored], ids=ids)
def test_no_scored_metric_is_moved_by_own_names(metric):
    found = scores()[metric.name]
    np.testing.assert_allclose(found["names_only"], found["other_controls"], atol=1e-5)


@pytest.mark.parametrize("metric", [m for m in METRICS if m.family == "retrieval" and m.scored], ids=ids)
def test_no_retrieval_is_moved_by_any_names(metric):
    found = scores()[metric.name]
    np.testing.assert_array_equal(found["names_raised"], found["other_controls"])


@pytest.mark.parametrize("name", MOVED_BY_NAMES)
def test_published_definitions_are_moved_by_names(name):
    found = scores()[name]
    assert found["names_only"].mean() > found["other_controls"].mean() + 0.05


@pytest.mark.parametrize("name", ["pearson_delta_shared", "cosine_delta_shared"])
def test_shared_controls_score_noise(name):
    """Where nothing has an effect, other controls score with one control mean on both sides, and without do not."""
    found = scores(effect=0.0)
    plain = found[name.replace("_shared", "")]["other_controls"]
    assert abs(plain.mean()) < 4 * plain.mean(axis=1).std(ddof=1) / np.sqrt(len(SEEDS))
    assert found[name]["other_controls"].mean() > 0.2


def test_audit_flags_those_who_know_nothing():
    strong, none = scores(), scores(effect=0.0)
    for name in (*KNOW_NOTHING, "names_only"):
        assert strong["copies_input"][name].mean() >= 0.9, name
        assert strong["copy_margin"][name].mean() < 0, name
    margin = none["copy_margin"]["no_change"].mean(axis=1)
    assert abs(margin.mean()) < 0.01, "without an effect, true and reference cells are equally like the input"


@pytest.mark.parametrize("metric", [m for m in METRICS if m.scored and m.family != "retrieval"], ids=ids)
def test_own_gene_moves_nothing_backwards(metric):
    """p2n: the input with the perturbed gene restored scores as the input does."""
    found = scores("p2n")[metric.name]
    np.testing.assert_allclose(found["restored"], found["no_change"], atol=1e-5)


@pytest.mark.parametrize("metric", [m for m in METRICS if m.scored], ids=ids)
@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["normal", "ties"]), n=st.integers(1, 6), genes=st.integers(2, 60), seed=st.integers(0, 9999)
)
def test_own_gene_is_in_no_scored_metric(metric, kind, n, genes, seed):
    quantities = draw(kind, n, genes, seed)
    moved, generator = dict(quantities), np.random.default_rng(seed)
    every = np.unique(quantities["own_gene"][quantities["own_gene"] >= 0])
    for name in ("predicted", "delta_hat", "delta_hat_centred", "lfc_hat", "p_hat"):
        changed = quantities[name].copy()
        if metric.family == "retrieval":
            changed[:, every] = generator.normal(0, 100, (n, len(every)))
        else:
            own = ~quantities["other_genes"]
            changed[own] = generator.random(own.sum())
        moved[name] = changed
    values, again = (metric.function(*(q[name] for name in metric.needs)) for q in (quantities, moved))
    np.testing.assert_allclose(again, values, atol=1e-9)


def test_reference_is_in_every_suite_with_training_controls():
    fold = make_fold(0)
    found = dict(references(BlockedFold(fold)))
    assert {"names_only", "other_controls"} <= set(found)
    for metric in METRICS:
        if metric.scored:
            pair = found["names_only"][metric.name], found["other_controls"][metric.name]
            np.testing.assert_allclose(pair[0].values, pair[1].values, atol=1e-12)
            assert (pair[0].status == pair[1].status).all()
    truth, named = summarise_truth(fold), predictors(fold)["names_only"]
    values = evaluate(fold, truth, summarise_predictions(fold, truth, lambda n: Prediction(named(n), unit="cell")))
    for name, expected in values.items():
        np.testing.assert_allclose(found["names_only"][name].values, expected.values, atol=1e-6, err_msg=name)
    assert "names_only" not in dict(references(BlockedFold(make_fold(0, "p2n"))))


def test_models_made_from_training_cells_are_not_rewarded_when_centred():
    """Training controls, and the mean effect itself, hold the noise of the training cells: it must not be in the truth's side."""
    values = scores()["pearson_delta_centroid"]
    assert abs(values["other_controls"].mean() - values["no_change"].mean()) < 0.05
    means = []
    for seed in SEEDS:
        fold = make_fold(seed)
        truth, effect = summarise_truth(fold), fold.mean_effect()
        load = lambda n, f=fold, e=effect: Prediction(f.input_cells(n).toarray() + e[n], unit="cell")  # noqa: E731
        found = evaluate(fold, truth, summarise_predictions(fold, truth, load))
        means.append(found["pearson_delta_centroid"].values.mean())
    assert -0.2 < np.mean(means) < 0.05


def test_two_mean_effects_share_no_cell():
    names = np.repeat(["control", "G0", "G1"], [5, 4, 3])
    obs = pd.DataFrame({"context": "A", "perturbation": names}, index=[f"c{i}" for i in range(12)])
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)

    def effects(values: np.ndarray):
        cells = ad.AnnData(sp.csr_matrix(values), obs, pd.DataFrame(index=list("abcd")))
        return summarise_training(cells, np.arange(12), 0).effects[None, None]

    before, sides = effects(x), []
    means = pd.DataFrame(x.astype(np.float64)).groupby(names).mean()
    np.testing.assert_allclose(before.all.loc["A"], means.loc[["G0", "G1"]].mean() - means.loc["control"], atol=1e-6)
    for cell in range(12):
        moved = x.copy()
        moved[cell] += 1.0
        after = effects(moved)
        sides.append([not np.allclose(getattr(after, n), getattr(before, n)) for n in ("all", "first", "second")])
    assert all(whole and first != second for whole, first, second in sides)
    for name in ("control", "G0", "G1"):
        assert np.array(sides)[names == name].any(axis=0).all(), "cells of every condition are in both halves"
