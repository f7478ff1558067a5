"""Folders of runs have names of their own, and `latest` points to the one that was begun last."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.execution.run_folders import LATEST, LATEST_TEXT, folders_in, latest_in, new_folder


def begin(root: Path, name: str = "") -> Path:
    with new_folder(root, name, "-ending") as folder:
        (folder / "manifest.json").touch()
    return folder


def test_latest_is_the_last_that_was_begun(tmp_path: Path) -> None:
    first, second = begin(tmp_path, "b"), begin(tmp_path, "a")
    assert latest_in(tmp_path) == second
    assert (tmp_path / LATEST).resolve() == second.resolve()
    assert folders_in(tmp_path) == [second, first]


def test_concurrent_runs_have_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: begin(tmp_path), range(16)))
    assert len(set(made)) == 16
    assert latest_in(tmp_path) in made
    assert all(folder.name.endswith("-ending") for folder in made)
    assert not list(tmp_path.glob(f".{LATEST}*"))


def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path) -> None:
    begin(tmp_path, "one")
    for name in ("one", LATEST, "a/b", "..", ".hidden", "-x"):
        with pytest.raises(BenchmarkError), new_folder(tmp_path, name):
            pass
    assert folders_in(tmp_path) == [tmp_path / "one"]


def test_a_run_that_was_refused_leaves_nothing(tmp_path: Path) -> None:
    kept = begin(tmp_path, "kept")
    with new_folder(tmp_path, "refused") as folder:
        (folder / ".lock").touch()
    assert folders_in(tmp_path) == [kept]
    assert latest_in(tmp_path) == kept


def test_without_symbolic_links_a_file_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **how: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    folder = begin(tmp_path, "one")
    assert (tmp_path / LATEST_TEXT).read_text().strip() == "one"
    assert latest_in(tmp_path) == folder


def test_a_folder_that_is_called_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / LATEST).mkdir()
    (tmp_path / LATEST / "file").touch()
    begin(tmp_path, "one")
    assert (tmp_path / LATEST / "file").is_file()
