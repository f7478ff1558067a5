"""Give memory back to the system that numerical work has freed.

glibc keeps freed blocks of up to 32 MB for later ones, and scoring leaves many.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def _libc() -> Any:
    """Return the C library of this process; None where it is not glibc."""
    try:
        found = ctypes.CDLL(None)
        return found if hasattr(found, "malloc_trim") else None
    except (OSError, TypeError):  # a system without it
        return None


def return_freed() -> None:
    """Return freed memory to the system, where the C library can."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
