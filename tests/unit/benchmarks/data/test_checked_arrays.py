"""Arrays and plain values on disk: they come back as they were, a damaged file is told from a whole one, nothing is executed."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.data.store.checked_arrays import Damaged, get, put


@dataclass(frozen=True)
class Pair:
    left: object
    right: object


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


CONTENT = {
    "arrays": [np.arange(6).reshape(2, 3), np.zeros((0, 4), np.float32), np.array(["ok", "failed"])],
    "objects": np.array([["a", None], [1.5, float("inf")]], dtype=object),
    "table": pd.DataFrame({"name": ["=x", "y"], "value": [1.0, np.nan], "n": [1, 2], "is": [True, False]}),
    "pair": Pair((1, None), {(3, 4): (0.1, 0.2), 5: "é\n"}),
    "empty": pd.DataFrame(),
}


def test_content_comes_back(tmp_path):
    put(tmp_path / "x.npz", CONTENT)
    found = get(tmp_path / "x.npz", Pair)
    assert list(found) == list(CONTENT)
    for old, new in zip(CONTENT["arrays"], found["arrays"], strict=True):
        assert old.dtype == new.dtype
        assert np.array_equal(old, new)
    assert found["objects"].tolist() == CONTENT["objects"].tolist()
    pd.testing.assert_frame_equal(found["table"], CONTENT["table"])
    assert found["empty"].empty
    assert found["pair"] == CONTENT["pair"]


def test_no_flipped_bit_goes_unseen(tmp_path):
    path = tmp_path / "x.npz"
    put(path, CONTENT)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    seen = 0
    for place in rng.choice(len(whole), 400, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = get(path, Pair)
        except Damaged:
            seen += 1
        else:  # a byte of the archive that says nothing of its content, such as a date
            assert found["pair"] == CONTENT["pair"]
            assert all(map(np.array_equal, found["arrays"], CONTENT["arrays"]))
    assert seen > 200
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged):
        get(path, Pair)


def test_a_pickle_is_not_loaded(tmp_path):
    path, mark = tmp_path / "x.npz", tmp_path / "executed"
    path.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(Damaged):
        get(path)
    np.savez(path, about=np.array([Payload(mark)], dtype=object), sha256=np.zeros(32, np.uint8))
    with pytest.raises(Damaged):
        get(path)
    assert not mark.exists()


def test_only_known_classes_are_made(tmp_path):
    put(tmp_path / "x.npz", Pair(1, 2))
    with pytest.raises(Damaged):
        get(tmp_path / "x.npz")


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(TypeError, match="set"):
        put(tmp_path / "x.npz", {"a": {1, 2}})
    assert not (tmp_path / "x.npz").exists()
    with pytest.raises(FileNotFoundError):
        get(tmp_path / "x.npz")


@pytest.mark.parametrize("name", ["about", "a0", "sha256"])
def test_a_part_that_is_no_array_is_damage(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npz"
    put(path, CONTENT)
    with zipfile.ZipFile(path) as whole:
        members = {member: whole.read(member) for member in whole.namelist()}
    with zipfile.ZipFile(path, "w") as changed:
        for member, data in (members | {f"{name}.npy": b""}).items():
            changed.writestr(member, data)
    with pytest.raises(Damaged, match=name):
        get(path, Pair)


def test_a_huge_declared_shape_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    put(path, CONTENT)
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1)) | {"shape": (10**12,)}
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    largest = max((name for name in members if name.endswith(".npy")), key=lambda name: len(members[name]))
    with zipfile.ZipFile(path, "w") as changed:
        for name, content in members.items():
            if name == largest:
                stream = io.BytesIO()
                np.lib.format.write_array_header_1_0(stream, header)
                content = stream.getvalue() + bytes(8)
            changed.writestr(name, content)
    with pytest.raises(Damaged):
        get(path, Pair)
