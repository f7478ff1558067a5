"""Loops over values and characters, compiled by numba on first use; imported where they are called, because numba loads slowly."""

from __future__ import annotations

import numpy as np
from numba import njit

NEWLINE, RETURN, ZERO = ord("\n"), ord("\r"), ord("0")
LONGEST = 9
"""Digits of a number that is parsed here; more may be too large for 32 bits."""


@njit(nogil=True, cache=True)
def store_rows(values, data, indices):  # type: ignore[no-untyped-def]
    """Write the values that are not 0, and their columns; NaN is a value. There is room for one more value, which is not used.

    Every value is written and the next one takes the place of a 0: without a branch it takes half the time.
    """
    at = 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            data[at], indices[at] = value, column
            at += value != 0


@njit(nogil=True, cache=True)
def parse_entries(text, separator, gene, cell, value):  # type: ignore[no-untyped-def]
    """Parse lines of three whole numbers with one separator between them; returns how many, or −1 where a line is not so.

    `text` (uint8) ends with the end of a line.
    """
    n, at, end = 0, 0, len(text)
    found = np.zeros(3, np.int64)
    while at < end:
        for part in range(3):
            number, first = 0, at
            while at < end and 0 <= text[at] - ZERO <= 9:
                number = 10 * number + (text[at] - ZERO)
                at += 1
            if at == first or at - first > LONGEST:
                return -1
            if part == 2 and at < end and text[at] == RETURN:
                at += 1
            if at == end or text[at] != (NEWLINE if part == 2 else separator):
                return -1
            at += 1
            found[part] = number
        gene[n], cell[n], value[n] = found[0] - 1, found[1] - 1, found[2]
        n += 1
    return n
