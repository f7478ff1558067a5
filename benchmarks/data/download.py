"""Upstream files: found on this machine by content, or downloaded, resumed and checked by sha256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pooch
import requests
from filelock import FileLock
from pydantic import TypeAdapter
from tqdm import tqdm

from benchmarks.data.cards import SourceFile
from benchmarks.data.store.atomic_files import need_space, write_json
from benchmarks.errors import DownloadError, StoreError

CHUNK = 1 << 20
TIMEOUT_SECONDS = (10, 60)
LARGE = 64 << 20
"""Bytes from which a file's digest is remembered: a large file is hashed once, not in every run."""
DIGESTS = "sha256.json"
AT_ONCE = 4
"""Files downloaded side by side."""
NAMED = 3
"""Missing files that an error describes in full."""
NEEDS_A_PERSON = "it cannot be downloaded without a person"


def cache_dir() -> Path:
    """Folder that downloads go to; `CYCSEQ_CACHE` moves it."""
    return Path(os.environ.get("CYCSEQ_CACHE") or pooch.os_cache("cycseq-bench")).absolute()


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@dataclass(frozen=True)
class Found:
    """A file on this machine and its digest."""

    path: Path
    sha256: str


def known_sha256(path: Path) -> str:
    """Hex digest of a file; a large one's is remembered with its size and time, and computed again when these change."""
    status = path.stat()
    if status.st_size < LARGE:
        return sha256_of(path)
    memory = cache_dir() / DIGESTS
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    digest = _remembered(memory).get(key)
    if digest is None:
        digest = sha256_of(path)
        with suppress(StoreError):  # a cache that cannot be written costs time and nothing else
            write_json(memory, {**_remembered(memory), key: digest})
    return digest


def _remembered(memory: Path) -> dict[str, str]:
    try:
        return TypeAdapter(dict[str, str]).validate_json(memory.read_bytes())
    except (OSError, ValueError):
        return {}


def locate(file: SourceFile, data_dir: Path | None) -> Found | None:
    """Look for a file in `--data-dir`, in `CYCSEQ_DATA` and in the cache: by name first, then by size and content.

    Raises `DownloadError` for a folder that does not exist, and a file of the right name that has another content.
    """
    for folder in (*data_folders(data_dir), *_cache()):
        wrong = None
        for path in _candidates(folder, file):
            digest = known_sha256(path)
            same_size = not file.size or path.stat().st_size == file.size
            if digest == file.sha256 or (not file.sha256 and same_size):
                return Found(path, digest)
            if path.name == file.filename:
                wrong = f"{path} has sha256 {digest} and {path.stat().st_size:,} bytes"
        if wrong:
            raise DownloadError(
                f"{wrong}; its card says {file.sha256 or 'no sha256'} and {file.size or 'unknown'} bytes. It is "
                f"corrupt, half-downloaded or another version: delete it and run again, or get it from {_origin(file)}."
            )
    return None


def fetch(file: SourceFile, data_dir: Path | None, stop: Event | None = None) -> Found:
    """Find a file on this machine, else download it to the cache; another process that does so is waited for.

    Once `stop` is set, the download ends; what has come is kept and gone on with the next time.

    Raises
    ------
    DownloadError, StoreError
        It is not here and cannot be downloaded, or what came is not what the card describes; the disk has no room.
    """
    found = locate(file, data_dir)
    if found:
        return found
    if not file.url:
        raise DownloadError(_missing(file, NEEDS_A_PERSON))
    target = cache_dir() / file.filename
    try:
        locks = target.parent / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{target.name}.lock"):
            return locate(file, None) or _download(file, target, stop or Event())
    except requests.RequestException as error:
        raise DownloadError(_missing(file, f"the download failed ({type(error).__name__})")) from error
    except OSError as error:
        raise DownloadError(_missing(file, f"{target.parent} cannot be written ({error.strerror})")) from error


def fetch_all(files: Sequence[SourceFile], data_dir: Path | None) -> dict[str, Found]:
    """Find or download all files of a data set, some side by side: key of the file → where it is.

    Raises
    ------
    DownloadError, StoreError
        Some cannot be had: at once where one needs a person or the disk has no room, else after the others have come.
    """
    here = {file.key: locate(file, data_dir) for file in files}
    away = [file for file in files if not here[file.key]]
    _refuse([_missing(file, NEEDS_A_PERSON) for file in away if not file.url])
    if away:
        need_space(cache_dir(), sum(file.size for file in away), f"Downloading {len(away)} files")
    stop = Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {file.key: pool.submit(fetch, file, data_dir, stop) for file in away}
        try:
            wait(running.values())
        finally:
            stop.set()  # after Ctrl-C the pool waits for its threads
            pool.shutdown(cancel_futures=True)
    _refuse([str(future.exception()) for future in running.values() if isinstance(future.exception(), DownloadError)])
    return {key: found for key, found in here.items() if found} | {
        key: future.result() for key, future in running.items()
    }


def _refuse(problems: Sequence[str]) -> None:
    """Raise what is wrong with some files, the first ones in full."""
    if problems:
        more = f"\nThe same holds for {len(problems) - NAMED} more files." if len(problems) > NAMED else ""
        raise DownloadError("\n".join(problems[:NAMED]) + more)


def _download(file: SourceFile, target: Path, stop: Event) -> Found:
    """Download to `<name>.part`, going on behind what is there; the file gets its name once its digest is right."""
    part = target.with_name(f"{target.name}.part")
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(file.url, stream=True, headers=headers, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code != requests.codes.requested_range_not_satisfiable:
            response.raise_for_status()
            _receive(response, part, have if response.status_code == requests.codes.partial_content else 0, stop)
        # else the part is as long as the file or longer: the digest will show it
    digest = sha256_of(part)
    if file.sha256 and digest != file.sha256:
        part.unlink()
        raise DownloadError(_missing(file, f"what {file.url} gave has another sha256, {digest}"))
    os.replace(part, target)
    return Found(target, digest)


def _receive(response: requests.Response, part: Path, have: int, stop: Event) -> None:
    """Write what comes behind what is there; raises `DownloadError` if it does not all come."""
    coming = int(response.headers.get("content-length", 0))
    need_space(part.parent, coming, f"The rest of {part.stem}")
    with (
        part.open("ab" if have else "wb") as handle,
        tqdm(total=have + coming or None, initial=have, unit="B", unit_scale=True, desc=part.stem) as bar,
    ):
        for chunk in response.iter_content(CHUNK):
            handle.write(chunk)
            bar.update(len(chunk))
            if stop.is_set():
                raise DownloadError(f"{part.stem} was stopped after {handle.tell():,} bytes; run again to go on.")


def data_folders(data_dir: Path | None) -> Iterator[Path]:
    """List the user's folders of data files: `--data-dir`, then `CYCSEQ_DATA`; raises `DownloadError` for one that does not exist."""
    for folder in (data_dir, os.environ.get("CYCSEQ_DATA")):
        if folder and not Path(folder).is_dir():
            raise DownloadError(
                f"Data folder {folder} does not exist; give an existing one with --data-dir or CYCSEQ_DATA, or neither."
            )
        if folder:
            yield Path(folder)


def _cache() -> Iterator[Path]:
    if cache_dir().is_dir():
        yield cache_dir()


def _candidates(folder: Path, file: SourceFile) -> Iterator[Path]:
    """Files that may be the one: those of its name, then (where its digest is known) those of its size."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".part")]
    yield from (p for p in files if p.name == file.filename)
    if file.sha256 and file.size:
        yield from (p for p in files if p.name != file.filename and p.stat().st_size == file.size)


def _origin(file: SourceFile) -> str:
    return file.url or file.where or "its source (see the card)"


def _missing(file: SourceFile, why: str) -> str:
    digest = f" (sha256 {file.sha256})" if file.sha256 else ""
    return (
        f"'{file.filename}'{digest} is not on this machine and {why}. Get it from {_origin(file)}"
        f"{'; ' + file.where if file.url and file.where else ''}, put it under any folder and name that folder with "
        f"--data-dir or CYCSEQ_DATA, or put it into {cache_dir()}."
    )
