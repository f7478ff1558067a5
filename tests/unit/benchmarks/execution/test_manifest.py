"""A manifest of another shape counts as none."""

import json

import pytest

from benchmarks.execution.manifest import read_manifest


@pytest.mark.parametrize(
    "data",
    [
        b"[1]",
        b"[[1, 2]]",
        b"[" * 100_000,
        b'{"key": 1}',
        b'{"dataset": []}',
        b'{"splits": {"a": 1}}',
        b'{"execution": null}',
        b'{"question": "q"}',
        '{"key": "é"}'.encode("latin-1"),
        b"\x00",
    ],
)
def test_a_manifest_of_another_shape_counts_as_none(tmp_path, data):
    (tmp_path / "manifest.json").write_bytes(data)
    assert read_manifest(tmp_path) == {}


def test_fields_that_are_not_read_here_are_kept(tmp_path):
    content = {"key": "k", "execution": {"data_dir": None}, "other": [1, {"a": None}]}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert read_manifest(tmp_path) == content
