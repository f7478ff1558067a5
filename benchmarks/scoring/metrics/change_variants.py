"""Variants of the metrics of the change that are reported and never ranked: as peers compute them, and on the truth's top genes."""

from __future__ import annotations

from functools import partial

from benchmarks.scoring.metrics.change import cosine_delta, on_genes, pearson_delta, spearman_delta
from benchmarks.scoring.metrics.metric import CHANGE, Metric, Quantity

CORRELATIONS = (pearson_delta, spearman_delta, cosine_delta)
TOP: dict[int, Quantity] = {20: "top20", 50: "top50", 100: "top100"}
_reported = partial(Metric, family="change", best=1.0, scored=False)
METRICS = (
    *(
        _reported(
            function,
            name=f"{function.__name__}_all_genes",
            needs=CHANGE,
            source="as published evaluations compute it",
            summary=f"`{function.__name__}` with the perturbed gene among the genes: its name alone moves it.",
        )
        for function in CORRELATIONS
    ),
    *(
        _reported(
            partial(on_genes, function),
            name=f"{function.__name__}_top{k}_truth",
            needs=(*CHANGE, top),
            undefined="too_few_genes",
            summary=f"`{function.__name__}` on the {k} truth-significant genes of largest |log2 FC|: "
            "a set the truth chooses.",
        )
        for function in CORRELATIONS
        for k, top in TOP.items()
    ),
    *(
        _reported(
            function,
            name=f"{function.__name__}_shared",
            needs=("delta_shared", "delta_hat_shared"),
            source="as published evaluations compute it",
            summary=f"`{function.__name__}` with one control mean taken from both sides, as peers compute it: "
            "inflated by its shared noise.",
        )
        for function in CORRELATIONS
    ),
)
