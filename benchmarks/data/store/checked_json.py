"""JSON that holds a digest of itself: damage that leaves it valid JSON is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIGEST = "sha256"


def with_digest(table: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest of a table that JSON can hold."""
    return {**table, DIGEST: _digest(table)}


def read_checked(path: Path) -> dict[str, Any]:
    """Read a table that was written `with_digest`; raises `OSError`, or `ValueError` if it is not what was written."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply") from error
    if not isinstance(table, dict) or table.pop(DIGEST, "") != _digest(table):
        raise ValueError(f"{path} is not what was written")
    return table


def _digest(table: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
