"""How the prediction of a condition ended: the status and the reason of its rows."""

from __future__ import annotations

from dataclasses import dataclass

FAILURES = {"failed", "timeout"}
"""Statuses that are failures; `--resume` tries them again."""
NOT_RUN = "not_run"
"""Status of what has been asked and has not run yet."""


@dataclass(frozen=True)
class Ending:
    """Status of one condition, with the reason where it has no prediction."""

    context: str
    perturbation: str
    status: str
    reason: str = ""
    dose: float | None = None
    """nM; None where there is none."""
