"""Runs to hold against each other: small result folders with losses planted in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from benchmarks.cli.app import application
from reports.tables import METRIC_COLUMNS, SCORE_COLUMNS

METRICS = [
    ("pearson_delta", "change", 1.0, True),
    ("mse", "profile", 0.0, False),
    ("pds_cosine", "retrieval", 1.0, True),
    ("des", "expression", 1.0, True),
    ("copy_margin", "audit", np.nan, True),
]
LEVEL = {"pearson_delta": 0.5, "mse": 0.2, "pds_cosine": 0.7, "des": 0.4, "copy_margin": 0.1}
MANIFEST = {"space": "log2_cp10k", "dataset": {"sha256": "a" * 64}, "splits": {"p-fold0": "b" * 64}}
K, N = 4, 6
"""Contexts, and conditions of each."""


def make_scores(models=("m1", "m2", "no_change"), seeds=(0,), sd=0.0):
    """Scores of models around `LEVEL`: conditions of unlike difficulty, and training noise of `sd` per condition."""
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 0.1, (len(LEVEL), K, N))
    rows = []
    for model in (*models, "oracle"):
        for seed in seeds if model != "oracle" else (0,):
            for i, (metric, level) in enumerate(LEVEL.items()):
                noise = 0.0 if model in ("no_change", "oracle") else rng.normal(0, sd, (K, N))
                values = level + hard[i] * 0.5 + noise
                kind = "reference" if model == "oracle" else "model"
                rows += [
                    (model, kind, seed, f"K{k}", f"G{n}", metric, values[k, n]) for k in range(K) for n in range(N)
                ]
    table = pd.DataFrame(rows, columns=["model", "kind", "seed", "context", "perturbation", "metric", "value"])
    common = {"suite": "s", "dataset": "d", "source": "real", "protocol": "p", "direction": "n2p", "fold": 0}
    rest = {"dose": np.nan, "status": "ok", "reason": "", "budget": "full", "audit": "clean", "n_truth_cells": 50}
    return table.assign(**common, **rest)[list(SCORE_COLUMNS)]


def make_run(folder: Path, scores: pd.DataFrame, *, manifest=MANIFEST, metrics=METRICS) -> Path:
    folder.mkdir()
    scores.to_csv(folder / "scores.csv", index=False)
    table = pd.DataFrame(metrics, columns=["metric", "family", "best", "higher_is_better"])
    table = table[table["metric"].isin(scores["metric"])]
    table = table.assign(scored=table["best"].notna(), undefined="", summary="What it is.", source="METRICS.md")
    table[list(METRIC_COLUMNS)].to_csv(folder / "metrics.csv", index=False)
    costs = scores.drop_duplicates(["model", "seed"])[["dataset", "model", "direction", "protocol", "fold", "seed"]]
    costs = costs.assign(fit_seconds=1.0, predict_seconds=1.0, peak_memory_mb=1.0, shared_training=False)
    costs.to_csv(folder / "costs.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def shifted(scores, metric, by, model="m1"):
    """Scores of which a model's values on a metric are moved by `by`, unevenly over conditions."""
    new = scores.copy()
    here = (new["metric"] == metric) & (new["model"] == model)
    new.loc[here, "value"] += by * np.linspace(0.8, 1.2, int(here.sum()))
    return new


def with_status(scores, status, which, reason="because"):
    new = scores.copy()
    new.loc[which(new), ["value", "status", "reason"]] = [np.nan, status, reason]
    return new


def run(tmp_path, new, reference, *options, **settings):
    here = make_run(tmp_path / "new", new, **settings)
    there = make_run(tmp_path / "reference", reference)
    return CliRunner().invoke(application("regress"), [str(here), str(there), *options])


def flat(text):
    return " ".join(text.replace("│", " ").split())
