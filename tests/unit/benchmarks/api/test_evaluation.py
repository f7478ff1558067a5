"""Scoring cells in memory: the values of the command line, no file, and inputs as they were."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

import benchmarks as cb
from benchmarks.cli.app import application
from benchmarks.errors import BenchmarkError, DataError, StoreError

TABLES = ("scores", "conditions", "controls", "planted", "metrics", "costs", "leaderboard", "comparison", "quality")
Cells = dict[str, ad.AnnData]


@pytest.fixture
def cells() -> Cells:
    """Truth and training cells of one made-up screen, and a prediction: another draw of the same conditions."""
    whole, other = cb.toy_screen(seed=0), cb.toy_screen(seed=1)
    own, perturbed = whole.obs["context"] == "line_a", other.obs["perturbation"] != "control"
    return {
        "truth": whole[own.to_numpy()].copy(),
        "mine": other[(perturbed & (other.obs["context"] == "line_a")).to_numpy()].copy(),
        "train": whole[~own.to_numpy()].copy(),
    }


def logged(cells: ad.AnnData) -> ad.AnnData:
    """As scanpy leaves cells, counts in a layer."""
    x = sp.csr_matrix(cells.X, dtype=np.float64)
    sums = np.asarray(x.sum(axis=1)).ravel()
    found = ad.AnnData(
        sp.csr_matrix(sp.diags(1e4 / sums) @ x).log1p(),
        obs=cells.obs.copy(),
        var=cells.var.copy(),
        layers={"counts": x},
    )
    found.uns["log1p"] = {"base": None}
    return found


def shuffled(cells: ad.AnnData) -> ad.AnnData:
    """A CSR matrix whose entries are not in order, and some of them in two parts."""
    x = sp.csr_matrix(cells.X)
    rows, columns = x.nonzero()
    order = np.lexsort((-columns, rows))
    halves = np.repeat(x.data[order] / 2, 2)
    ends = np.append(0, np.cumsum(2 * np.diff(x.indptr)))
    cells.X = sp.csr_matrix((halves.astype(np.float32), np.repeat(columns[order], 2), ends), shape=x.shape)
    assert not cells.X.has_canonical_format
    return cells


def with_raw(cells: ad.AnnData) -> ad.AnnData:
    found = logged(cells)
    found.raw = cells
    return found


def dense(cells: ad.AnnData) -> ad.AnnData:
    cells.X = cells.X.toarray().astype(np.float64)
    return cells


def by_column(cells: ad.AnnData) -> ad.AnnData:
    cells.X = sp.csc_matrix(cells.X)
    return cells


FORMS: dict[str, tuple[Callable[[ad.AnnData], ad.AnnData], dict[str, Any]]] = {
    "counts": (lambda cells: cells, {}),
    "logarithms": (logged, {}),
    "a layer": (logged, {"layer": "counts"}),
    "raw": (with_raw, {"layer": "raw"}),
    "dense": (dense, {}),
    "by column": (by_column, {}),
    "entries out of order": (shuffled, {}),
}


def by_command(files: dict[str, Path], out: Path, *options: str) -> Path:
    """Score files with the command; returns the folder."""
    arguments = [str(files["mine"]), "--truth", str(files["truth"]), "--train", str(files["train"])]
    done = CliRunner().invoke(
        application("score"),
        [*arguments, "--context-key", "context", "--source", "simulated", "--no-figures", "--out", str(out), *options],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    folder = (out / "latest").resolve()
    return folder


def write(cells: Cells, folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.h5ad" for name in cells}
    for name, path in paths.items():
        cells[name].copy().write_h5ad(path)
    return paths


@pytest.mark.parametrize("form", FORMS)
def test_values_are_those_of_the_command_to_the_last_digit(tmp_path: Path, cells: Cells, form: str) -> None:
    change, options = FORMS[form]
    cells = {name: change(own) for name, own in cells.items()}
    files = write(cells, tmp_path)
    extra = [f"--{name}={value}" for name, value in options.items()]
    folder = by_command(files, tmp_path / "out", *extra)
    result = cb.evaluate(
        {"mine": cells["mine"]}, cells["truth"], cells["train"], context_key="context", source="simulated", **options
    )
    saved = result.save(tmp_path / "saved", figures=False)
    for name in TABLES:
        assert (saved / f"{name}.csv").read_bytes() == (folder / f"{name}.csv").read_bytes(), name
    assert {path.name for path in saved.iterdir()} == {path.name for path in folder.iterdir()}


def test_paths_and_cells_in_memory_are_taken_together(tmp_path: Path, cells: Cells) -> None:
    files = write(cells, tmp_path)
    options: dict[str, Any] = {"context_key": "context", "calibrate": False}
    in_memory = cb.evaluate(cells["mine"], cells["truth"], **options)
    mixed = cb.evaluate(str(files["mine"]), cells["truth"], **options)
    assert set(in_memory.scores["model"]) == {"prediction", "no_change"}
    assert set(mixed.scores["model"]) == {"mine", "no_change"}
    renamed = mixed.scores.replace({"model": {"mine": "prediction"}})
    pd.testing.assert_frame_equal(renamed, in_memory.scores)


def test_views_are_scored_as_copies_are(cells: Cells) -> None:
    odd = np.arange(cells["mine"].n_obs) % 2 == 1
    view, copy = cells["mine"][odd], cells["mine"][odd].copy()
    one, other = (
        cb.evaluate(mine, cells["truth"], context_key="context", calibrate=False).scores for mine in (view, copy)
    )
    pd.testing.assert_frame_equal(one, other)
    assert view.is_view


def snapshot(cells: ad.AnnData) -> list[object]:
    """Everything of an AnnData, byte by byte."""
    parts: list[object] = [
        cells.obs.to_json(),
        cells.var.to_json(),
        str(cells.obs.dtypes),
        repr(cells.uns),
        repr(cells),
    ]
    for x in (cells.X, *cells.layers.values()):
        arrays = (x.data, x.indices, x.indptr) if sp.issparse(x) else (x,)
        parts += [(part.dtype, np.array(part).tobytes()) for part in arrays]
    return parts


@pytest.mark.parametrize("form", ["counts", "logarithms", "dense", "by column", "entries out of order"])
def test_inputs_are_not_changed(cells: Cells, form: str) -> None:
    cells = {name: FORMS[form][0](own) for name, own in cells.items()}
    before = {name: snapshot(own) for name, own in cells.items()}
    cb.evaluate(cells["mine"], cells["truth"], cells["train"], context_key="context", calibrate=False)
    assert {name: snapshot(own) for name, own in cells.items()} == before


def test_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: Cells) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("CYCSEQ_CACHE", str(tmp_path / "cache"))
    result = cb.evaluate(cells["mine"], cells["truth"], cells["train"], context_key="context")
    assert len(result.leaderboard)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list(scratch.iterdir()) == []


def test_mean_profiles_are_taken(cells: Cells) -> None:
    mine = cells["mine"]
    names = sorted(set(mine.obs["perturbation"]))
    rows = [np.asarray(mine.X[(mine.obs["perturbation"] == n).to_numpy()].mean(axis=0)).ravel() for n in names]
    obs = pd.DataFrame({"perturbation": names, "context": "line_a"}, index=names)
    means = ad.AnnData(np.log1p(np.vstack(rows)), obs=obs, var=mine.var.copy())
    truth = cells["truth"].copy()
    truth.X = truth.X.log1p()
    result = cb.evaluate(means, truth, context_key="context", space="ln", calibrate=False)
    own = result.scores.query("model == 'prediction'").set_index(["metric", "perturbation"])["status"]
    assert set(own["des"]) == {"needs_cells"}
    assert set(own["pearson_delta"]) == {"ok"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"perturbation_key": "target"}, "`perturbation_key`"),
        ({"control": "NTC"}, "`control`"),
        ({"direction": "up"}, "`direction` is 'up'; expected one of n2p, p2n"),
        ({"space": "tpm"}, "`space` is 'tpm'"),
        ({"start": "prediction", "direction": "p2n"}, 'start="prediction" needs direction="n2p"'),
        ({"layer": "nowhere"}, "Name one with `layer`"),
    ],
)
def test_errors_name_parameters(cells: Cells, change: dict[str, str], told: str) -> None:
    with pytest.raises(BenchmarkError) as error:
        cb.evaluate(cells["mine"], cells["truth"], context_key="context", **change)
    assert told in str(error.value)
    assert "--" not in str(error.value)


def test_missing_genes_are_told_with_the_parameter_that_helps(cells: Cells) -> None:
    with pytest.raises(DataError, match='genes="shared"'):
        cb.evaluate(cells["mine"][:, 5:], cells["truth"], context_key="context")


@pytest.mark.parametrize("given", [None, 3, pd.DataFrame()])
def test_other_objects_are_refused(cells: Cells, given: Any) -> None:
    with pytest.raises(DataError, match="expected an AnnData"):
        cb.evaluate(given, cells["truth"])
    with pytest.raises(DataError, match="truth is a"):
        cb.evaluate(cells["mine"], given)


def test_matrices_that_are_not_in_memory_are_refused(tmp_path: Path, cells: Cells) -> None:
    path = write(cells, tmp_path)["mine"]
    backed = ad.read_h5ad(path, backed="r")
    try:
        with pytest.raises(DataError, match="to_memory"):
            cb.evaluate(backed, cells["truth"], context_key="context")
    finally:
        backed.file.close()


def test_no_prediction_and_names_that_are_taken_are_refused(cells: Cells) -> None:
    for given in ({}, {"no_change": cells["mine"]}, {"": cells["mine"]}):
        with pytest.raises(DataError):
            cb.evaluate(given, cells["truth"], context_key="context")


def test_notes_name_parameters(cells: Cells) -> None:
    result = cb.evaluate(cells["mine"], cells["truth"], context_key="context", calibrate=False)
    assert any("Without `train`" in note for note in result.notes)
    assert not any("--" in note for note in result.notes)


def test_results_are_saved_into_new_folders_only(tmp_path: Path, cells: Cells) -> None:
    result = cb.evaluate(cells["mine"], cells["truth"], context_key="context", calibrate=False)
    (tmp_path / "kept.txt").touch()
    with pytest.raises(StoreError, match="not empty"):
        result.save(tmp_path, figures=False)
