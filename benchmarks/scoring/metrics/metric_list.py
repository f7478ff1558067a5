"""The metrics of the leaderboard: one tuple, in the order of every report."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.errors import UnknownName
from benchmarks.scoring.metrics import change, copying, differential, distribution, profile, retrieval
from benchmarks.scoring.metrics.metric import Metric, Quantity, first_line


def find_metric(name: str) -> Metric:
    """Look a metric up by name; raises `UnknownName`."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    raise UnknownName("metric", name, [m.name for m in METRICS])


def _described(fn: Callable[..., np.ndarray], summary: str) -> Callable[..., np.ndarray]:
    """Give a variant of a metric its own description."""

    def variant(*quantities: np.ndarray) -> np.ndarray:
        return fn(*quantities)

    variant.__doc__ = summary
    return variant


def _on_top(fn: Callable[..., np.ndarray], k: int) -> Callable[..., np.ndarray]:
    """Restrict a correlation of the change to the top genes of the truth."""

    def restricted(delta: np.ndarray, delta_hat: np.ndarray, top: np.ndarray) -> np.ndarray:
        return change.on_genes(fn, delta, delta_hat, top)

    restricted.__doc__ = (
        f"`{fn.__name__}` on the {k} truth-significant genes of largest |log2 FC|: a set the truth chooses."
    )
    return restricted


def _shared(fn: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    summary = f"`{fn.__name__}` with one control mean taken from both sides, as peers compute it: inflated by its shared noise."
    return _described(fn, summary)


def _given(fn: Callable[..., float]) -> Callable[..., np.ndarray]:
    """Pass on what a function of single cells has said of every condition."""
    return _described(lambda value: np.asarray(value, dtype=np.float64), first_line(fn))


def _copies(truth: np.ndarray, predicted: np.ndarray, start: np.ndarray, margin_bound: np.ndarray) -> np.ndarray:
    return copying.copies_input(copying.copy_margin(truth, predicted, start), margin_bound)


_R2_KINDS: dict[str, tuple[Callable[..., np.ndarray], str]] = {
    "": (profile.r2_pearson, "squared Pearson correlation"),
    "_r2": (profile.r2, "coefficient of determination"),
}
_SIDES: dict[str, tuple[tuple[Quantity, Quantity], str]] = {
    "tp": (("truth", "predicted"), "target and output"),
    "ip": (("start", "predicted"), "input and output"),
    "it": (("start", "truth"), "input and target"),
}
_TOP: dict[int, Quantity] = {20: "top20", 50: "top50", 100: "top100"}
_DELTAS = (change.pearson_delta, change.spearman_delta, change.cosine_delta)


def _similarities() -> tuple[Metric, ...]:
    """Build the sides of the triangle, each by both meanings of R²."""
    return tuple(
        Metric(
            f"sim_{side}{suffix}",
            "audit",
            _described(fn, f"Similarity of {names}: {kind} of their mean profiles, the first as reference."),
            1.0 if side == "tp" else None,
            True,
            needs,
            False,
            _TRIANGLE,
        )
        for suffix, (fn, kind) in _R2_KINDS.items()
        for side, (needs, names) in _SIDES.items()
    )


_OURS = "docs/decisions/metrics.md"
_CYCSEQ = "CycSeq (IJCAI 2025), Table 1"
_TRIANGLE = "CycSeq (IJCAI 2025), Figure 3"
_VCC = "Virtual Cell Challenge 2025"
_ENERGY = "Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018"
_MMD = "Gretton et al. 2012, Journal of Machine Learning Research 13, 723–773"
_PAIR: tuple[Quantity, Quantity] = ("truth", "predicted")
_CHANGE: tuple[Quantity, Quantity] = ("delta", "delta_hat")
_FEW_GENES, _FEW_CONDITIONS = "too_few_genes", "too_few_conditions"

METRICS: tuple[Metric, ...] = (
    Metric("pearson_delta", "change", change.pearson_delta, 1.0, True, _CHANGE, True, _OURS),
    Metric("spearman_delta", "change", change.spearman_delta, 1.0, True, _CHANGE, True, _OURS),
    Metric("cosine_delta", "change", change.cosine_delta, 1.0, True, _CHANGE, True, _OURS),
    Metric(
        "pearson_delta_centroid",
        "change",
        change.pearson_delta_centroid,
        1.0,
        True,
        ("delta_centred", "delta_hat_centred"),
        True,
        "Systema, correction for systematic variation",
    ),
    Metric(
        "sign_accuracy", "change", change.sign_accuracy, 1.0, True, (*_CHANGE, "significant"), True, _OURS, _FEW_GENES
    ),
    Metric("nmae_lfc", "change", change.nmae_lfc, 0.0, False, (*_CHANGE, "significant"), True, _OURS, _FEW_GENES),
    Metric("mse", "profile", profile.mse, 0.0, False, _PAIR, True, _CYCSEQ),
    Metric("mae", "profile", profile.mae, 0.0, False, _PAIR, True, _CYCSEQ),
    Metric("rmse", "profile", profile.rmse, 0.0, False, _PAIR, False, "root of mse"),
    Metric("r2", "profile", profile.r2, 1.0, True, _PAIR, True, "coefficient of determination"),
    Metric("r2_pearson", "profile", profile.r2_pearson, 1.0, True, _PAIR, True, f"{_CYCSEQ}, as 'R²'"),
    Metric("pds", "retrieval", retrieval.pds, 1.0, True, (*_CHANGE, "own_gene"), True, _VCC, _FEW_CONDITIONS),
    Metric(
        "pds_cosine",
        "retrieval",
        retrieval.pds_cosine,
        1.0,
        True,
        _CHANGE,
        True,
        f"{_VCC}, cosine variant",
        _FEW_CONDITIONS,
    ),
    Metric(
        "centroid_accuracy",
        "retrieval",
        retrieval.centroid_accuracy,
        1.0,
        True,
        _PAIR,
        True,
        "Systema, centroid accuracy",
        _FEW_CONDITIONS,
    ),
    Metric(
        "rank_perturbench",
        "retrieval",
        retrieval.rank_perturbench,
        0.0,
        False,
        _PAIR,
        True,
        "PerturBench, rank metric",
        _FEW_CONDITIONS,
    ),
    Metric(
        "des",
        "expression",
        differential.des,
        1.0,
        True,
        ("significant", "significant_hat", "lfc_hat"),
        True,
        _VCC,
        _FEW_GENES,
    ),
    Metric(
        "de_jaccard",
        "expression",
        differential.de_jaccard,
        1.0,
        True,
        ("significant", "significant_hat"),
        True,
        _OURS,
        _FEW_GENES,
    ),
    Metric(
        "de_auroc", "expression", differential.de_auroc, 1.0, True, ("significant", "p_hat"), True, _OURS, _FEW_GENES
    ),
    Metric(
        "de_auprc", "expression", differential.de_auprc, 1.0, True, ("significant", "p_hat"), True, _OURS, _FEW_GENES
    ),
    Metric(
        "de_lfc_spearman",
        "expression",
        differential.de_lfc_spearman,
        1.0,
        True,
        ("significant", "lfc", "lfc_hat"),
        True,
        _OURS,
        _FEW_GENES,
    ),
    Metric("e_distance", "distribution", _given(distribution.e_distance), 0.0, False, ("e_distance",), True, _ENERGY),
    Metric("mmd_rbf", "distribution", _given(distribution.mmd_rbf), 0.0, False, ("mmd_rbf",), True, _MMD),
    Metric("wasserstein", "distribution", _given(distribution.wasserstein), 0.0, False, ("wasserstein",), True, _OURS),
    *(
        Metric(
            f"{fn.__name__}_top{k}_truth",
            "change",
            _on_top(fn, k),
            1.0,
            True,
            (*_CHANGE, top),
            False,
            _OURS,
            _FEW_GENES,
        )
        for fn in _DELTAS
        for k, top in _TOP.items()
    ),
    *(
        Metric(
            f"{fn.__name__}_shared",
            "change",
            _shared(fn),
            1.0,
            True,
            ("delta_shared", "delta_hat_shared"),
            False,
            "as published evaluations compute it",
        )
        for fn in _DELTAS
    ),
    Metric(
        "copy_margin",
        "audit",
        copying.copy_margin,
        None,
        True,
        ("truth", "predicted", "start"),
        False,
        _TRIANGLE,
    ),
    Metric(
        "copies_input",
        "audit",
        _described(_copies, first_line(copying.copies_input)),
        0.0,
        False,
        ("truth", "predicted", "start", "margin_bound"),
        False,
        _TRIANGLE,
    ),
    *_similarities(),
)
