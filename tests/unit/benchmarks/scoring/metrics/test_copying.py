"""The input-copy audit: copies are flagged, honest cells are not."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.scoring.metrics import copying
from benchmarks.scoring.metrics.all_metrics import find_metric
from benchmarks.scoring.metrics.profile import r2_pearson


def test_copy_margin_by_hand():
    truth, start = np.array([[1.0, 2.0, 3.0]]), np.array([[3.0, 1.0, 2.0]])
    assert copying.copy_margin(truth, truth, start)[0] == pytest.approx(1 - r2_pearson(truth, start)[0])
    assert copying.copy_margin(truth, start, start)[0] == pytest.approx(r2_pearson(truth, start)[0] - 1)


def test_copied_input_is_flagged():
    generator = np.random.default_rng(2)
    start = generator.normal(2, 1, 200)
    target = start + generator.normal(0, 0.5, 200)
    cells = target + generator.normal(0, 1, (100, 200))
    bound = np.array([copying.honest_margin(copying.margin_sums(cells, generator), start).whole])
    truth = cells.mean(axis=0)[None]
    flags = [
        find_metric("copies_input").function(truth, p[None], start[None], bound)[0]
        for p in (start, cells[:50].mean(axis=0))
    ]
    assert flags == [1.0, 0.0]


def test_weak_perturbation_is_not_flagged():
    generator = np.random.default_rng(3)
    start = generator.normal(2, 1, 200)
    cells = start + generator.normal(0, 1, (60, 200))
    flags = []
    for _ in range(40):
        fresh = start + generator.normal(0, 1, (60, 200))
        halves = fresh[:30].mean(axis=0)[None], fresh[30:].mean(axis=0)[None]
        bound = np.array([copying.honest_margin(copying.margin_sums(cells, generator), start).half])
        flags.append(copying.copies_input(halves[1], halves[0], start[None], bound)[0])
    assert np.mean(flags) < 0.2


@pytest.mark.parametrize(("effect", "copies"), [(0.0, 0.1), (0.6, 0.95)])
@pytest.mark.parametrize(("n", "n_reference"), [(40, 20), (40, 100), (200, 100)])
def test_share_of_flags_is_calibrated(effect, copies, n, n_reference):
    """Copies of an effect's controls are flagged; as many other cells of the condition, and its noise-free mean, are not."""
    generator = np.random.default_rng(n)
    flags: dict[str, list[float]] = {"copy": [], "cells": [], "noise-free": []}
    for _ in range(60):
        base = np.abs(generator.normal(1.5, 1.2, 300))
        changed = base + generator.normal(0, effect, 300) * (generator.random(300) < 0.2)
        truth, others = (changed + generator.normal(0, 1, (n, 300)) for _ in range(2))
        reference, start = ((base + generator.normal(0, 1, (n_reference, 300))).mean(axis=0)[None] for _ in range(2))
        bound = np.array([copying.honest_margin(copying.margin_sums(truth, generator), reference[0]).whole])
        for name, p in (("copy", start), ("cells", others.mean(axis=0)[None]), ("noise-free", changed[None])):
            flags[name].append(copying.copies_input(truth.mean(axis=0)[None], p, reference, bound)[0])
    assert np.mean(flags["noise-free"]) <= 0.05
    assert np.mean(flags["cells"]) <= 0.1
    assert np.mean(flags["copy"]) >= copies if effect else np.mean(flags["copy"]) <= copies


def plain_margin(cells: np.ndarray, start: np.ndarray, generator: np.random.Generator) -> float:
    """Average the halves one by one."""
    n, margins = len(cells), []
    for order in np.argsort(generator.random((copying.HALVES, n)), axis=1):
        output, target = cells[order[: n // 2]].mean(axis=0)[None], cells[order[n // 2 :]].mean(axis=0)[None]
        margins.append(copying.copy_margin(target, output, start[None])[0])
    return float(np.quantile(margins, 0.025))


@pytest.mark.parametrize("level", [0.0, 1e4])
@pytest.mark.parametrize("n", [2, 31])
def test_honest_margin_equals_plain_loop(monkeypatch, n, level):
    generator = np.random.default_rng(4)
    cells = generator.poisson(1.0, (n, 90)) + level
    start = generator.random(90) + level
    expected = plain_margin(cells, start, np.random.default_rng(0))
    for block in (copying.BLOCK, 1500):
        monkeypatch.setattr(copying, "BLOCK", block)
        for form in (cells, sp.csr_matrix(cells)):
            half = copying.honest_margin(copying.margin_sums(form, np.random.default_rng(0)), start).half
            assert half == pytest.approx(expected, abs=1e-9)


def test_constant_cells_have_margin_zero():
    sums = copying.margin_sums(np.ones((6, 20)), np.random.default_rng(0))
    assert copying.honest_margin(sums, np.arange(20.0)) == (0.0, 0.0)


def test_honest_margin_memory():
    cells, start = np.ones((1500, 12_000), dtype=np.float32), np.arange(12_000.0)
    cells[::2] += np.arange(12_000, dtype=np.float32)
    tracemalloc.start()
    copying.honest_margin(copying.margin_sums(cells, np.random.default_rng(0)), start)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # the size of the blocks, whatever the number of genes
