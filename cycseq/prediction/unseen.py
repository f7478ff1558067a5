"""Names a model was not trained on: what stands in for their embeddings, or why nothing does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from cycseq.arguments import check_choice, check_whole
from cycseq.data.gene_similarity import Annotation, nearest, term_weights
from cycseq.data.vocabulary import CONTROL, same_parts
from cycseq.errors import ConfigError, UnknownPerturbation

Combination = Literal["refuse", "sum", "mean"]
UnknownBatchPolicy = Literal["mean", "refuse"]


@dataclass(frozen=True)
class Unseen:
    """How to treat names never trained on. The defaults are the paper's, which covers contexts only."""

    annotation: Annotation | None = None
    """Gene → terms. Given, an unseen perturbation takes the similarity-weighted mean of the embeddings of the trained
    single perturbations that are most alike (`cycseq.data.gene_similarity`); None refuses it. Not the paper's."""
    neighbours: int = 5
    """Most trained perturbations that `annotation` draws on."""
    combination: Combination = "refuse"
    """An unseen "A+B": "sum" or "mean" of the embeddings of A and B, or "refuse". Not the paper's."""
    batch: UnknownBatchPolicy = "mean"
    """An unseen batch takes the mean embedding of its context's batches, a batch of an unseen context that of all
    batches ("mean"); "refuse" raises."""

    def __post_init__(self) -> None:
        check_whole("Unseen.neighbours", self.neighbours, 1)
        check_choice("Unseen.combination", self.combination, Combination)
        check_choice("Unseen.batch", self.batch, UnknownBatchPolicy)
        if not (self.annotation is None or isinstance(self.annotation, Mapping)):
            raise ConfigError(
                f"Unseen.annotation is a {type(self.annotation).__name__}; expected a dict: gene → its terms."
            )
        text = [gene for gene, terms in (self.annotation or {}).items() if isinstance(terms, str)]
        if text:
            raise ConfigError(f"Unseen.annotation[{text[0]!r}] is one text; expected a set or list of terms. Split it.")

    @cached_property
    def weights(self) -> dict[str, float]:
        """Weights of the annotation's terms."""
        return term_weights(self.annotation or {})


PAPER = Unseen()
"""Refuse unseen perturbations, take unseen contexts and batches through mean embeddings."""


@dataclass(frozen=True)
class Mixture:
    """The embedding of a perturbation as a weighted sum of trained ones; its own with weight 1 if it has one."""

    index: tuple[int, ...]
    """Positions in the vocabulary."""
    weight: tuple[float, ...]
    """One weight a position."""
    note: str = ""
    """What stands in for what; empty for a trained perturbation."""


def mixture(name: str, known: Sequence[str], unseen: Unseen) -> Mixture:
    """Find the embedding of a perturbation.

    Parameters
    ----------
    name
        The perturbation; the parts of a combination may come in any order.
    known
        Trained perturbations, in the order of the embedding table.
    unseen
        What to do if it is not among them.

    Raises
    ------
    UnknownPerturbation
        It is not, and `unseen` has no way or no annotation to find one; says which.
    """
    for index, trained in enumerate(known):
        if same_parts(name, trained):
            return Mixture((index,), (1.0,))
    if name == CONTROL:
        raise UnknownPerturbation(name, known, "Controls have none; name the perturbation to read the cells under.")
    if "+" in name:
        return _combined(name, known, unseen)
    if unseen.annotation is None:
        raise UnknownPerturbation(name, known)
    if not unseen.annotation.get(name):
        raise UnknownPerturbation(name, known, "The annotation has no terms for it.")
    singles = [candidate for candidate in known if "+" not in candidate]
    found = nearest(name, singles, unseen.annotation, unseen.weights, unseen.neighbours)
    if not found:
        raise UnknownPerturbation(name, known, "No trained perturbation shares an informative annotation term with it.")
    total = sum(value for _, value in found)
    alike = ", ".join(f"{gene} {value / total:.2f}" for gene, value in found)
    return Mixture(
        tuple(known.index(gene) for gene, _ in found),
        tuple(value / total for _, value in found),
        f"perturbation '{name}' not trained on: embedding from annotation ({alike})",
    )


def _combined(name: str, known: Sequence[str], unseen: Unseen) -> Mixture:
    if unseen.combination == "refuse":
        remedy = (
            'Train with cells of this combination, or combine the embeddings of its parts: Unseen(combination="sum").'
        )
        raise UnknownPerturbation(name, known, remedy)
    parts = [mixture(part, known, unseen) for part in name.split("+")]
    factor = 1.0 if unseen.combination == "sum" else 1 / len(parts)
    note = f"combination '{name}' not trained on: {unseen.combination} of its parts' embeddings"
    return Mixture(
        tuple(index for part in parts for index in part.index),
        tuple(factor * weight for part in parts for weight in part.weight),
        "; ".join([note, *(part.note for part in parts if part.note)]),
    )
