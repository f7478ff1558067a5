"""Errors of the method: each says what was given, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CycSeqError(Exception):
    """Base of all errors this package raises on purpose."""


class ConfigError(CycSeqError, ValueError):
    """A setting or an argument outside its range."""


class DataError(CycSeqError, ValueError):
    """Cells the method cannot read: missing columns, other genes, no controls, values it is not made for."""


class NotTrained(CycSeqError, RuntimeError):
    """A step needs a pre-trained model, and this one is untrained."""


class TrainingError(CycSeqError, ArithmeticError):
    """A loss became NaN or infinite."""


class CheckpointError(CycSeqError, ValueError):
    """A file that is not a checkpoint of this package, or is damaged."""


class UnknownName(CycSeqError, KeyError):
    """A name, `given`, that is not among the `known`; `remedy` says what to do, None takes the class's own."""

    kind = "name"
    remedy = ""

    def __init__(self, given: str, known: Iterable[str], remedy: str | None = None) -> None:
        names = sorted(known)
        close = get_close_matches(given, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
        advice = self.remedy if remedy is None else remedy
        super().__init__(f"Unknown {self.kind} '{given}'.{hint} Known: {shown or 'none'}. {advice}".rstrip())

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownPerturbation(UnknownName):
    """A perturbation the model was not trained on has no embedding."""

    kind = "perturbation"
    remedy = (
        "The model has no embedding of it: train with cells of it, or let predict take one from gene annotation, "
        "unseen=Unseen(annotation=…), which is not the paper's."
    )


class UnknownContext(UnknownName):
    """A context the model was not pre-trained on cannot be fine-tuned."""

    kind = "context"
    remedy = (
        "Pre-train with cells of it; predict takes a new context without training, through the pre-trained weights."
    )


class UnknownBatch(UnknownName):
    """A batch of a known context that was not in the pre-training cells cannot be fine-tuned on."""

    kind = "batch"
    remedy = "Pre-train with cells of it, or leave them out."


class UnknownPreset(UnknownName):
    """A preset that does not exist."""

    kind = "preset"
