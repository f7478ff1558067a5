"""Upstream files: found on this machine by content, or downloaded, resumed and checked by sha256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from benchmarks.card import SourceFile
from benchmarks.errors import DownloadError

CHUNK = 1 << 20
TIMEOUT_SECONDS = (10, 60)


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
            digest = sha256_of(path)
            if not file.sha256 or digest == file.sha256:
                return Found(path, digest)
            if path.name == file.filename:
                wrong = (path, digest)
        if wrong:
            path, digest = wrong
            raise DownloadError(
                f"{path} is not the file its card describes: sha256 {digest} ({path.stat().st_size:,} bytes), expected "
                f"{file.sha256}{f' ({file.size:,} bytes)' if file.size else ''}. It is corrupt, half-downloaded or "
                f"another version: delete it and run again, or get it from {_origin(file)}."
            )
    return None


def fetch(file: SourceFile, data_dir: Path | None) -> Found:
    """Find a file on this machine, else download it to the cache.

    Raises
    ------
    DownloadError
        It is not here and cannot be downloaded, or what came is not what the card describes.
    """
    found = locate(file, data_dir)
    if found:
        return found
    if not file.url:
        raise DownloadError(_missing(file, "it cannot be downloaded without a person"))
    target = cache_dir() / file.filename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(
            file.url,
            known_hash=f"sha256:{file.sha256}" if file.sha256 else None,
            fname=target.name,
            path=target.parent,
            downloader=_resuming(target),
        )
    except requests.RequestException as error:
        raise DownloadError(_missing(file, f"the download failed ({type(error).__name__})")) from error
    except ValueError as error:
        target.with_name(target.name + ".part").unlink(missing_ok=True)
        raise DownloadError(_missing(file, f"what {file.url} gave has another sha256 than the card")) from error
    except OSError as error:
        raise DownloadError(_missing(file, f"{target.parent} cannot be written ({error.strerror})")) from error
    return Found(target, sha256_of(target))


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


def _resuming(target: Path) -> Callable[[str, str, object], None]:
    """Make a pooch downloader that keeps what has come in `<name>.part` and goes on from there."""
    part = target.with_name(target.name + ".part")

    def download(url: str, output_file: str, pooch_instance: object) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, stream=True, headers=headers, timeout=TIMEOUT_SECONDS) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                have = 0  # the part is as long as the file or longer: the digest will tell
            else:
                response.raise_for_status()
                have = have if response.status_code == requests.codes.partial_content else 0
                total = have + int(response.headers.get("content-length", 0))
                with (
                    part.open("ab" if have else "wb") as handle,
                    tqdm(total=total or None, initial=have, unit="B", unit_scale=True, desc=target.name) as bar,
                ):
                    for chunk in response.iter_content(CHUNK):
                        handle.write(chunk)
                        bar.update(len(chunk))
        os.replace(part, output_file)

    return download
