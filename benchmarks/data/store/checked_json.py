"""JSON that holds a digest of itself: damage that leaves it valid JSON is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGEST = "sha256"


def to_bytes(table: Mapping[str, Any]) -> bytes:
    """Write a table that JSON can hold, with its digest."""
    return json.dumps({**table, DIGEST: _digest(table)}, indent=1, sort_keys=True).encode()


def from_bytes(content: bytes) -> dict[str, Any]:
    """Read what `to_bytes` wrote; raises `ValueError` if it is not what was written."""
    try:
        table = json.loads(content)
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error
    if not isinstance(table, dict) or table.pop(DIGEST, "") != _digest(table):
        raise ValueError("JSON is not what was written")
    return table


def _digest(table: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
