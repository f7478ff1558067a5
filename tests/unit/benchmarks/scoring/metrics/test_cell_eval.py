"""Parity with cell-eval 0.8.2, perturbation by perturbation; where ours differs on purpose, the difference is shown.

Both are given the same inputs (`tests.bench.shared_inputs`): one control mean on both sides, all controls in the tests, and
fold changes of arithmetic means with a pseudocount of 1.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmarks.scoring.metrics import change, differential, distribution, profile, retrieval
from tests.bench.shared_inputs import PAIRS, PDEX, Changes, changes_of, ours, own_columns

COLUMN, CONTROL = "target", "non-targeting"
N, CELLS, CONTROLS, GENES = 8, 40, 60, 120
NULL = "G7"
"""A perturbation that does nothing: its truth has no significant gene."""
close = partial(np.testing.assert_allclose, rtol=0, atol=1e-6)


def draw(seed: int, effects: np.ndarray, controls: np.ndarray) -> ad.AnnData:
    """Cells in log1p: counts of about half zeros, scaled to 10,000; controls are given."""
    generator = np.random.default_rng(seed)
    base = np.exp(np.random.default_rng(9).normal(-0.4, 1.2, GENES))
    counts = np.concatenate([generator.poisson(base * np.exp(e), (CELLS, GENES)) for e in effects]).astype(float)
    values = np.concatenate([controls, np.log1p(counts * 1e4 / counts.sum(axis=1, keepdims=True))])
    labels = np.repeat([CONTROL, *(f"G{i}" for i in range(N))], [len(controls)] + [CELLS] * N)
    obs = pd.DataFrame({COLUMN: labels}, index=[f"cell{i}" for i in range(len(labels))])
    return ad.AnnData(X=values, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(GENES)]))


@dataclass(frozen=True)
class Compared:
    """Truth and prediction, what cell-eval says of them, and what our tests say of their genes."""

    pair: object
    theirs: pd.DataFrame
    ours: pd.DataFrame
    truth: Changes
    predicted: Changes
    tests: tuple[pd.DataFrame, pd.DataFrame]
    """cell-eval's tests of truth and prediction."""
    own_gene: np.ndarray


@pytest.fixture(scope="module")
def cell_eval():
    """The package; its imports may warn, ours may not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cell_eval

        return cell_eval


@pytest.fixture(scope="module")
def compared(cell_eval, tmp_path_factory) -> Compared:
    generator = np.random.default_rng(0)
    effects = np.where(generator.random((N, GENES)) < 0.4, generator.normal(0, 1.2, (N, GENES)), 0)
    effects[np.arange(N), np.arange(N)] = -3
    effects[int(NULL[1:])] = 0
    confused = np.roll(effects, 1, axis=0) * (np.arange(N) % 2)[:, None]  # every other one looks like its neighbour
    guessed = 0.4 * effects + 0.45 * confused + 0.3 * generator.normal(size=(N, GENES))
    counts = generator.poisson(np.exp(np.random.default_rng(9).normal(-0.4, 1.2, GENES)), (CONTROLS, GENES)).astype(
        float
    )
    controls = np.log1p(counts * 1e4 / counts.sum(axis=1, keepdims=True))
    truth, predicted = draw(1, effects, controls), draw(2, guessed, controls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cell-eval's and its packages' own
        evaluator = cell_eval.MetricsEvaluator(
            adata_pred=predicted,
            adata_real=truth,
            control_pert=CONTROL,
            pert_col=COLUMN,
            num_threads=1,
            outdir=str(tmp_path_factory.mktemp("cell_eval")),
            pdex_kwargs=dict(PDEX),
        )
        # clustering_agreement is no metric of ours and takes most of the time
        wide, _ = evaluator.compute(
            profile="full", write_csv=False, skip_metrics=["clustering_agreement"], break_on_error=True
        )
    theirs = wide.to_pandas().set_index("perturbation").sort_index()
    sides = evaluator.de_comparison.real, evaluator.de_comparison.pred
    t, p = changes_of(truth, COLUMN, CONTROL), changes_of(predicted, COLUMN, CONTROL)
    tests = tuple(side.data.to_pandas().astype({"target": str, "feature": str}) for side in sides)
    found = ours(truth, predicted, COLUMN, CONTROL)
    return Compared(evaluator.anndata_pair, theirs, found, t, p, tests, own_columns(t.perturbations, truth))


def gene_wise(table: pd.DataFrame, column: str) -> np.ndarray:
    """One column of cell-eval's tests as [perturbation, gene]."""
    wide = table.pivot(index="target", columns="feature", values=column)
    return wide[[f"G{i}" for i in range(GENES)]].sort_index().to_numpy(dtype=np.float64)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_same_definition_same_value(compared, name):
    some = compared.ours.index != NULL if name in ("overlap_at_N", "de_spearman_lfc_sig") else slice(None)
    mine, theirs = compared.ours.loc[some, name], compared.theirs.loc[some, name]
    assert len(mine) >= N - 1
    assert mine.nunique() > 2, "the data tell nothing of this metric"
    close(mine, theirs)


def test_gene_tests_agree(compared):
    # cell-eval keeps its tables in float32, with about 7 digits
    for mine, theirs in zip((compared.truth, compared.predicted), compared.tests, strict=True):
        np.testing.assert_allclose(mine.p, gene_wise(theirs, "p_value"), rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(mine.lfc, gene_wise(theirs, "log2_fold_change"), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(mine.significant, gene_wise(theirs, "fdr") < 0.05)
    assert compared.truth.significant[:-1].sum(axis=1).min() >= 10


def test_no_significant_gene_is_nan_here_and_zero_there(compared):
    assert not compared.truth.significant[compared.truth.perturbations.index(NULL)].any()
    assert np.isnan(compared.ours.loc[NULL, ["overlap_at_N", "de_spearman_lfc_sig"]].astype(float)).all()
    assert compared.theirs.loc[NULL, "overlap_at_N"] == 0.0  # a perfect prediction of it would get 0 too


def test_jaccard_follows_from_their_counts(compared):
    real, called = compared.theirs["de_nsig_counts_real"], compared.theirs["de_nsig_counts_pred"]
    both = compared.theirs["de_sig_genes_recall"] * real
    mine = differential.de_jaccard(compared.truth.significant, compared.predicted.significant)
    some = compared.ours.index != NULL
    close(mine[some], (both / (real + called - both))[some])


@pytest.mark.parametrize(("fn", "theirs"), [(differential.de_auroc, "roc_auc"), (differential.de_auprc, "pr_auc")])
def test_areas_agree_on_same_scores(compared, fn, theirs):
    fdr = gene_wise(compared.tests[1], "fdr").clip(1e-10, 1)
    some = np.array(compared.ours.index) != NULL
    close(fn(compared.truth.significant, fdr)[some], compared.theirs[theirs][some])
    # adjusting makes p values equal that are not, clipping makes the surest calls equal: ours keeps their order
    assert np.abs(fn(compared.truth.significant, compared.predicted.p) - compared.theirs[theirs])[some].max() > 1e-3
    truth = np.array([[True, False, False, False]])
    p = np.array([[1e-30, 1e-12, 0.5, 0.9]])
    assert fn(truth, p) == 1.0
    assert fn(truth, p.clip(1e-10, 1)) < 1.0


def test_sign_accuracy_uses_mean_profiles(compared):
    t, p = compared.truth, compared.predicted
    some = np.array(compared.ours.index) != NULL
    close(change.sign_accuracy(t.lfc, p.lfc, t.significant)[some], compared.theirs["de_direction_match"][some])
    mine = change.sign_accuracy(t.delta, p.delta, t.significant)
    assert (mine != compared.theirs["de_direction_match"])[some].any()


def test_discrimination_differs_by_scale(cell_eval, compared):
    """Cosine: theirs 1 − k/N, ours 1 − k/(N − 1). Euclidean: ours is `centroid_accuracy`, which no control enters."""
    score = discrimination(cell_eval, compared.pair, exclude_target_gene=False)
    cosine, euclidean = score(metric="cosine"), score(metric="l2")
    mine = retrieval.pds_cosine(compared.truth.delta, compared.predicted.delta)
    close((1 - mine) * (N - 1), (1 - cosine) * N)
    assert np.unique(mine).size > 1
    mine = retrieval.centroid_accuracy(compared.truth.profiles, compared.predicted.profiles)
    close((1 - mine) * (N - 1), (1 - euclidean) * N)
    assert np.unique(mine).size > 1


def discrimination(cell_eval, pair, **given):
    """cell-eval's score as an array, in the order of the perturbations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cell_eval.metrics import discrimination_score

    def score(**more) -> np.ndarray:
        found = discrimination_score(pair, **given, **more)
        return np.array([found[name] for name in sorted(found)])

    return score


def test_ties_share_rank_here(cell_eval, compared):
    """All truths alike: whoever comes first in the alphabet wins there; here all get (N + 1) / (2N)."""
    pair = compared.pair
    same = pair.real.copy()
    first = same.X[(same.obs[COLUMN] == "G0").to_numpy()]
    for name in (f"G{i}" for i in range(N)):
        same.X[(same.obs[COLUMN] == name).to_numpy()] = first
    tied = type(pair)(real=same, pred=pair.pred, pert_col=COLUMN, control_pert=CONTROL)
    theirs = discrimination(cell_eval, tied, metric="l1", exclude_target_gene=False)()
    assert sorted(theirs) == pytest.approx(1 - np.arange(N)[::-1] / N)
    delta = changes_of(same, COLUMN, CONTROL).delta
    mine = retrieval.pds_vcc(delta, compared.predicted.delta, np.full(N, -1))
    np.testing.assert_array_equal(mine, (N + 1) / (2 * N))


def test_disjoint_controls_remove_shared_noise(compared):
    """Predicting other controls for a perturbation without effect scores high with one control mean, about 0 without."""
    generator = np.random.default_rng(5)
    cells = generator.poisson(2.0, (4, 200, 2000)).mean(axis=1)  # truth, prediction, input, reference: all the same
    truth, predicted, start, reference = cells[:, None]
    shared = change.pearson_delta(truth - start, predicted - start)
    apart = change.pearson_delta(truth - reference, predicted - start)
    assert shared > 0.4
    assert abs(apart) < 0.1
    own = changes_of(compared.pair.real, COLUMN, CONTROL)
    close(change.pearson_delta(own.delta, compared.predicted.delta), compared.theirs["pearson_delta"])


def test_energy_distance_rebuilt_from_u_statistic(compared):
    """Theirs correlates, over perturbations, how far truth and prediction lie from their controls (all pairs, self-pairs
    too). It is rebuilt from our U-statistic; and wrong genes moved by the right amount score 1 there, and far from 0 here."""

    def sizes(cells: ad.AnnData) -> np.ndarray:
        labels = cells.obs[COLUMN].to_numpy()
        y = cells.X[labels == CONTROL]
        found = []
        for name in compared.truth.perturbations:
            x = cells.X[labels == name]
            bias = distribution.distance_within(x) / len(x) + distribution.distance_within(y) / len(y)
            found.append(distribution.e_distance(x, y) + bias)
        return np.array(found)

    real, predicted = compared.pair.real, compared.pair.pred
    mine = scipy.stats.pearsonr(sizes(real), sizes(predicted)).statistic
    close(mine, compared.theirs["pearson_edistance"].iloc[0])
    wrong = real.copy()
    wrong.X = real.X[:, np.random.default_rng(0).permutation(GENES)]
    assert scipy.stats.pearsonr(sizes(real), sizes(wrong)).statistic == pytest.approx(1.0)
    here = [(cells.obs[COLUMN] == "G0").to_numpy() for cells in (real, wrong)]
    x, y = real.X[here[0]], wrong.X[here[1]]
    assert distribution.e_distance(x, y) > 1.0
    assert distribution.e_distance(x[:20], x[20:]) < 0.5


def test_error_of_change_equals_error_of_profile(compared):
    t, p = compared.truth, compared.predicted
    close(profile.mse(t.delta, p.delta), profile.mse(t.profiles, p.profiles))
    close(compared.theirs["mse_delta"], compared.theirs["mse"])
