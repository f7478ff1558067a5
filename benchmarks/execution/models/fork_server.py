"""What the fork server imports before it forks: the light modules of a child, and how a child ends whose run was killed."""

from __future__ import annotations

import sys
from types import TracebackType

from benchmarks.execution.models import session as session


def _end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print nothing where the run was killed before it had told the child what to do."""
    if not issubclass(kind, EOFError):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _end_quietly
