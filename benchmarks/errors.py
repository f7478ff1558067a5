"""Every error the harness raises on purpose; each message says what was given, what was expected and what to do."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

MOST_NAMES = 40
"""Names that one message lists."""
T = TypeVar("T", bound=str)


class BenchmarkError(Exception):
    """Base of all errors a user can mend; the command line prints them without a traceback."""


class UnknownName(BenchmarkError):
    """A suite, model, protocol, data set or metric that does not exist."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        plain = {plain_name(name): name for name in reversed(names)}
        close = get_close_matches(plain_name(given), plain, n=1)
        hint = f" Did you mean '{plain[close[0]]}'?" if close else ""
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        super().__init__(f"Unknown {kind} '{given}'.{hint} Known: {', '.join(names[:MOST_NAMES]) or 'none'}{more}.")


def plain_name(name: str) -> str:
    """Write a name as people type it: without case, and without the "SIM_" of simulated ones."""
    return name.casefold().replace("sim_", "")


def choice(option: str, given: str, known: tuple[T, ...]) -> T:
    """Return the known value that was given; raises `BenchmarkError`, which names them all."""
    for value in known:
        if value == given:
            return value
    raise BenchmarkError(f"{option} is '{given}'; expected one of {', '.join(k for k in known if k)}.")


class PluginError(BenchmarkError):
    """A plugin file that does not hold a usable `BASELINE` record, or a name taken twice."""


class DataError(BenchmarkError):
    """Data that are not in the canonical form, or hold values no score can be computed from."""


class DownloadError(BenchmarkError):
    """A file that is missing, incomplete or not the one its card describes."""


class LeakageError(BenchmarkError):
    """A test cell, a held-out condition or a statistic of them is in what `fit` would receive."""


class ContractError(BenchmarkError):
    """A predictor broke the contract: wrong shape, other genes, values that are not finite, or changed input."""


class StoreError(BenchmarkError):
    """Results or prepared data that cannot be written or read back."""


class ScoringError(Exception):
    """A fault of this program while predictions are scored; it ends the run."""


class IsolationError(BenchmarkError):
    """An isolated model's environment that cannot be made or used, or an error inside it."""


class ModelFailed(BenchmarkError):
    """A predictor raised an exception, or its process died; the text is the reason of its rows."""


class ModelTimeout(ModelFailed):
    """A predictor did not return in time, and its process was ended."""


class Unsupported(BenchmarkError):
    """Raised by a predictor that does not take a task; becomes a row with this reason, not a failure."""


def explain(error: BaseException) -> str:
    """Put an error on one line: type and message, and for errors of a plugin file and line of its own code at the end."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, ModelFailed):
        return text
    if isinstance(error, BenchmarkError):
        return f"{type(error).__name__}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or list(frames)
    place = f" (at {Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {text}"[:500] + place
