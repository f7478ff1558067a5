"""Results folders for the tests of report.html: small, hostile, and as large as the page is made for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from reports.tables import PREDICTED
from tests.unit.reports.result_tables import CONTEXTS, N2P, N_PERTURBATIONS, P2N, write_run

HOSTILE = '<script>alert("x")</script>'
"""Model and gene of the hostile tables; the gene ends a script element as a browser reads it."""
NAMES = (HOSTILE, "a[b]\"c'", "ген−β", "</script><b>", "{{ 7 * 7 }}", "@metric $& `x`")
"""Names with letters that HTML, JSON, JavaScript or a template could take for its own."""


def write_changes(folder: Path, n_genes: int = 40) -> None:
    """Write changes.csv, conditions.csv and umap.csv that fit the tables of `write_run`."""
    rng = np.random.default_rng(1)
    genes = [f"GENE{n:02d}" for n in range(n_genes)]
    changes, conditions, cells = [], [], []
    for direction, models in (("n2p", N2P), ("p2n", P2N)):
        labels = {"protocol": "unseen_perturbation", "direction": direction}
        for context in CONTEXTS:
            for n in range(N_PERTURBATIONS):
                where = labels | {"fold": n % 4, "context": context, "perturbation": f"GENE{n:02d}", "dose": np.nan}
                true = rng.normal(0, 0.5, n_genes)
                rows = pd.DataFrame({"gene": genes, "perturbed": [g == f"GENE{n:02d}" for g in genes], "true": true})
                for model, (delta, *_) in models.items():
                    rows[f"{PREDICTED}{model}"] = delta * true + rng.normal(0, 0.1, n_genes)
                changes.append(rows.assign(**where))
                conditions.append(where | {"n_truth_cells": 40, "n_significant_genes": int(abs(true).sum())})
        where = labels | {"fold": 0, "context": CONTEXTS[0], "perturbation": "GENE00", "dose": np.nan}
        for kind, model in (("input", ""), ("true", ""), *(("predicted", model) for model in models)):
            x, y = rng.normal(kind == "true", 1, (2, 20))
            cells.append(pd.DataFrame({"cells": kind, "model": model, "unit": "cell", "x": x, "y": y}).assign(**where))
    pd.concat(changes).to_csv(folder / "changes.csv", index=False)
    pd.DataFrame(conditions).to_csv(folder / "conditions.csv", index=False)
    pd.concat(cells).to_csv(folder / "umap.csv", index=False)


def write_manifest(folder: Path) -> None:
    """Write a manifest as a run does, shortened."""
    facts = {
        "command": "cycseq-bench run --suite default --models linear,gears",
        "started": "2026-01-02T03:04:05",
        "title": "A test suite",
        "preset": "quick",
        "seeds": 1,
        "base_seed": 0,
        "splits": {"unseen_perturbation-fold0": "0" * 64},
        "versions": {"python": "3.11", "cycseq-bench": "0.1.0"},
        "models": {"gears": {"settings": {"epochs": 2}, "budget": "quick"}},
        "dataset": {"cells": 1200, "genes": 500},
    }
    (folder / "manifest.json").write_text(json.dumps(facts))


def write_results(folder: Path) -> Path:
    """Write everything that a run leaves for its page."""
    write_run(folder)
    write_changes(folder)
    write_manifest(folder)
    return folder


def write_hostile(folder: Path) -> Path:
    """Write the same with hostile names of models, contexts, perturbations, genes and in the manifest."""
    write_results(folder)
    changed = dict(zip(("scgen", "linear", "K562", "GENE01", "GENE02", "gears"), NAMES, strict=True))
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path, keep_default_na=False).replace(changed)
        table.columns = [
            f"{PREDICTED}{changed.get(n.removeprefix(PREDICTED), n.removeprefix(PREDICTED))}"
            if n.startswith(PREDICTED)
            else n
            for n in table
        ]
        table.to_csv(path, index=False)
    (folder / "notes.json").write_text(json.dumps(list(NAMES)))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"command": HOSTILE, "title": NAMES[3]}))
    return folder


def write_large(folder: Path, n_models: int = 25, n_conditions: int = 300, n_metrics: int = 45) -> Path:
    """Write the tables of a run of so many models, conditions and metrics in one direction, random values."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    task = {
        "suite": "large",
        "dataset": "random",
        "source": "simulated",
        "protocol": "unseen_context",
        "direction": "n2p",
    }
    models = [f"model_{n:02d}" for n in range(n_models - 2)] + ["no_change", "train_mean"]
    names = [*models, "split_half", "ceiling", "oracle", "other_controls", "names_only"]
    metrics = ["pearson_delta", *(f"metric_{n:02d}" for n in range(1, n_metrics))]
    contexts = np.array([f"line_{n % 5}" for n in range(n_conditions)])
    perturbations = np.array([f"GENE{n:04d}" for n in range(n_conditions)])
    index = pd.MultiIndex.from_product([range(n_conditions), names, metrics], names=["place", "model", "metric"])
    rows = index.to_frame(index=False)
    place = rows.pop("place").to_numpy()
    skill = rows["model"].map({name: n / len(names) for n, name in enumerate(names)}).to_numpy()
    scores = rows.assign(
        **task, fold=0, seed=0, dose=np.nan, status="ok", reason="", budget="full", audit="clean", n_truth_cells=50,
        context=contexts[place], perturbation=perturbations[place], value=rng.normal(0.2 + skill, 0.2),
        kind=np.where(rows["model"].isin(models), "model", "reference"),
    )  # fmt: skip
    scores.to_csv(folder / "scores.csv", index=False)
    about = {
        "family": [f"family {n % 6}" for n in range(n_metrics)],
        "best": 1.0,
        "higher_is_better": True,
        "scored": True,
    }
    table = pd.DataFrame(
        {"metric": metrics, **about, "undefined": "", "summary": "What it measures.", "source": "test"}
    )
    table.to_csv(folder / "metrics.csv", index=False)
    costs = pd.DataFrame({"model": models, "direction": "n2p", "protocol": "unseen_context", "fold": 0, "seed": 0})
    costs = costs.assign(fit_seconds=rng.gamma(2, 30, n_models), predict_seconds=1.0, peak_memory_mb=900.0)
    costs.assign(shared_training=False).to_csv(folder / "costs.csv", index=False)
    n_genes = max(30, 800_000 // (n_conditions * (n_models + 1)))  # as many as a run keeps
    where = np.repeat(np.arange(n_conditions), n_genes)
    changes = pd.DataFrame(
        rng.normal(0, 0.5, (len(where), n_models)).round(5), columns=[f"{PREDICTED}{m}" for m in models]
    )
    changes = changes.assign(
        protocol="unseen_context", direction="n2p", fold=0, context=contexts[where], perturbation=perturbations[where],
        dose=np.nan, gene=[f"GENE{n:04d}" for n in rng.integers(0, 8000, len(where))], perturbed=False,
        true=rng.normal(0, 0.5, len(where)).round(5),
    )  # fmt: skip
    changes.to_csv(folder / "changes.csv", index=False)
    facts = {
        "protocol": "unseen_context",
        "direction": "n2p",
        "fold": 0,
        "context": contexts,
        "perturbation": perturbations,
    }
    facts |= {"dose": np.nan, "n_truth_cells": 50, "n_significant_genes": rng.integers(0, 400, n_conditions)}
    pd.DataFrame(facts).to_csv(folder / "conditions.csv", index=False)
    return folder
