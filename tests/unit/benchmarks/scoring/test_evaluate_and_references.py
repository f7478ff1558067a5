"""Scoring: values of references, statuses of missing values, independence of order and threads."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks.contract import Prediction
from benchmarks.scoring.cell_sets import take
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.evaluate import evaluate, score_rows
from benchmarks.scoring.metrics.all_metrics import METRICS, find_metric
from benchmarks.scoring.references import halves, planted, references
from benchmarks.scoring.scored_fold import own_columns, scored_fold_of
from benchmarks.scoring.scored_set import BlockedFold
from benchmarks.scoring.summaries import PredictionSummary, summarise_predictions, summarise_truth, top_genes
from benchmarks.scoring.training_summary import summarise_training
from tests.unit.benchmarks.scoring.screens import PERTURBATIONS, fold, screen

U_STATISTICS = {"e_distance", "mmd_rbf"}


def make_fold(cells=None, direction="n2p", *, train=True, threads=1, split=None):
    cells = screen() if cells is None else cells
    split = split or fold(cells)
    training = summarise_training(cells, split.train, 0) if train else None
    return scored_fold_of(cells, split, direction, training, space="log2_cp10k", seed=3, threads=threads)


def truth_cells(scored, number):
    return take(scored.cells, scored.conditions[number].truth(scored.direction))


def score(scored, load):
    truth = summarise_truth(scored)
    return evaluate(scored, truth, summarise_predictions(scored, truth, load))


@pytest.mark.parametrize("direction", ["n2p", "p2n"])
def test_oracle_reaches_best(direction):
    scored = make_fold(direction=direction)
    oracle = dict(references(BlockedFold(scored)))["oracle"]
    for metric in METRICS:
        if metric.name not in oracle or metric.best is None or metric.name in U_STATISTICS:
            continue
        scores = oracle[metric.name]
        ok = scores.status == "ok"
        assert metric.name == "nmae_lfc" or ok.any() or metric.name.endswith("_truth"), metric.name
        assert scores.values[ok] == pytest.approx(metric.best, abs=1e-9), metric.name


def goodness(values, metric):
    """Mean over the conditions with a value, turned so that more is better; None without any."""
    known = values[metric.name].values[values[metric.name].status == "ok"] if metric.name in values else []
    return np.mean(known) * (1 if metric.higher_is_better else -1) if len(known) else None


@pytest.mark.parametrize("direction", ["n2p", "p2n"])
def test_references_are_in_order(direction):
    """Oracle, ceiling, and what knows the effect but not the noise: the mean of many cells, and a half of the truth's."""
    scored = make_fold(direction=direction)
    many = screen(n_cells=1500, n_controls=1500, seed=1)
    names = list(PERTURBATIONS) if direction == "n2p" else ["control"] * len(PERTURBATIONS)
    rows = ((many.obs["context"] == "A") & (many.obs["perturbation"] == name) for name in names)
    expectation = np.stack([np.asarray(many.X[row.to_numpy()].mean(axis=0)).ravel() for row in rows])
    found = dict(references(BlockedFold(scored), lambda part: expectation))
    for metric in METRICS:
        if metric.scored:
            oracle, ceiling, *below = (
                goodness(found[n], metric) for n in ("oracle", "ceiling", "expectation", "split_half")
            )
            assert (oracle is None) == (ceiling is None)
            assert ceiling is None or oracle >= ceiling - 1e-12, metric.name
            assert all(value is None or ceiling >= value - 1e-9 for value in below), metric.name


def test_ceiling_bounds_the_true_effect_where_controls_are_few():
    """With 20 controls on either side and 400 true cells the true effect alone scores more than t − i."""
    cells = screen(n_cells=800, n_controls=60)
    scored = make_fold(cells)
    truth = summarise_truth(scored)
    many = screen(n_cells=2000, n_controls=2000, seed=5)
    mean = {
        name: np.asarray(
            many.X[((many.obs["context"] == "A") & (many.obs["perturbation"] == name)).to_numpy()].mean(axis=0)
        )
        for name in ("control", *PERTURBATIONS)
    }
    effect = np.stack([(mean[name] - mean["control"]).ravel() for name in PERTURBATIONS])
    known = evaluate(scored, truth, PredictionSummary.of_means(scored.start + effect))
    from_input = evaluate(scored, truth, PredictionSummary.of_means(truth.profiles))
    ceiling = dict(references(BlockedFold(scored)))["ceiling"]
    assert known["pearson_delta"].values.mean() > from_input["pearson_delta"].values.mean() + 0.02
    for metric in METRICS:
        if metric.family == "change" and metric.scored:
            assert goodness(ceiling, metric) >= goodness(known, metric) - 0.02, metric.name


def test_copied_input_scores_zero_change():
    scored = make_fold()
    values = score(scored, lambda n: Prediction(scored.input_cells(n), unit="cell"))
    for name in ("pearson_delta", "spearman_delta", "cosine_delta", "sign_accuracy"):
        assert values[name].values == pytest.approx(0.0), name
    assert values["pds_cosine"].values == pytest.approx(0.5)
    assert values["r2_pearson"].values.min() > 0.5, "copying the input scores high where it must not lead"


def test_other_controls_score_only_with_shared_control():
    weak = screen(n_cells=30, n_controls=45)
    rng = np.random.default_rng(1)
    x = weak.X.toarray()
    control = np.flatnonzero((weak.obs["perturbation"] == "control") & (weak.obs["context"] == "A"))
    for name in PERTURBATIONS:  # no effect at all: every perturbed cell of A is another draw of a control cell
        where = np.flatnonzero((weak.obs["perturbation"] == name) & (weak.obs["context"] == "A"))
        x[where] = rng.permuted(x[control], axis=0)[: len(where)]
    weak.X = sp.csr_matrix(x)
    found = [
        dict(references(BlockedFold(q)))["other_controls"]
        for q in (make_fold(weak, split=fold(weak, seed=s)) for s in range(8))
    ]
    fair = np.mean([f["pearson_delta"].values for f in found])
    shared = np.mean([f["pearson_delta_shared"].values for f in found])
    assert abs(fair) < 0.12
    assert shared > fair + 0.15


def test_draws_and_means_need_cells():
    scored = make_fold()
    for unit in ("mean", "draw"):
        rows = slice(0, 1) if unit == "mean" else slice(0, 3)
        values = score(scored, lambda n, r=rows, u=unit: Prediction(truth_cells(scored, n).toarray()[r], unit=u))
        for name in ("des", "de_jaccard", "de_auroc", "e_distance", "mmd_rbf", "wasserstein"):
            assert set(values[name].status) == {"needs_cells"}, name
            assert np.isnan(values[name].values).all()
        assert set(values["pearson_delta"].status) == {"ok"}


def test_unsupported_without_training_cells():
    scored = make_fold(train=False)
    values = score(scored, lambda n: Prediction(truth_cells(scored, n), unit="cell"))
    for name in ("pearson_delta_centroid", "e_distance", "mmd_rbf"):
        assert set(values[name].status) == {"unsupported"}, name
    assert set(values["wasserstein"].status) == {"ok"}
    assert "other_controls" not in dict(references(BlockedFold(scored)))


def test_two_conditions_are_too_few_for_retrieval():
    cells = screen()
    split = fold(cells)
    few = type(split)(split.protocol, 0, False, split.train, split.conditions[:2], split.held_out)
    values = score(make_fold(cells, split=few), lambda n: None)
    assert set(values["pds"].status) == {"too_few_conditions"}
    assert np.isnan(values["pds"].values).all()


def test_p2n_has_no_retrieval():
    scored = make_fold(direction="p2n")
    values = score(scored, lambda n: Prediction(scored.input_cells(n), unit="cell"))
    assert not {m.name for m in METRICS if m.family == "retrieval"} & set(values)


def test_failed_condition_has_no_value_and_leaves_others_unchanged():
    scored = make_fold()
    truth = summarise_truth(scored)

    def load(number):
        return None if number == 1 else Prediction(truth_cells(scored, number), unit="cell")

    values = evaluate(scored, truth, summarise_predictions(scored, truth, load))
    endings = [Ending(c, p, "ok") for c, p in zip(scored.contexts, scored.perturbations, strict=True)]
    endings[1] = Ending(endings[1].context, endings[1].perturbation, "failed", "it broke")
    rows = score_rows(scored, values, endings)
    broken = rows[rows["perturbation"] == endings[1].perturbation]
    assert set(broken["status"]) == {"failed"}
    assert set(broken["reason"]) == {"it broke"}
    assert broken["value"].isna().all()
    whole = score(scored, lambda n: Prediction(truth_cells(scored, n), unit="cell"))
    others = [0, 2, 3]
    assert values["pearson_delta"].values[others] == pytest.approx(whole["pearson_delta"].values[others])
    assert (rows["status"] != "ok").eq(rows["value"].isna()).all()


def test_threads_do_not_matter():
    cells = screen()
    tables = []
    for threads in (1, 2):
        scored = make_fold(cells, threads=threads)
        values = dict(references(BlockedFold(scored)))["split_half"]
        tables.append({name: scores.values for name, scores in values.items()})
    for name, values in tables[0].items():
        assert np.array_equal(values, tables[1][name], equal_nan=True), name


def test_dense_and_sparse_cells_agree():
    cells = screen()
    dense = ad.AnnData(X=cells.X.toarray(), obs=cells.obs.copy(), var=cells.var.copy())
    sparse_values, dense_values = (
        score(q, lambda n, q=q: Prediction(q.input_cells(n), unit="cell")) for q in (make_fold(cells), make_fold(dense))
    )
    for name, scores in sparse_values.items():
        assert scores.values == pytest.approx(dense_values[name].values, abs=1e-6, nan_ok=True), name


def test_order_of_predicted_cells_does_not_matter():
    scored = make_fold()
    load = lambda n, turn=False: Prediction(truth_cells(scored, n).toarray()[:: -1 if turn else 1], unit="cell")  # noqa: E731
    values, turned = score(scored, load), score(scored, lambda n: load(n, turn=True))
    for metric in METRICS:
        if metric.name in values:
            exact = values[metric.name].values
            assert turned[metric.name].values == pytest.approx(exact, abs=1e-6, nan_ok=True), metric.name


def test_halves_are_disjoint_and_complete():
    scored = make_fold()
    first, second = halves(scored)
    for number in range(len(scored)):
        both = np.concatenate([first[number], second[number]])
        assert np.array_equal(np.sort(both), scored.conditions[number].truth("n2p"))


@pytest.mark.parametrize(("scored_halvings", "each"), [(1, 1), (1_000, 5)])
def test_conditions_take_turns_with_halvings(monkeypatch, scored_halvings, each):
    asked, scored = [], make_fold()

    def remembered(fold, which=None):
        asked.append(which)
        return halves(fold, which)

    monkeypatch.setattr("benchmarks.scoring.references.halves", remembered)
    monkeypatch.setattr("benchmarks.scoring.references.HALVED", scored_halvings)
    values = dict(references(BlockedFold(scored)))["split_half"]
    seen = np.array(asked)  # twice for each repeat: for the half that predicts, and for the other
    assert np.array_equal(seen[::2], seen[1::2])
    assert {len(set(own)) for own in seen.T} == {each}
    assert set(seen.ravel().tolist()) <= set(range(5))
    assert np.isfinite(values["pearson_delta"].values).all()


def test_planted_predictors_get_worse_with_share():
    scored = make_fold()
    table = planted(BlockedFold(scored))
    assert set(table["mixture"]) == {"noise", "input"}, "the tested context has no perturbed training cell"
    means = table[table["metric"] == "pearson_delta"].groupby(["mixture", "share"])["value"].mean().unstack()
    assert (means.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)
    errors = table[table["metric"] == "mse"].groupby(["mixture", "share"])["value"].mean().unstack()
    assert (errors[1.0] > errors[0.0]).all()


def test_mean_effect_mixture_needs_training_perturbations():
    cells = screen()
    split = fold(cells)
    moved = type(split)(split.protocol, 0, False, _with(split, cells), split.conditions[:3], split.held_out)
    scored = make_fold(cells, split=moved)
    assert set(planted(BlockedFold(scored))["mixture"]) == {"noise", "mean_effect", "input"}


def _with(split, cells):
    extra = np.flatnonzero((cells.obs["context"] == "A") & (cells.obs["perturbation"] == PERTURBATIONS[3]))
    return np.sort(np.concatenate([split.train, extra]))


def test_mean_effect_of_context_or_all():
    cells = screen()
    split = fold(cells)
    training = summarise_training(cells, split.train, 0)
    assert list(training.effects[None, None].all.index) == ["B", ""]
    x = cells.X.toarray().astype(np.float64)
    labels = cells.obs.reset_index(drop=True)
    means = pd.DataFrame(x).groupby([labels["context"], labels["perturbation"]]).mean().loc["B"]
    expected = (means.drop(index="control") - means.loc["control"]).mean(axis=0).to_numpy()
    moved = [replace(split.conditions[0], context=context) for context in ("A", "B")]
    assert training.mean_effect(moved) == pytest.approx(np.stack([expected, expected]), abs=1e-5)


def test_top_genes():
    significant = np.array([[True, True, False, True], [True, False, False, False]])
    lfc = np.array([[0.1, -3.0, 9.0, 0.2], [1.0, 2.0, 3.0, 4.0]])
    assert top_genes(significant, lfc, (2, 9))[2].tolist() == [[False, True, False, True], [False] * 4]


def test_guides_and_spellings_of_one_gene_are_one_column():
    genes = ["TP53", "NKX2-1", "ENSG00000012048.7"]
    names = ["TP53_g1+TP53_g2", "tp53", "ENSG00000012048", "NKX2-1", "NKX2"]
    np.testing.assert_array_equal(own_columns(names, genes), [[0], [0], [2], [1], [-1]])


def test_own_columns_of_combinations():
    assert own_columns(["B", "A+C", "X"], ["A", "B", "C"]).tolist() == [[1, -1], [0, 2], [-1, -1]]


def test_z_scores_have_tests_and_no_fold_changes():
    cells = screen()
    z = cells.X.toarray()
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    scored = ad.AnnData(X=z.astype(np.float32), obs=cells.obs.copy(), var=cells.var.copy())
    split = fold(scored)
    scored = scored_fold_of(scored, split, "n2p", summarise_training(scored, split.train, 0), space="zscore", seed=0)
    values = score(scored, lambda n: Prediction(truth_cells(scored, n), unit="cell"))
    assert values["des"].values == pytest.approx(1.0)
    truth = summarise_truth(scored)
    gap = truth.profiles - scored.reference
    assert truth.lfc == pytest.approx(gap, abs=1e-6), "in z-scores the change itself stands for the fold change"


def test_every_metric_is_found_by_name():
    values = score(make_fold(), lambda n: None)
    assert all(find_metric(name).name == name for name in values)


def test_training_without_controls_has_no_mean_effect() -> None:
    labels = pd.DataFrame({"context": "a", "perturbation": ["x", "x", "y", "y"]}, index=list("1234"))
    cells = ad.AnnData(sp.csr_matrix(np.eye(4, dtype=np.float32)), labels)
    training = summarise_training(cells, np.arange(4), seed=0)
    assert training.effects[None, None].all.to_numpy().tolist() == [[0.0] * 4]
