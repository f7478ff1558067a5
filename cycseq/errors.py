"""Errors of the method: each says what was given, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CycSeqError(Exception):
    """Base of all errors this package raises on purpose."""


class ConfigError(CycSeqError, ValueError):
    """A setting outside its range."""


class DataError(CycSeqError, ValueError):
    """Cells the method cannot read: missing columns, other genes, no controls, values that are not finite."""


class NotTrained(CycSeqError, RuntimeError):
    """A step that needs a pre-trained model was asked of an untrained one."""


class TrainingError(CycSeqError, ArithmeticError):
    """A loss became NaN or infinite."""


class CheckpointError(CycSeqError, ValueError):
    """A file that is not a checkpoint of this package, or is damaged."""


class UnknownName(CycSeqError, KeyError):
    """A name that is not in the vocabulary of the trained model."""

    kind = "name"

    def __init__(self, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(given, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
        super().__init__(f"Unknown {self.kind} '{given}'.{hint} Known: {shown or 'none'}.")

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownPerturbation(UnknownName):
    """A perturbation the model was not trained on has no embedding; train with cells of it."""

    kind = "perturbation"


class UnknownContext(UnknownName):
    """A context the model was not pre-trained on cannot be fine-tuned."""

    kind = "context"


class UnknownBatch(UnknownName):
    """A batch of a known context that was not in the pre-training cells cannot be fine-tuned on."""

    kind = "batch"


class UnknownPreset(UnknownName):
    """A preset that does not exist."""

    kind = "preset"
