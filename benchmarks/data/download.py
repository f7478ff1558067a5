"""Upstream files: found on this machine by content, or downloaded, resumed and checked by sha256."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

from benchmarks.data.cards import SourceFile
from benchmarks.errors import DownloadError

CHUNK = 1 << 20
TIMEOUT_SECONDS = (10, 60)
MARGIN = 64 << 20
"""Bytes of a disk that are never filled."""
LARGE = 64 << 20
"""Bytes from which a file's digest is remembered: a large file is hashed once, not in every run."""
DIGESTS = "sha256.json"
AT_ONCE = 4
"""Files downloaded side by side."""
NAMED = 3
"""Missing files that an error describes in full."""


def cache_dir() -> Path:
    """Folder that downloads go to; `CYCSEQ_CACHE` moves it."""
    return Path(os.environ.get("CYCSEQ_CACHE") or pooch.os_cache("cycseq-bench"))


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
    found = _remembered(memory)
    if key not in found:
        digest = sha256_of(path)
        found = {**_remembered(memory), key: digest}
        partial = memory.with_name(f"{DIGESTS}.{os.getpid()}.part")
        try:
            memory.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(found, indent=1), encoding="utf-8")
            os.replace(partial, memory)
        except OSError:
            return digest  # a cache that cannot be written costs time and nothing else
    return found[key]


def _remembered(memory: Path) -> dict[str, str]:
    try:
        table = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def locate(file: SourceFile, data_dir: Path | None) -> Found | None:
    """Look for a file in `--data-dir`, in `CYCSEQ_DATA` and in the cache: by name first, then by size and content.

    Raises
    ------
    DownloadError
        A folder that does not exist was named, or a file of the right name has another content.
    """
    for folder in _folders(data_dir):
        wrong = None
        for path in _candidates(folder, file):
            digest = known_sha256(path)
            same_size = not file.size or path.stat().st_size == file.size
            if digest == file.sha256 or (not file.sha256 and same_size):
                return Found(path, digest)
            if path.name == file.filename:
                wrong = (path, digest)
        if wrong:
            path, digest = wrong
            raise DownloadError(
                f"{path} is not the file its card describes: sha256 {digest} ({path.stat().st_size:,} bytes), expected "
                f"{file.sha256 or 'one not known'}{f' ({file.size:,} bytes)' if file.size else ''}. It is corrupt, half-downloaded or "
                f"another version: delete it and run again, or get it from {_origin(file)}."
            )
    return None


def fetch(file: SourceFile, data_dir: Path | None, stop: Event | None = None) -> Found:
    """Find a file on this machine, else download it to the cache; another process that does so is waited for.

    Parameters
    ----------
    file
        What is wanted.
    data_dir
        Folder searched for a local copy.
    stop
        Once set, the download ends; what has come is kept and gone on with the next time.

    Raises
    ------
    DownloadError
        It is not here and cannot be downloaded, what came is not what the card describes, or the disk has no room.
    """
    found = locate(file, data_dir)
    if found:
        return found
    if not file.url:
        raise DownloadError(_missing(file, "it cannot be downloaded without a person"))
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
    """Find or download all files of a data set, some side by side.

    Returns
    -------
    dict
        Key of the file → where it is.

    Raises
    ------
    DownloadError
        Some cannot be had: at once where one needs a person or the disk has no room, else after the others have come.
    """
    here = {file.key: locate(file, data_dir) for file in files}
    away = [file for file in files if not here[file.key]]
    _refuse([_missing(file, "it cannot be downloaded without a person") for file in away if not file.url])
    _check_space(cache_dir(), sum(file.size for file in away), f"{len(away)} files")
    stop, problems = Event(), list[str]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {file.key: pool.submit(fetch, file, data_dir, stop) for file in away}
        try:
            for key, future in running.items():
                try:
                    here[key] = future.result()
                except DownloadError as error:
                    problems.append(str(error))
        finally:
            stop.set()  # after Ctrl-C the pool waits for its threads
            pool.shutdown(cancel_futures=True)
    _refuse(problems)
    return {key: found for key, found in here.items() if found}


def _refuse(problems: Sequence[str]) -> None:
    """Raise what is wrong with some files, the first ones in full."""
    if problems:
        more = f"\nThe same holds for {len(problems) - NAMED} more files." if len(problems) > NAMED else ""
        raise DownloadError("\n".join(problems[:NAMED]) + more)


def _download(file: SourceFile, target: Path, stop: Event) -> Found:
    try:
        pooch.retrieve(
            file.url,
            known_hash=f"sha256:{file.sha256}" if file.sha256 else None,
            fname=target.name,
            path=target.parent,
            downloader=_resuming(target, stop),
        )
    except requests.RequestException:
        raise
    except ValueError as error:
        target.with_name(target.name + ".part").unlink(missing_ok=True)
        raise DownloadError(_missing(file, f"what {file.url} gave has another sha256 than the card")) from error
    return Found(target, known_sha256(target))


def _check_space(folder: Path, needed: int, what: str) -> None:
    """Raise `DownloadError` if the disk has no room for what is to be fetched."""
    if not needed:
        return
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed + MARGIN > free:
        raise DownloadError(
            f"{what} need {needed / 1e9:.2f} GB in {cache_dir()}; that disk has {free / 1e9:.2f} GB free. Free some space, "
            "or move the cache with CYCSEQ_CACHE."
        )


def _folders(data_dir: Path | None) -> Iterator[Path]:
    named = [data_dir] if data_dir else []
    if os.environ.get("CYCSEQ_DATA"):
        named.append(Path(os.environ["CYCSEQ_DATA"]))
    for folder in named:
        if not folder.is_dir():
            raise DownloadError(
                f"Data folder {folder} does not exist; give an existing folder with --data-dir or "
                "CYCSEQ_DATA, or neither."
            )
        yield folder
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


def _resuming(target: Path, stop: Event) -> Callable[[str, str, object], None]:
    """Make a pooch downloader that keeps what has come in `<name>.part` and goes on from there."""
    part = target.with_name(target.name + ".part")

    def download(url: str, output_file: str, pooch_instance: object) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, stream=True, headers=headers, timeout=TIMEOUT_SECONDS) as response:
            if response.status_code != requests.codes.requested_range_not_satisfiable:
                response.raise_for_status()
                have = have if response.status_code == requests.codes.partial_content else 0
                _receive(response, part, have, stop)
            # else the part is as long as the file or longer: the digest will show it
        os.replace(part, output_file)

    return download


def _receive(response: requests.Response, part: Path, have: int, stop: Event) -> None:
    """Write what comes behind what is there; raises `DownloadError` if it does not all come."""
    coming = int(response.headers.get("content-length", 0))
    _check_space(part.parent, coming, f"The rest of {part.stem}")
    with (
        part.open("ab" if have else "wb") as handle,
        tqdm(total=have + coming or None, initial=have, unit="B", unit_scale=True, desc=part.stem) as bar,
    ):
        for chunk in response.iter_content(CHUNK):
            handle.write(chunk)
            bar.update(len(chunk))
            if stop.is_set():
                raise DownloadError(f"{part.stem} was stopped after {handle.tell():,} bytes; run again to go on.")
