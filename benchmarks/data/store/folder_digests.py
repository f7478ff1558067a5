"""`SHA256SUMS`: a digest of every file of a results folder, in the form that `sha256sum --check` reads.

Left out is what is computed again where it is missing: statistics of the data, trained models, and files of clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.download import sha256_of
from benchmarks.data.store.atomic_files import atomic
from benchmarks.errors import StoreError

SUMS = "SHA256SUMS"
MADE_AGAIN = ("fitted", "jobs", "training", "truth")
"""Folders of a run that are made again where they are missing."""


@dataclass(frozen=True)
class Differences:
    """Files of a folder whose digests are not those that were written; paths in the folder, sorted."""

    same: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    """Files that have no digest."""


def write_sums(folder: Path, threads: int = 1) -> None:
    """Write the digests of all files of a folder; raises `StoreError`."""
    _write(folder, _digests(folder, [path.relative_to(folder).as_posix() for path in _files(folder)], threads))


def update_sums(folder: Path, written: Iterable[Path]) -> None:
    """Write anew the digests of files that have just been written, and drop those of files gone from the same subfolders.

    All other digests stay, so that a change of another file is still found. Nothing happens where there are none.
    """
    if not (folder / SUMS).is_file():
        return
    names = [path.relative_to(folder).as_posix() for path in written]
    places = {str(Path(name).parent) for name in names} - {"."}
    kept = {
        name: digest
        for name, digest in read_sums(folder).items()
        if str(Path(name).parent) not in places or (folder / name).is_file()
    }
    _write(folder, kept | _digests(folder, names))


def drop_sums(folder: Path) -> None:
    """Remove the digests of a folder whose content is about to change."""
    (folder / SUMS).unlink(missing_ok=True)


def read_sums(folder: Path) -> dict[str, str]:
    """Read path → digest; raises `StoreError` where there is no list, or one of another form."""
    found = {}
    try:
        for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
            digest, name = line.split(maxsplit=1)
            if len(digest) != 64 or not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise ValueError(line)
            found[name] = digest
    except FileNotFoundError:
        raise StoreError(
            f"{folder} has no {SUMS}: it is of an earlier version, or its run has not ended. Run it again with --resume."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / SUMS} is no list of sha256 digests ({type(error).__name__}).") from error
    return found


def check_sums(folder: Path, threads: int = 1) -> Differences:
    """Compare the files of a folder with its digests; raises `StoreError` as `read_sums` does."""
    known = read_sums(folder)
    here = {path.relative_to(folder).as_posix() for path in _files(folder)}
    found = _digests(folder, sorted(here & known.keys()), threads)
    same = tuple(name for name, digest in found.items() if digest == known[name])
    return Differences(
        same,
        changed=tuple(sorted(found.keys() - set(same))),
        missing=tuple(sorted(known.keys() - here)),
        unlisted=tuple(sorted(here - known.keys())),
    )


def _files(folder: Path) -> Iterator[Path]:
    """All files but hidden ones (locks), those that are made again, and the list itself, sorted."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and parts[0] not in MADE_AGAIN and parts != (SUMS,):
            yield path


def _digests(folder: Path, names: Iterable[str], threads: int = 1) -> dict[str, str]:
    names = list(names)
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(names, pool.map(lambda name: sha256_of(folder / name), names), strict=True))


def _write(folder: Path, digests: dict[str, str]) -> None:
    with atomic(folder / SUMS) as handle:
        handle.write("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode())
