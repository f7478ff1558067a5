"""While a run goes, its records are what the harness wrote, whatever is done to the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import StoreError
from benchmarks.execution import ledger


def record(run: Path, name: str) -> Path:
    return run / "predictions" / name / "fold0" / "outcome.json"


def test_files_that_are_changed_removed_or_planted_are_put_right(tmp_path: Path) -> None:
    old, new, planted = (record(tmp_path, name) for name in ("old", "new", "planted"))
    ledger.write_record(old, b"1")
    with ledger.ledger(tmp_path):
        ledger.write_record(new, b"2")
        old.unlink()
        new.write_bytes(b"3")
        planted.parent.mkdir(parents=True)
        planted.write_bytes(b"4")
        assert (ledger.read_record(old), ledger.read_record(new)) == (b"1", b"2")
        with pytest.raises(FileNotFoundError):
            ledger.read_record(planted)
    assert (old.read_bytes(), new.read_bytes(), planted.exists()) == (b"1", b"2", False)
    new.write_bytes(b"5")
    assert ledger.read_record(new) == b"5", "files count again once the run has ended"


def test_forgotten_records_are_gone(tmp_path: Path) -> None:
    old, other = record(tmp_path, "old"), record(tmp_path, "older")
    with ledger.ledger(tmp_path):
        ledger.write_record(old, b"1")
        ledger.write_record(other, b"2")
        ledger.forget_records(old.parent)
        with pytest.raises(FileNotFoundError):
            ledger.read_record(old)
        assert ledger.read_record(other) == b"2"


def test_runs_do_not_share_records(tmp_path: Path) -> None:
    with ledger.ledger(tmp_path / "one"), ledger.ledger(tmp_path / "two"):
        ledger.write_record(record(tmp_path / "one", "m"), b"1")
        with pytest.raises(FileNotFoundError):
            ledger.read_record(record(tmp_path / "two", "m"))


def test_watched_files(tmp_path: Path) -> None:
    truth, parameters = tmp_path / "truth" / "a.npz", tmp_path / "integration" / "fold0.npz"
    for path in (truth, parameters):
        path.parent.mkdir()
        path.write_bytes(b"1")
    with ledger.ledger(tmp_path):
        ledger.watch_files(tmp_path)
        ledger.check_unchanged(parameters)
        ledger.drop_changed_files(tmp_path)
        assert truth.is_file()
        (truth.parent / "planted.npz").write_bytes(b"1")
        for path in (truth, parameters):
            path.write_bytes(b"2")
        ledger.drop_changed_files(tmp_path)
        assert not list(truth.parent.iterdir()), "summaries are made anew"
        with pytest.raises(StoreError, match="changed while"):
            ledger.check_unchanged(parameters)
    ledger.check_unchanged(parameters)


def test_files_are_trusted_that_this_process_found_or_wrote(tmp_path: Path) -> None:
    found, written, planted = (tmp_path / "truth" / f"{name}.npz" for name in ("found", "written", "planted"))
    found.parent.mkdir()
    found.write_bytes(b"1")
    assert ledger.is_trusted(found)
    with ledger.ledger(tmp_path):
        ledger.watch_files(tmp_path)
        for path in (written, planted):
            path.write_bytes(b"2")
        ledger.watch_file(written)
        assert [ledger.is_trusted(path) for path in (found, written, planted)] == [True, True, False]
        written.write_bytes(b"3")
        assert not ledger.is_trusted(written)
        ledger.drop_changed_files(tmp_path)
        assert [path.exists() for path in (found, written, planted)] == [True, False, False]
        assert not ledger.is_trusted(written)


def test_statistics_that_were_changed_end_a_training_and_are_made_anew_for_scoring(tmp_path: Path) -> None:
    path = tmp_path / "training" / "fold0" / "about.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1")
    with ledger.ledger(tmp_path):
        ledger.watch_files(tmp_path)
        path.write_bytes(b"2")
        with pytest.raises(StoreError, match="changed while"):
            ledger.check_unchanged(path)
        ledger.drop_changed_files(tmp_path)
        assert not path.exists()
        ledger.check_unchanged(path)
