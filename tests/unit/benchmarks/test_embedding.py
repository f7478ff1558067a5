"""Neighbours of the right dose: counted by hand, at chance for noise, refused where there are no doses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.embedding import Placed, Pool, app, right_doses
from reports.embedding import CELL_COLUMNS, NEIGHBOUR_COLUMNS, REAL, draw_embedding, name_dose, summarise

DOSES = (0.0, 10.0, 100.0)


def pool(n=12, apart=100.0):
    """Cells of three doses on a line, `apart` from dose to dose."""
    doses = np.repeat(DOSES, n)
    x = np.random.default_rng(0).normal(size=(len(doses), 3))
    x[:, 0] += apart * np.repeat(range(len(DOSES)), n)
    return x, Pool(np.arange(len(doses)), doses)


def test_cells_among_those_of_their_dose_score_all_and_among_others_nothing():
    x, real = pool()
    right, wrong = x[real.doses == 100.0] + 0.01, x[real.doses == 10.0] + 0.01
    found = right_doses(x, real, iter([Placed("good", 100.0, "cell", right), Placed("copy", 100.0, "cell", wrong)]))
    shares = found.set_index("model")["share"]
    assert shares.to_dict() == {"good": 1.0, "copy": 0.0, REAL: 1.0}
    assert found["chance"].tolist() == pytest.approx([1 / 3] * 3)
    assert found["k"].tolist() == [10] * 3


def test_where_doses_do_not_differ_everything_is_at_chance():
    x, real = pool(n=200, apart=0.0)
    placed = Placed("model", 10.0, "cell", np.random.default_rng(1).normal(size=(300, 3)))
    shares = right_doses(x, real, iter([placed])).set_index("model")["share"]
    assert shares["model"] == pytest.approx(1 / 3, abs=0.05)
    assert shares[REAL] == pytest.approx(1 / 3, abs=0.05)


def test_a_real_cell_is_not_its_own_neighbour():
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


def test_a_run_without_doses_is_refused(small_run):
    result = CliRunner().invoke(app, [str(small_run)])
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


def test_shares_are_means_over_compounds_then_contexts():
    table = summarise(neighbours(good=0.4), n_boot=200).set_index("dose")
    assert table["share"].tolist() == pytest.approx([0.42, 0.42])
    assert (table["low"] < 0.42).all()
    assert (table["high"] > 0.42).all()
    assert table["n_conditions"].tolist() == [6, 6]


def test_the_figures_are_drawn_from_the_tables(tmp_path):
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
