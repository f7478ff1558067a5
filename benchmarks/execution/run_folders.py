"""Folders of runs, `<results>/<suite>/<name>/`, and the link `latest` to the one that was begun last."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from benchmarks.errors import BenchmarkError, StoreError

LATEST = "latest"
"""Symbolic link to the folder that was begun last."""
LATEST_TEXT = "latest.txt"
"""File with its name, where the disk has no symbolic links."""
NAME = re.compile(r"\w[\w.+-]*")


def folders_in(root: Path) -> list[Path]:
    """List the folders of runs of a suite, by name; the link is left out."""
    return sorted(path for path in root.glob("*") if path.is_dir() and not path.is_symlink())


@contextmanager
def new_folder(root: Path, name: str = "", ending: str = "") -> Iterator[Path]:
    """Make a new folder of a run, which no other process is given, and let `latest` point to it.

    Parameters
    ----------
    root
        Folder of a suite.
    name
        Name of the folder; default: the time and `ending`, with a number where two runs begin in the same second.

    Raises
    ------
    BenchmarkError
        A name that is no folder name, or taken.
    StoreError
        The disk refuses.

    A folder that is still empty at the end, since what was asked was refused, is removed again.
    """
    before = latest_in(root)
    folder = _make(root, name, ending)
    point_latest(folder)
    try:
        yield folder
    finally:
        if not any(path.name != ".lock" for path in folder.iterdir()):
            with suppress(OSError):
                (folder / ".lock").unlink(missing_ok=True)
                folder.rmdir()
                point_latest(before) if before else (root / LATEST).unlink()


def check_name(name: str) -> str:
    """Return the name of a folder; raises `BenchmarkError` for one that is none."""
    if name and (not NAME.fullmatch(name) or name in (LATEST, LATEST_TEXT)):
        raise BenchmarkError(
            f"--name is '{name}'; expected letters, digits, '_', '-', '+' and '.', not '{LATEST}', such as first-try."
        )
    return name


def latest_in(root: Path) -> Path | None:
    """Return the folder that was begun last, as `latest` has it; None where there is none."""
    link, text = root / LATEST, root / LATEST_TEXT
    with suppress(OSError):
        found = root / (os.readlink(link) if link.is_symlink() else text.read_text(encoding="utf-8").strip())
        return found if found.is_dir() and found.parent == root else None
    return None


def point_latest(folder: Path) -> None:
    """Let `latest` beside a folder point to it, or `latest.txt` where there are no symbolic links; a refusal is no error."""
    partial = folder.with_name(f".{LATEST}.{secrets.token_hex(4)}")
    try:
        os.symlink(folder.name, partial, target_is_directory=True)
        os.replace(partial, folder.with_name(LATEST))  # at once: two runs that begin together leave one of both
    except (OSError, NotImplementedError):
        with suppress(OSError):
            partial.unlink(missing_ok=True)
            partial.write_text(f"{folder.name}\n", encoding="utf-8")
            os.replace(partial, folder.with_name(LATEST_TEXT))


def _make(root: Path, name: str, ending: str) -> Path:
    stem = check_name(name) or datetime.now().strftime("%Y-%m-%dT%H%M%S")
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = root / (name or f"{stem}{f'-{number}' if number > 1 else ''}{ending}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
            if name:
                raise BenchmarkError(f"{folder} exists; go on with it (--resume), or give another --name.")
    except OSError as error:
        raise StoreError(f"{root} cannot be written: {error.strerror or error}; choose another --out.") from error
    raise AssertionError("unreachable")
