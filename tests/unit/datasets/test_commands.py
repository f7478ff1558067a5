"""Every real data set's commands on small files in its study's own form: fetch, prepare, verify, summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from benchmarks.cli.app import application
from benchmarks.data import cards
from benchmarks.data.download import sha256_of
from tests.unit.datasets import upstream_files as upstream

pytestmark = pytest.mark.usefixtures("own_cache")
Files = dict[str, Path]


def harmonised(folder: Path, keys: tuple[str, ...], obs: dict[str, list], gene_ids: str) -> Files:
    """Files as scPerturb writes them: 12 cells × 8 genes."""
    values = sp.csr_matrix(upstream.draw(12, 8).astype(np.int64))
    ids = {gene_ids: [f"ENSG{i}" for i in range(8)]}
    return {key: upstream.modern(folder / f"{key}.h5ad", values, obs, ids) for key in keys}


def screens(folder: Path, zscore: bool) -> Files:
    lines = enumerate(("K562", "RPE1"))
    return {k: p for i, line in lines for k, p in upstream.replogle(folder, line, first=i, zscore=zscore).files.items()}


def all_runs(folder: Path) -> Files:
    keys = [file.key.removesuffix("_matrix") for file in cards.read_card("cropseq").files if "_matrix" in file.key]
    runs = sorted(tuple(key.split("_", 1)) for key in keys)
    return upstream.cropseq(folder, n=14, runs=runs).files


DOSES = {
    "perturbation": ["control", "(+)-JQ1", "(+)-JQ1"] * 4,
    "cell_line": ["A549"] * 12,
    "replicate": ["rep1"] * 12,
    "time": [24.0] * 12,
    "dose_value": [0.0, 100.0, 1000.0] * 4,
}
MAKERS: dict[str, Callable[[Path], Files]] = {
    "cropseq": all_runs,
    "norman": lambda folder: upstream.norman(folder).files,
    "jost": lambda folder: upstream.jost(folder).files,
    "sciplex3": lambda folder: upstream.sciplex3(folder).files,
    "kinker": lambda folder: upstream.kinker(folder).files,
    "kinker_umi": lambda folder: upstream.kinker(folder, counts=True).files,
    "replogle": lambda folder: screens(folder, zscore=False),
    "replogle_k562": lambda folder: upstream.replogle(folder, "K562").files,
    "replogle_rpe1": lambda folder: upstream.replogle(folder, "RPE1").files,
    "replogle_zscore": lambda folder: screens(folder, zscore=True),
    "scperturb_norman": lambda folder: harmonised(
        folder, ("h5ad",), {"perturbation": ["AHR_KLF1", "control", "AHR"] * 4, "gemgroup": [1, 2] * 6}, "ensemble_id"
    ),
    "scperturb_replogle": lambda folder: harmonised(
        folder, ("k562", "rpe1"), {"perturbation": ["POLR2A", "control"] * 6, "batch": [1] * 12}, "ensembl_id"
    ),
    "scperturb_sciplex3": lambda folder: harmonised(folder, ("h5ad",), DOSES, "ensembl_id"),
}
SUMMARISED = ("cropseq", "replogle_zscore", "sciplex3")
"""Of counts in arms, of z-scores, of doses."""


def test_every_real_data_set_is_here():
    real = {name for name in cards.available() if cards.read_card(name).source == "real"}
    assert real - set(MAKERS) == {"kang", "perturbench_devel"}  # whose own files are at hand where their tests run


@pytest.mark.parametrize("name", MAKERS)
def test_the_commands_take_files_as_the_study_has_them(name, tmp_path, monkeypatch):
    own = MAKERS[name](tmp_path / "files")
    known = cards.read_card(name)
    files = tuple(replace(f, filename=own[f.key].name, sha256=sha256_of(own[f.key])) for f in known.files)
    monkeypatch.setattr(cards, "read_card", lambda asked: replace(known, files=files))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(application("data"), [*arguments, "--data-dir", str(tmp_path / "files")])
        assert done.exit_code == 0, done.output
        return done.output

    assert "all files are here" in run("fetch", name)
    assert " cells × " in run("prepare", name)
    assert "damaged" not in run("verify", name)
    if name in SUMMARISED:
        run("summary", name, "--out", str(tmp_path / "out"))
        table = pd.read_csv(tmp_path / "out" / name / "conditions.csv")
        assert table["cells"].sum() > 0
        assert (tmp_path / "out" / name / "cells.png").stat().st_size > 5_000
