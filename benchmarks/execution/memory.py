"""How much memory a run may use, and what a training takes that reads all cells."""

from __future__ import annotations

import math
import re

from benchmarks.errors import BenchmarkError
from benchmarks.execution.machine import free_memory

SHARE_OF_FREE = 0.75
"""Share of the memory that is free when a run starts that it may use by default."""
COPIES = 3
"""How often the training cells are in memory in a model that reads them: as they are read, as its package keeps them, and once
more while one is made of the other."""
BYTES_A_VALUE = 8
"""A stored value, float32, and its gene index, int32."""
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def default_memory() -> int:
    """Three quarters of the memory that is free for this process now, bytes."""
    return int(SHARE_OF_FREE * free_memory())


def parse_memory(text: str | None) -> int:
    """Convert a size such as "4G", "4GiB" or "4096M" (all 4 × 2³⁰) or "4GB" (4 × 10⁹) to bytes; None: the default.

    Raises `BenchmarkError`.
    """
    if text is None:
        return default_memory()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if not found or not float(found[1]):
        raise BenchmarkError(f"--memory is '{text}'; expected a size such as 4G, 4096M or 4GiB.")
    power, decimal = found[2].upper(), (found[3] or "").upper() == "B"
    unit = 1000 ** list(UNITS).index(power) if decimal else UNITS[power]
    return int(float(found[1]) * unit)


def bytes_of_cells(n_values: int, n_cells: int) -> int:
    """Bytes that a training takes which reads all cells: those of the cells, `COPIES` times."""
    return COPIES * BYTES_A_VALUE * (n_values + n_cells)


def bytes_of_condition(n_cells: int, n_genes: int) -> int:
    """Bytes that one condition takes: so many dense cells, `COPIES` times."""
    return COPIES * BYTES_A_VALUE * n_cells * n_genes


def in_words(n_bytes: float) -> str:
    """Write a size as `--memory` takes it, such as "4.2G", rounded up to three digits so that it is enough."""
    unit = next((u for u in ("T", "G", "M") if n_bytes >= UNITS[u]), "K")
    number = n_bytes / UNITS[unit]
    digits = 2 - math.floor(math.log10(number)) if number else 0
    return f"{math.ceil(number * 10**digits) / 10**digits:g}{unit}"
