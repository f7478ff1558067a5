"""What is written is whole, and readable by whom the user's umask lets read."""

from __future__ import annotations

import os

import pytest

from benchmarks.data.store import atomic_files
from benchmarks.errors import StoreError


def test_results_have_the_permissions_of_ordinary_files(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_files.write_json(tmp_path / "a.json", {"x": 1})
        assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_a_file_that_breaks_off_leaves_nothing(tmp_path):
    def break_off():
        with atomic_files.atomic(tmp_path / "a.csv") as handle:
            handle.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        atomic_files.write_json(tmp_path / "file" / "a.json", {})
