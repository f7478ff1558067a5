"""Seeds derived per task, so that adding one model never moves another's randomness."""

from __future__ import annotations

import hashlib


def derive(base: int, *words: object) -> int:
    """Derive a 32-bit seed from a base seed and the words that name a task."""
    text = "\x1f".join(map(str, (base, *words)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
