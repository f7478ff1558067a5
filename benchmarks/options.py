"""Values of command-line options that are checked alike wherever they occur."""

from __future__ import annotations

from typing import TypeVar

from benchmarks.errors import BenchmarkError

T = TypeVar("T", bound=str)


def choice(option: str, given: str, known: tuple[T, ...]) -> T:
    """Return the known value that was given; raises `BenchmarkError`, which names them all."""
    for value in known:
        if value == given:
            return value
    raise BenchmarkError(f"{option} is '{given}'; expected one of {', '.join(k for k in known if k)}.")
