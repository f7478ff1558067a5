"""A changed number in a results folder is found, also where the digests were written again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.data.download import sha256_of
from benchmarks.data.store import checked_arrays
from benchmarks.data.store.folder_digests import SUMS, update_sums, write_sums
from benchmarks.errors import StoreError
from benchmarks.execution.prediction_store import get_outcome, put_outcome
from benchmarks.execution.score_store import VALUES, read_scores
from benchmarks.execution.verification import Finding, verify
from reports import write_reports
from reports.score_columns import SCORES

SET = "predictions/context_transfer/n2p-unseen_context-fold0-seed0"
EXACT = "%.10g"


@pytest.fixture
def folder(small_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_run, tmp_path / "run")


def findings(folder: Path, verdict: str) -> dict[str, str]:
    return {found.what: found.detail for found in verify(folder) if found.verdict == verdict}


def files(folder: Path, verdict: str) -> str:
    """What is said of the digests, which come first."""
    return next(found.detail for found in verify(folder) if found.what == "files" and found.verdict == verdict)


def test_a_run_is_right_and_says_what_was_not_checked(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    found: list[Finding] = list(verify(folder))
    assert not [one for one in found if one.verdict == "wrong"]
    right = {one.what for one in found if one.verdict == "right"}
    assert {"files", "leaderboard.csv", "leaderboard.md", "scores.csv", "planted.csv", "mean profiles"} <= right
    assert {"predicted cells"} <= {one.what for one in found if one.verdict == "not checked"}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name",
    [
        "scores.csv",
        "leaderboard.csv",
        "leaderboard.md",
        "manifest.json",
        "notes.json",
        f"{SET}/means.npy",
        f"{SET}/c0000.npz",
    ],
)
def test_one_changed_byte_of_any_file_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    place = len(content) - 3
    content[place] ^= 1
    (folder / name).write_bytes(content)
    if name == "manifest.json":  # it is no JSON any more, and the folder is none of results
        with pytest.raises(StoreError, match=r"no manifest\.json"):
            next(verify(folder))
    else:
        assert name in files(folder, "wrong")


def test_missing_and_additional_files_are_named(folder: Path) -> None:
    (folder / "wins.csv").unlink()
    (folder / "extra.csv").write_text("a\n1\n")
    assert "wins.csv" in files(folder, "wrong")
    assert "extra.csv" in files(folder, "not checked")


def rewrite(path: Path, change: Callable[[pd.DataFrame], None], digits: str = EXACT) -> None:
    table = pd.read_csv(path, keep_default_na=False, na_values={"value": [""], "dose": [""]})
    change(table)
    table.to_csv(path, index=False, float_format=digits)


def better_value(table: pd.DataFrame) -> None:
    """Raise one value of a metric of mean profiles, in its last digits."""
    rows = table[
        (table["model"] == "context_transfer") & (table["metric"] == "pearson_delta") & (table["status"] == "ok")
    ]
    table.loc[rows.index[0], "value"] += 1e-8


def test_a_forged_score_is_found_by_the_values_that_are_kept(folder: Path) -> None:
    rewrite(folder / "scores.csv", better_value)
    write_reports(folder, figures=False)
    write_sums(folder)
    wrong = findings(folder, "wrong")
    assert "context_transfer" in wrong["scores.csv"]
    assert "pearson_delta" in wrong["scores.csv"]
    assert "files" not in wrong


def test_a_forged_mean_of_the_leaderboard_is_found(folder: Path) -> None:
    table = pd.read_csv(folder / "leaderboard.csv", dtype=str, keep_default_na=False)
    row = table.index[table["mean"] != ""][0]
    table.loc[row, "mean"] = str(float(table.loc[row, "mean"]) + 0.01)
    table.to_csv(folder / "leaderboard.csv", index=False)
    write_sums(folder)
    wrong = findings(folder, "wrong")
    assert set(wrong) == {"leaderboard.csv"}
    assert "mean" in wrong["leaderboard.csv"]


def test_a_forged_reference_is_found_by_the_data(folder: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        rows = table[(table["model"] == "split_half") & (table["status"] == "ok")]
        table.loc[rows.index, "value"] *= 0.5

    rewrite(folder / "scores.csv", change)
    write_reports(folder, figures=False)
    write_sums(folder)
    assert "split_half" in findings(folder, "wrong")["scores.csv"]


def test_values_forged_everywhere_are_found_by_the_mean_profiles(folder: Path) -> None:
    """Values, outcome, scores.csv, tables, page and digests are forged in agreement; the mean profiles are not."""
    place, gain = folder / SET, 0.05
    outcome = get_outcome(place)
    assert outcome is not None
    values = dict(read_scores(place, outcome))
    forged = values["pearson_delta"].values + gain
    checked_arrays.put(place / VALUES, values | {"pearson_delta": replace(values["pearson_delta"], values=forged)})
    put_outcome(place, replace(outcome, values=sha256_of(place / VALUES)))

    def change(table: pd.DataFrame) -> None:
        own = (table["model"] == "context_transfer") & (table["direction"] == "n2p") & (table["fold"] == 0)
        table.loc[own & (table["metric"] == "pearson_delta"), "value"] += gain

    rewrite(folder / "scores.csv", change)
    write_reports(folder, figures=False)
    write_sums(folder)
    wrong = findings(folder, "wrong")
    assert set(wrong) == {"mean profiles"}
    assert "pearson_delta" in wrong["mean profiles"]


def test_without_the_data_the_rest_is_checked(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["question"]["own"]["path"] = str(folder / "not_here.h5ad")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    found = list(verify(folder))
    assert not [one for one in found if one.verdict == "wrong"]
    assert any(one.what == "scores.csv" and one.verdict == "right" for one in found)
    assert any("not_here.h5ad" in one.detail for one in found if one.verdict == "not checked")


def test_digests_of_what_is_made_again_leave_the_others(folder: Path) -> None:
    rewrite(folder / "scores.csv", better_value)
    update_sums(folder, write_reports(folder, figures=False))
    assert files(folder, "wrong").endswith("scores.csv")


def test_exit_statuses(folder: Path, tmp_path: Path) -> None:
    def status(*given: str) -> int:
        return CliRunner().invoke(app, ["verify", *given]).exit_code

    assert status(str(folder), "--threads", "1") == 0
    (folder / "scores.csv").write_text("forged\n")
    assert status(str(folder), "--threads", "1") == 1
    assert status(str(tmp_path)) == 2


def test_sums_are_those_of_sha256sum(folder: Path) -> None:
    lines = dict(line.split("  ")[::-1] for line in (folder / SUMS).read_text().splitlines())
    assert lines["scores.csv"] == sha256_of(folder / "scores.csv")
    assert SUMS not in lines
    assert not any(name.startswith((".", "truth/", "training/", "fitted/")) for name in lines)
    assert np.all([(folder / name).is_file() for name in lines])


def test_scores_of_a_run_are_of_the_schema(small_run: Path) -> None:
    table = pd.read_csv(small_run / "scores.csv", keep_default_na=False, na_values={"value": [""], "dose": [""]})
    assert list(table) == [column.name for column in SCORES]
    numeric = {"integer": pd.api.types.is_integer_dtype, "number": pd.api.types.is_float_dtype}
    for column in SCORES:
        if column.dtype in numeric:
            assert numeric[column.dtype](table[column.name]), column.name
        if column.allowed:
            assert set(table[column.name]) <= set(column.allowed)
    assert not table.duplicated([column.name for column in SCORES if column.key]).any()
    assert table["value"].notna().equals(table["status"] == "ok")
    assert (table["reason"] == "").equals(table["status"] == "ok")
