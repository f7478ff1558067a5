"""A folder of a saved model is used again only by the user who made it, and only as it was made."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks.data.store.sealed_folder import SEAL, read_seal, seal

CONTENT = {"key": "k", "fit_seconds": 0.1 + 0.2}


@pytest.fixture
def folder(tmp_path, own_cache):
    made = tmp_path / "fitted"
    (made / "deep").mkdir(parents=True)
    (made / "model.pickle").write_bytes(b"a pickle")
    (made / "deep" / "weights.pt").write_bytes(bytes(100))
    seal(made, **CONTENT)
    return made


def test_what_was_sealed_is_read_wherever_it_is_moved(folder, tmp_path):
    assert read_seal(folder) == CONTENT
    assert read_seal(folder.rename(tmp_path / "elsewhere")) == CONTENT


def test_any_change_breaks_the_seal(folder, tmp_path):
    def changed(name, data):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(data)
        return read_seal(copy)

    assert changed("model.pickle", b"a pickle") == CONTENT
    assert changed("model.pickle", b"b pickle") is None
    assert changed("deep/weights.pt", bytes(99)) is None
    assert changed("extra.py", b"") is None
    found = json.loads((folder / SEAL).read_text())
    assert changed(SEAL, json.dumps(found | {"content": {"key": "other"}}).encode()) is None
    for damaged in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, json.dumps(found | {"hmac": "é"}).encode()):
        assert changed(SEAL, damaged) is None
    (folder / "model.pickle").unlink()
    assert read_seal(folder) is None


def test_a_folder_of_another_user_or_machine_has_no_seal_here(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CYCSEQ_CACHE", str(tmp_path / "other"))
    assert read_seal(folder) is None
    seal(folder, **CONTENT)
    assert read_seal(folder) == CONTENT
    monkeypatch.setenv("CYCSEQ_CACHE", str(tmp_path / "cache"))
    assert read_seal(folder) is None


def test_the_key_is_readable_by_its_owner_alone(folder, own_cache):
    (key,) = own_cache.glob("*.key")
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    assert read_seal(folder) is None, "a key that others can read vouches for nothing"


def test_without_a_place_for_the_key_nothing_is_sealed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CYCSEQ_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "made").mkdir()
    seal(tmp_path / "made", **CONTENT)
    assert read_seal(tmp_path / "made") is None
