"""Folders that are used again only where this user made them: what a plugin saved may be a pickle, and loading one runs code.

A seal is a file with the digest of every other file of the folder, and a keyed hash (HMAC-SHA256) of these. The key lies in the
user's own cache and no other user can read it, so a folder that comes from another place, or in which anything has changed,
has no valid seal.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.data.download import cache_dir, sha256_of
from benchmarks.data.store.atomic_files import atomic, write_json
from benchmarks.errors import StoreError

SEAL = "seal.json"
KEY_BYTES = 32


def seal(folder: Path, **content: Any) -> None:
    """Seal a folder as it is, with some content; without a place for the key it stays unsealed, and is not used again."""
    key = _key(make=True)
    if key:
        sealed = {"files": _digests(folder), "content": content}
        write_json(folder / SEAL, sealed | {"hmac": _sign(key, sealed)})


def read_seal(folder: Path, text: bytes | None = None) -> dict[str, Any] | None:
    """Return the content of a folder's seal; None without a seal of this user, or if any file is not as it was sealed.

    `text` is what its seal was when it was made, where that is known; default: what the file says.
    """
    key = _key()
    try:
        found = json.loads((folder / SEAL).read_bytes() if text is None else text)
        sealed = {"files": found["files"], "content": dict(found["content"])}
        valid = bool(key) and hmac.compare_digest(str(found["hmac"]), _sign(key, sealed))
        return sealed["content"] if valid and found["files"] == _digests(folder) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _digests(folder: Path) -> dict[str, str]:
    """Path in the folder → sha256, of every file but the seal."""
    files = (path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def _sign(key: bytes, sealed: dict[str, Any]) -> str:
    return hmac.new(key, json.dumps(sealed, sort_keys=True).encode(), "sha256").hexdigest()


def _key(make: bool = False) -> bytes:
    """Read the user's key, or make it where there is none; empty where that is not possible."""
    path = cache_dir() / f"seal-{os.getuid()}.key"
    if not make or _read_key(path):
        return _read_key(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not _read_key(path):  # no other process was first
                with atomic(path) as handle:
                    os.fchmod(handle.fileno(), 0o600)
                    handle.write(secrets.token_bytes(KEY_BYTES))
    except (OSError, StoreError):
        return b""
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    """Read a key that belongs to this user and no other user can read; empty where there is none."""
    try:
        status, key = path.stat(), path.read_bytes()
    except OSError:
        return b""
    own = status.st_uid == os.getuid() and not status.st_mode & 0o077 and len(key) == KEY_BYTES
    return key if own else b""
