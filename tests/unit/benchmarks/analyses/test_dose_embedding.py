"""Neighbours of the right dose: counted by hand, at chance for noise, refused where there are no doses."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from benchmarks.analyses.dose_embedding import Placed, Pool, embed, pool_of, right_doses
from benchmarks.cli.app import application
from benchmarks.data.own_file import OwnFile
from benchmarks.execution.executor import Execution
from benchmarks.execution.load_run import reopen
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question
from reports.figures.dose_embedding_figure import (
    CELL_COLUMNS,
    NEIGHBOUR_COLUMNS,
    REAL,
    draw_embedding,
    name_dose,
    summarise,
)

DOSES = (0.0, 10.0, 100.0)


def pool(n=12, apart=100.0):
    """Cells of three doses on a line, `apart` from dose to dose."""
    doses = np.repeat(DOSES, n)
    x = np.random.default_rng(0).normal(size=(len(doses), 3))
    x[:, 0] += apart * np.repeat(range(len(DOSES)), n)
    return x, Pool(np.arange(len(doses)), doses)


def test_right_doses_of_separate_doses():
    x, real = pool()
    right, wrong = x[real.doses == 100.0] + 0.01, x[real.doses == 10.0] + 0.01
    found = right_doses(x, real, iter([Placed("good", 100.0, "cell", right), Placed("copy", 100.0, "cell", wrong)]))
    shares = found.set_index("model")["share"]
    assert shares.to_dict() == {"good": 1.0, "copy": 0.0, REAL: 1.0}
    assert found["chance"].tolist() == pytest.approx([1 / 3] * 3)
    assert found["k"].tolist() == [10] * 3


def test_right_doses_at_chance():
    x, real = pool(n=200, apart=0.0)
    placed = Placed("model", 10.0, "cell", np.random.default_rng(1).normal(size=(300, 3)))
    shares = right_doses(x, real, iter([placed])).set_index("model")["share"]
    assert shares["model"] == pytest.approx(1 / 3, abs=0.05)
    assert shares[REAL] == pytest.approx(1 / 3, abs=0.05)


def test_real_cell_is_not_its_own_neighbour():
    """Cells of two doses stand in pairs, one of each, pairs in two places: k = 1 would find itself, and always be right."""
    x = np.array([[0.0], [1.0], [100.0], [101.0]])
    real = Pool(np.arange(4), np.array([0.0, 10.0, 0.0, 10.0]))
    found = right_doses(x, real, iter([Placed("model", 10.0, "mean", x[[1]])])).set_index("model")
    assert found["k"].tolist() == [1, 1]
    assert found["share"].to_dict() == {
        "model": 1.0,
        REAL: 0.0,
    }  # the model's mean lies on a cell, a real cell beside one


def test_doses_have_plain_names():
    assert [name_dose(d) for d in (0, 10, 100, 1000, 10000)] == ["control", "10 nM", "100 nM", "1 µM", "10 µM"]


def test_run_without_doses_raises(small_run):
    result = CliRunner().invoke(application("embedding"), [str(small_run)])
    assert result.exit_code == 2
    assert "has no doses" in " ".join(result.output.split())


def neighbours(**shares):
    labels = dict.fromkeys(NEIGHBOUR_COLUMNS[:5], "x") | {"source": "simulated", "direction": "n2p", "protocol": "p"}
    rows = [
        labels
        | {"fold": 0, "context": context, "perturbation": f"C{n}", "dose": dose, "model": model}
        | {"unit": "draw" if model == "mixer" else "cell", "n_cells": 50, "k": 10, "n_doses": 5}
        | {"share": share + 0.02 * n, "chance": 0.2}
        for model, share in shares.items()
        for context in ("A", "B")
        for n in range(3)
        for dose in (1000.0, 10000.0)
    ]
    return pd.DataFrame(rows)[list(NEIGHBOUR_COLUMNS)]


def write_doses(path):
    """Two contexts, three compounds at four doses, each raising genes of its own with the dose; log2(CP10k + 1)."""
    rng, base = np.random.default_rng(0), np.random.default_rng(42).gamma(2.0, 2.0, size=40) + 0.5
    counts, labels = [], []
    for context in ("A", "B"):
        states = [("control", np.nan, 1.0, 0)]
        states += [
            (f"Drug{n}", dose, 1 + 1.5 * step, n) for n in range(3) for step, dose in enumerate((10, 100, 1000, 10000))
        ]
        for name, dose, factor, place in states:
            rate = base.copy()
            rate[place * 12 : place * 12 + 12] *= factor
            counts.append(rng.poisson(rate, size=(45, 40)))
            labels += [(context, name, dose)] * 45
    stacked = np.vstack(counts).astype(float)
    x = np.log2(stacked * 1e4 / stacked.sum(axis=1, keepdims=True) + 1)
    obs = pd.DataFrame(labels, columns=["context", "perturbation", "dose"], index=[f"c{i}" for i in range(len(labels))])
    cells = ad.AnnData(sp.csr_matrix(x.astype(np.float32)), obs=obs)
    cells.var_names = [f"G{n}" for n in range(40)]
    cells.write_h5ad(path)


def test_embed_run_with_doses(tmp_path):
    pytest.importorskip("phate")
    write_doses(tmp_path / "doses.h5ad")
    (tmp_path / "terms.json").write_text('{"G1": ["term"]}')
    file, terms = tmp_path / "doses.h5ad", tmp_path / "terms.json"
    own = OwnFile(file, context="context", dose="dose", values="log2", kind="drug", source="simulated")
    what = {"models": ("context_transfer",), "protocol": "low_to_high_dose", "directions": ("n2p",), "folds": 1}
    request = Question(suite="own", own=own, annotation=terms, **what)
    run(make_plan(request), tmp_path / "run", Execution(figures=False, keep_predictions=True))
    finished = reopen(tmp_path / "run")
    first = finished.conditions("n2p")[0]
    assert first.dose == 10000
    pooled = pool_of(finished, [first])
    assert set(pooled.doses) == {0.0, 10.0, 100.0, 1000.0, 10000.0}
    assert len(set(pd.Series(pooled.doses).value_counts())) == 1
    assert not set(pooled.positions) & set(first.condition.input("n2p"))
    embed(finished, (first.name,))
    shares = pd.read_csv(tmp_path / "run" / "embedding" / "neighbours.csv")
    means = shares.groupby("model")["share"].mean()
    assert means[REAL] > shares["chance"].mean() + 0.2
    assert means["no_change"] < means[REAL]
    assert (tmp_path / "run" / "embedding" / "neighbours.png").is_file()


def test_summary_of_shares():
    table = summarise(neighbours(good=0.4), n_boot=200).set_index("dose")
    assert table["share"].tolist() == pytest.approx([0.42, 0.42])
    assert (table["low"] < 0.42).all()
    assert (table["high"] > 0.42).all()
    assert table["n_conditions"].tolist() == [6, 6]


def test_figures_from_tables(tmp_path):
    rng = np.random.default_rng(0)
    labels = dict.fromkeys(CELL_COLUMNS[:5], "x") | {"source": "simulated", "direction": "n2p", "protocol": "p"}
    rows = [
        labels
        | {"context": "A", "perturbation": "C0", "model": model, "dose": dose, "unit": "cell"}
        | {"x": rng.normal() + np.log10(dose + 1), "y": rng.normal()}
        for model, doses in ((REAL, (0.0, 100.0, 1000.0, 10000.0)), ("good", (1000.0, 10000.0)))
        for dose in doses
        for _ in range(20)
    ]
    pd.DataFrame(rows)[list(CELL_COLUMNS)].to_csv(tmp_path / "cells.csv", index=False)
    table = neighbours(**{"good": 0.4, "mixer": 0.3, REAL: 0.5})
    table.to_csv(tmp_path / "neighbours.csv", index=False)
    paths = draw_embedding(tmp_path)
    assert [path.name for path in paths] == ["phate-A-C0.png", "neighbours.png"]
    assert all(path.stat().st_size > 10_000 for path in paths)
