"""Whether a data set's files and its prepared cells are still what they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.download import locate, sha256_of
from benchmarks.data.sources import Source
from benchmarks.data.store.prepared import prepared
from benchmarks.errors import DataError, DownloadError


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    what: str
    ok: bool
    text: str


def verify(source: Source, data_dir: Path | None = None) -> list[Finding]:
    """Hash every file and the prepared cells again; nothing is downloaded or made.

    Parameters
    ----------
    source
        The data set.
    data_dir
        Folder searched for local copies.
    """
    findings = []
    for file in source.card.files:
        try:
            found = locate(file, data_dir)
        except DownloadError as error:
            findings.append(Finding(file.filename, False, str(error)))
            continue
        if not found:
            findings.append(Finding(file.filename, True, "not on this machine"))
            continue
        digest = sha256_of(found.path)
        ok = digest == (file.sha256 or found.sha256)
        known = "as its card says" if file.sha256 else "its card knows none"
        findings.append(Finding(str(found.path), ok, f"sha256 {digest}, {known if ok else 'another than before'}"))
    if all(finding.ok for finding in findings):
        findings.append(_verify_store(source, data_dir))
    return findings


def _verify_store(source: Source, data_dir: Path | None) -> Finding:
    try:
        found = prepared(source, data_dir)
        if not found:
            return Finding("prepared cells", True, "none")
        where, digest = str(found.store.folder), found.store.recompute_digest()
    except DataError as error:
        return Finding("prepared cells", False, str(error))
    if digest != found.store.digest:
        return Finding(
            where, False, f"digest {digest}; expected {found.store.digest}. Delete the folder and prepare it again."
        )
    return Finding(where, True, f"digest {digest}, as when it was made")
