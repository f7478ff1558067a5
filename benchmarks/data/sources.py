"""Where a data set's cells come from: its card, its reader, and a hash of the code that reads it."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from benchmarks.data import cards, schema
from benchmarks.data.cards import Card
from benchmarks.data.schema import Reading
from benchmarks.data.stand_ins import find_card
from benchmarks.errors import DataError

SHARED = tuple(Path(schema.__file__).parent / name for name in ("readers", "simulation"))
"""Folders of code that several readers share."""
LOADED = re.compile(r"""load_reader\(["'](\w+)["']\)""")
"""How a reader's code names another reader that it loads."""


@dataclass(frozen=True)
class Source:
    """A data set before it is read."""

    card: Card
    read: Callable[[Mapping[str, Path]], Reading]
    code: str
    """sha256 of all that decides how the files are read: code, card and options."""
    paths: Mapping[str, Path] = field(default_factory=dict)
    """Files of the user's own, by the key that `read` asks for; the card's files are looked for or downloaded."""
    store: Path | None = None
    """Folder that the prepared cells are written to; None: one in the cache, named by code, card and files."""


def builtin(name: str, data_dir: Path | None = None) -> Source:
    """Find a data set of `datasets/` by its name.

    `data_dir` is a folder with local copies of data files, which may say that they are simulated (`stand_ins`).

    Raises
    ------
    UnknownName, DataError, DownloadError
        No such data set; its card or its reader cannot be used; the folder does not exist.
    """
    card = find_card(name, data_dir)
    reader = load_reader(name)
    if not callable(getattr(reader, "read", None)):
        raise DataError(f"{reader.__file__} has no function read(files); a reader is one.")
    return Source(card, reader.read, code_hash(name))


def load_reader(name: str) -> ModuleType:
    """Import `datasets/<name>/read.py` by path, under a private name: `datasets` is no package of ours."""
    path = cards.DATASETS / name / "read.py"
    spec = importlib.util.spec_from_file_location(f"_cycseq_dataset_{name}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"Data set '{name}' has no reader {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def code_hash(name: str) -> str:
    """Hash the code that reads a data set: its folder, those of readers it loads by name, and what readers share."""
    folders, waiting = set[Path](), [name]
    while waiting:
        folder = cards.DATASETS / waiting.pop()
        if folder not in folders:
            folders.add(folder)
            waiting += [loaded for path in folder.rglob("*.py") for loaded in LOADED.findall(path.read_text("utf-8"))]
    return _hash_files(folders, hash_shared_code())


def hash_shared_code() -> str:
    """Hash the canonical form, and the parsing and simulating that readers share."""
    return _hash_files(SHARED, hashlib.sha256(Path(schema.__file__).read_bytes()).hexdigest())


def _hash_files(folders: Iterable[Path], start: str) -> str:
    """Hash code, cards and tables of some folders."""
    hasher = hashlib.sha256(start.encode())
    for folder in sorted(folders):
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".toml", ".csv")):
            hasher.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\x1f".encode())
            hasher.update(path.read_bytes())
    return hasher.hexdigest()
