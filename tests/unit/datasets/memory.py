"""How much memory reading takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import scipy.sparse as sp


def peak_of(blocks: Iterable[sp.csr_matrix]) -> tuple[int, int]:
    """Bytes held at most while blocks are read one by one, and bytes of all their values."""
    tracemalloc.start()
    try:
        total = sum(x.data.nbytes + x.indices.nbytes for x in blocks)
        return tracemalloc.get_traced_memory()[1], total
    finally:
        tracemalloc.stop()
