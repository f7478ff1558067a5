"""Numbers and programs as short text inside a page; `report.js` takes them out again."""

import base64
import gzip

import numpy as np

KEPT_BITS = 13
"""Bits of a number's mantissa that are kept, for a relative error of 6e-5: pages show at most four digits."""


def pack(values: np.ndarray, *, exact: bool = False) -> dict[str, object]:
    """Pack an array of any shape: float32, bytes of equal weight side by side, gzip, base64; NaN stays NaN.

    Numbers are rounded to `KEPT_BITS`, but not with `exact`: so are whole numbers below 2^24 packed.
    """
    array = np.ascontiguousarray(values, dtype="<f4")
    bits = array.reshape(-1).view("<u4")
    if not exact:
        dropped = 23 - KEPT_BITS
        rounded = (bits + np.uint32(1 << (dropped - 1))) & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
        bits = np.where(np.isfinite(array.reshape(-1)), rounded, bits)
    planes = np.ascontiguousarray(bits, dtype="<u4").view(np.uint8).reshape(-1, 4).T
    return {"shape": list(array.shape), "numbers": as_text(compress(planes.tobytes()))}


def compress(content: bytes) -> bytes:
    """Compress bytes by gzip, to the same bytes each time."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def as_text(content: bytes) -> str:
    """Write bytes as base64."""
    return base64.b64encode(content).decode("ascii")
