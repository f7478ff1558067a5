"""The version of the code that does a unit of work: two processes with the same one make the same predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import baselines
import benchmarks
import cycseq
from benchmarks.data.cards import DATASETS
from benchmarks.data.download import sha256_of
from benchmarks.execution.manifest import versions

LEFT_OUT = ("cli", "analyses", "regression", "conformance")
"""Folders of `benchmarks` that no unit of work uses."""


def code_version(plugins: Sequence[Path] = ()) -> dict[str, str]:
    """Versions of Python and all packages, "code" (a hash of this project's files), and a hash of each plugin file."""
    return {**versions(), "code": _hash_code(), **{str(path): _hash(path) for path in plugins}}


def difference(planned: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Name what differs between two versions, such as "numpy (2.1.0, here 2.2.0)"; "" where nothing does."""
    names = [name for name in {**planned, **here} if planned.get(name) != here.get(name)]
    return ", ".join(f"{name} ({_short(planned.get(name))}, here {_short(here.get(name))})" for name in names)


@cache
def _hash_code() -> str:
    folders = [Path(next(iter(package.__path__))) for package in (cycseq, baselines, benchmarks)]
    hasher = hashlib.sha256()
    for folder in (*folders, DATASETS):
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml", ".csv")):
            inside = path.relative_to(folder)
            if inside.parts[0] not in LEFT_OUT:
                hasher.update(f"{folder.name}/{inside.as_posix()}\x1f".encode())
                hasher.update(path.read_bytes())
    return hasher.hexdigest()


def _hash(path: Path) -> str:
    return sha256_of(path) if path.is_file() else "missing"


def _short(version: str | None) -> str:
    return version[:12] if version else "none"
