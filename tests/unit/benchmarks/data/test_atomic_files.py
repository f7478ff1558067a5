"""What is written is whole, and readable by whom the user's umask lets read."""

from __future__ import annotations

import errno
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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoreError),
        (RuntimeError("Can't decrement id ref count (unable to extend file properly, errno = 28)"), StoreError),
        (RuntimeError("a fault of the program"), RuntimeError),
    ],
)
def test_what_a_disk_or_hdf5_refuses_is_a_store_error_and_leaves_nothing(tmp_path, error, expected):
    def make(folder):
        (folder / "part").write_text("half")
        raise error

    with pytest.raises(expected):
        atomic_files.make_once(tmp_path / "made", make)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []
