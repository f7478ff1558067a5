"""Arguments of functions, in place of options of the command line: how they are given, and how messages name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.errors import BenchmarkError

_FLAGS = "keep-predictions|measured-only|prove|resume"
_VALUES = "all|auto|dask|inline|n2p|p2n|paper|prediction|process|quick|real|shared|simulated|slurm|truth"
_OPTION = re.compile(
    rf"--(?:(?P<off>no-(?P<turned>[a-z]+))|(?P<flag>{_FLAGS})\b|(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)(?:[ ](?P<value>{_VALUES})\b)?)"
)
_OTHER_NAMES = {"h5ad": "suite", "set": "settings", "plugin": "plugins", "out": "folder"}
"""Options whose parameter has another name."""


def several(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Take one text, or several, or none ("" or None)."""
    return ((given,) if given else ()) if isinstance(given, str) else tuple(given or ())


def in_python(text: str) -> str:
    """Write the options in a text as parameters.

    Examples
    --------
    >>> in_python("Use --genes shared, name it with --perturbation-key, or leave --resume out.")
    'Use genes="shared", name it with `perturbation_key`, or leave resume=True out.'
    """
    return _OPTION.sub(_parameter, text)


def _parameter(found: re.Match[str]) -> str:
    if found["off"]:
        return f"{found['turned']}=False"
    if found["flag"]:
        return f"{found['flag'].replace('-', '_')}=True"
    name = _OTHER_NAMES.get(found["name"], found["name"].replace("-", "_"))
    return f'{name}="{found["value"]}"' if found["value"] else f"`{name}`"


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Let errors that a user can mend name parameters, not options."""
    try:
        yield
    except BenchmarkError as error:
        error.args = tuple(in_python(part) if isinstance(part, str) else part for part in error.args)
        raise
