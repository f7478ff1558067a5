"""Files in upstream's form are read as upstream's are, have effects that can be found, and are never held whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.data.sources import load_reader
from tests.bench.upstream_screens import NAMED, REPLOGLE, SCIPLEX_NUCLEI, write_compounds, write_knock_downs


def test_a_knock_down_lowers_its_target_and_moves_the_same_genes_in_both_lines(tmp_path: Path):
    effects = {}
    for key, form in REPLOGLE.items():
        path = write_knock_downs(tmp_path, key, 1200, 8)
        reading = load_reader("replogle").read({key: path})
        blocks = list(reading.blocks)
        assert blocks[0].n_vars == form.genes - 2  # two symbols name two genes each
        x = sp.vstack([block.X for block in blocks])
        labels = np.concatenate([block.obs["perturbation"].astype(str) for block in blocks])
        assert x.shape[0] == 1200
        assert set(NAMED) < set(labels)
        assert {b.split("_")[0] for block in blocks for b in block.obs["batch"]} == {form.line}
        names = blocks[0].var_names
        means = {p: np.asarray(x[labels == p].mean(axis=0)).ravel() for p in set(labels)}
        control = means.pop("control")
        ratios = [means[p][names.get_loc(p)] / control[names.get_loc(p)] for p in means if p not in NAMED]
        assert np.median(ratios) < 0.5
        effects[key] = {
            p: dict(zip(names, np.log2(mean + 0.2) - np.log2(control + 0.2), strict=True)) for p, mean in means.items()
        }
    common = sorted(set(effects["k562"]["TTK"]) & set(effects["rpe1"]["TTK"]))
    one, other = ({p: np.array([effects[key][p][g] for g in common]) for p in NAMED} for key in REPLOGLE)
    alike = [np.corrcoef(one[p], other[q])[0, 1] for p, q in zip(NAMED, NAMED, strict=True)]
    unlike = [np.corrcoef(one[p], other[q])[0, 1] for p, q in zip(NAMED, reversed(NAMED), strict=True)]
    assert min(alike) > 0.09
    assert max(unlike) < 0.06  # three standard errors, and some


@pytest.mark.slow
def test_nuclei_are_read_with_their_doses_and_higher_doses_move_more(tmp_path: Path):
    paths = write_compounds(tmp_path, 2000 / SCIPLEX_NUCLEI)
    keys = ("matrix", "pdata", "cells", "genes")
    reading = load_reader("sciplex3").read(dict(zip(keys, paths, strict=True)))
    cells = next(iter(reading.blocks))
    assert 1000 < cells.n_obs < 2000
    assert set(cells.obs["arm"]) == {"24h", "72h"}
    assert set(cells.obs["dose"].dropna()) == {10.0, 100.0, 1000.0, 10000.0}
    assert "Temsirolimus (CCI-779, NSC 683864)" in set(cells.obs["perturbation"])


@pytest.mark.slow
def test_files_are_written_block_by_block(tmp_path: Path):
    peaks = []
    for n_cells in (2000, 6000):
        tracemalloc.start()
        path = write_knock_downs(tmp_path, "k562", n_cells, 20)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert path.stat().st_size > 6000 * 8563 * 4
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize("key", REPLOGLE)
def test_full_files_have_upstreams_size(key):
    form = REPLOGLE[key]
    targets = 1_200 - form.first_gene + 2 * (form.knock_downs - 1)
    assert targets < form.genes
