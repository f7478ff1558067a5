"""What must hold for every metric in METRICS, whatever it measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.errors import UnknownName
from benchmarks.scoring.metrics.all_metrics import METRICS, find_metric
from benchmarks.scoring.metrics.metric import Metric
from tests.unit.benchmarks.scoring.metrics.quantities import GENE_WISE, ORACLE, draw

every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
few = settings(max_examples=25, deadline=None)
KINDS = st.sampled_from(["normal", "ties", "flat"])
CONDITIONS, GENES, SEEDS = st.integers(1, 6), st.integers(1, 60), st.integers(0, 10_000)
SHARES = {
    "sign_accuracy",
    "pds",
    "pds_cosine",
    "pds_vcc",
    "pds_cosine_vcc",
    "centroid_accuracy",
    "rank_perturbench",
    "des",
    "de_jaccard",
}
SHARES |= {"de_auroc", "de_auprc", "r2_pearson", "sim_tp", "sim_ip", "sim_it", "copies_input"}
AT_MOST_ONE = {"r2", "sim_tp_r2", "sim_ip_r2", "sim_it_r2"}
SYMMETRIC = {"mse", "mae", "rmse", "r2_pearson", "sim_tp", "pearson_delta", "spearman_delta", "cosine_delta"}
SYMMETRIC |= {
    "pearson_delta_centroid",
    "de_jaccard",
    *(m.name for m in METRICS if m.name.endswith(("_shared", "_all_genes"))),
}
CORRELATIONS = [m for m in METRICS if m.name.startswith(("pearson", "spearman", "cosine"))]


def bounds(metric: Metric) -> tuple[float, float]:
    if metric.name in SHARES:
        return 0.0, 1.0
    if metric.best == 0.0:
        return 0.0, np.inf
    if metric.name in AT_MOST_ONE:
        return -np.inf, 1.0
    return -1.0, 1.0  # correlations, cosines and differences of two shares


def evaluate(metric: Metric, quantities: dict[str, np.ndarray]) -> np.ndarray:
    return metric.function(*(quantities[name] for name in metric.needs))


@every_metric
@few
@given(kind=KINDS, n=CONDITIONS, genes=GENES, seed=SEEDS)
def test_value_in_bounds_or_declared_nan(metric, kind, n, genes, seed):
    quantities = draw(kind, n, genes, seed)
    before = {name: quantities[name].copy() for name in metric.needs}
    values = evaluate(metric, quantities)
    assert values.shape == (n,)
    assert values.dtype == np.float64
    assert metric.undefined or not np.isnan(values).any()
    lowest, highest = bounds(metric)
    here = values[~np.isnan(values)]
    assert ((here >= lowest - 1e-12) & (here <= highest + 1e-12)).all()
    for name in metric.needs:
        np.testing.assert_array_equal(quantities[name], before[name])


@every_metric
@few
@given(kind=KINDS, n=CONDITIONS, genes=GENES, seed=SEEDS)
def test_gene_order_does_not_matter(metric, kind, n, genes, seed):
    quantities = draw(kind, n, genes, seed)
    order = np.random.default_rng(seed).permutation(genes)
    moved = {name: x[:, order] if name in GENE_WISE else x for name, x in quantities.items()}
    own = quantities["own_gene"]
    moved["own_gene"] = np.where(own >= 0, np.argsort(order)[own], -1)
    np.testing.assert_allclose(evaluate(metric, moved), evaluate(metric, quantities), rtol=1e-9, atol=1e-9)


@every_metric
@few
@given(kind=KINDS, n=CONDITIONS, genes=GENES, seed=SEEDS)
def test_condition_order_does_not_matter(metric, kind, n, genes, seed):
    quantities = draw(kind, n, genes, seed)
    order = np.random.default_rng(seed).permutation(n)
    moved = {name: x[order] for name, x in quantities.items()}
    np.testing.assert_allclose(evaluate(metric, moved), evaluate(metric, quantities)[order], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "metric", [m for m in METRICS if m.best is not None and m.needs != (m.name,)], ids=lambda m: m.name
)
@few
@example(n=5, genes=300, seed=0)
@given(n=st.integers(3, 6), genes=st.integers(9, 300), seed=SEEDS)
def test_truth_reaches_best(metric, n, genes, seed):
    quantities = draw("normal", n, genes, seed)
    quantities |= {name: quantities[truth] for name, truth in ORACLE.items()}
    quantities["margin_bound"] = np.full(n, -1.0)
    values = evaluate(metric, quantities)
    np.testing.assert_allclose(values[~np.isnan(values)], metric.best, atol=1e-9)
    assert genes < 300 or not np.isnan(values).any()


@pytest.mark.parametrize("metric", [m for m in METRICS if m.undefined == "too_few_genes"], ids=lambda m: m.name)
@few
@given(kind=KINDS, n=CONDITIONS, genes=GENES, seed=SEEDS)
def test_no_significant_gene_is_nan(metric, kind, n, genes, seed):
    quantities = draw(kind, n, genes, seed)
    for name in ("significant", "top20", "top50", "top100"):
        quantities[name] = np.zeros((n, genes), dtype=bool)
    assert np.isnan(evaluate(metric, quantities)).all()


@pytest.mark.parametrize("metric", [m for m in METRICS if m.family == "retrieval"], ids=lambda m: m.name)
@pytest.mark.parametrize(("n", "scored"), [(1, False), (2, False), (3, True)])
def test_retrieval_needs_three_conditions(metric, n, scored):
    values = evaluate(metric, draw("normal", n, 5, 0))
    assert np.isnan(values).all() != scored
    assert metric.undefined == "too_few_conditions"


@pytest.mark.parametrize("metric", CORRELATIONS, ids=lambda m: m.name)
@pytest.mark.parametrize("spread", [0.0, 1e-8])
def test_constant_change_scores_zero(metric, spread):
    varied = np.random.default_rng(0).normal(size=(2, 100))
    flat = 3.0 + spread * np.arange(100) / 100 * np.ones((2, 1))
    everywhere = [np.ones((2, 100), dtype=bool)] * (len(metric.needs) - 2)
    np.testing.assert_array_equal(metric.function(varied, flat, *everywhere), 0.0)
    np.testing.assert_array_equal(metric.function(flat, varied, *everywhere), 0.0)
    assert (metric.function(varied, varied + 0.5, *everywhere) > 0.5).all()


@pytest.mark.parametrize("name", sorted(SYMMETRIC))
@few
@given(kind=KINDS, n=CONDITIONS, genes=GENES, seed=SEEDS)
def test_symmetric_metrics(name, kind, n, genes, seed):
    metric = find_metric(name)
    first, second, *others = (draw(kind, n, genes, seed)[quantity] for quantity in metric.needs)
    usable = np.ones(n, dtype=bool) if metric.undefined == "" else first.any(axis=1) & second.any(axis=1)
    np.testing.assert_allclose(
        metric.function(first, second, *others)[usable], metric.function(second, first, *others)[usable], atol=1e-12
    )


def test_r2_is_not_symmetric():
    truth, predicted = np.array([[0.0, 1.0, 2.0]]), np.array([[0.0, 2.0, 4.0]])
    r2 = find_metric("r2")
    assert r2.function(truth, predicted)[0] == pytest.approx(1 - 5 / 2)
    assert r2.function(predicted, truth)[0] == pytest.approx(1 - 5 / 8)
    assert "not symmetric" in str(r2.function.__doc__).lower()


def test_every_metric_has_summary_and_source():
    assert METRICS[0].name == "pearson_delta"
    assert len({m.name for m in METRICS}) == len(METRICS)
    assert len({m.summary for m in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert len(metric.summary) > 20
        assert metric.source
        assert metric.scored <= (metric.best is not None)


def test_audit_shared_and_top_gene_metrics_are_not_ranked():
    for metric in METRICS:
        published = ("_shared", "_truth", "_all_genes", "_vcc")
        if metric.family in ("audit", "profile") or metric.name.endswith(published):
            assert not metric.scored
        else:
            assert metric.scored


def test_unknown_names_and_quantities_raise():
    with pytest.raises(UnknownName, match="Did you mean 'pearson_delta'"):
        find_metric("pearson_deltaa")
    with pytest.raises(ValueError, match="needs \\('profiles',\\)"):
        Metric(name="x", family="profile", function=find_metric("mse").function, best=0.0, needs=("profiles",))
