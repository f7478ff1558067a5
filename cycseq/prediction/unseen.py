"""Names a model was not trained on: what stands in for their embeddings, or why nothing does.

How alike two genes are by their annotation (GO terms, pathways or network neighbours) is the weighted Jaccard index
Σ w(shared terms) / Σ w(terms of either), w(t) = log(genes / genes with t). The weight is there because most shared terms
of a gene say nothing ("protein binding" is shared by most genes). Against the cosine of IDF vectors, which squares the
weights, one rare shared term does not decide alone; with equal weights it is the index that GEARS builds its graph from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Literal

from pydantic import InstanceOf

from cycseq.config import Count, settings
from cycseq.data.vocabulary import CONTROL, same_parts
from cycseq.errors import ConfigError, UnknownPerturbation

Annotation = Mapping[str, Collection[str]]
"""Gene → its terms: GO ids, pathways, modules, or names of neighbours in a network."""


@settings
class Unseen:
    """How to treat names never trained on. The defaults are the paper's, which covers contexts only."""

    annotation: InstanceOf[Mapping] | None = None
    """Gene → terms. Given, an unseen perturbation takes the similarity-weighted mean of the embeddings of the trained
    single perturbations that are most alike (`nearest`); None refuses it. Not the paper's."""
    neighbours: Count = 5
    """Most trained perturbations that `annotation` draws on."""
    combination: Literal["refuse", "sum", "mean"] = "refuse"
    """An unseen "A+B": "sum" or "mean" of the embeddings of A and B, or "refuse". Not the paper's."""
    batch: Literal["mean", "refuse"] = "mean"
    """An unseen batch takes the mean embedding of its context's batches, a batch of an unseen context that of all
    batches ("mean"); "refuse" raises."""

    def __post_init__(self) -> None:
        for gene, terms in (self.annotation or {}).items():
            if isinstance(terms, str):
                raise ConfigError(f"annotation[{gene!r}] is one text; expected a set or list of terms. Split it.")

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
    """Find the embedding of a perturbation among the trained ones, `known`, in the order of the embedding table.

    The parts of a combination may come in any order. Raises `UnknownPerturbation` if it is not there and `unseen` has no way
    or no annotation to find one; says which.
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
        remedy = 'Train with cells of it, or combine the embeddings of its parts: Unseen(combination="sum").'
        raise UnknownPerturbation(name, known, remedy)
    parts = [mixture(part, known, unseen) for part in name.split("+")]
    factor = 1.0 if unseen.combination == "sum" else 1 / len(parts)
    note = f"combination '{name}' not trained on: {unseen.combination} of its parts' embeddings"
    return Mixture(
        tuple(index for part in parts for index in part.index),
        tuple(factor * weight for part in parts for weight in part.weight),
        "; ".join([note, *(part.note for part in parts if part.note)]),
    )


def term_weights(annotation: Annotation) -> dict[str, float]:
    """Weigh each term by how few genes have it: log(genes / genes with it), 0 for a term all genes have."""
    counts = Counter(term for terms in annotation.values() for term in set(terms))
    return {term: log(len(annotation) / count) for term, count in counts.items()}


def similarity(one: Collection[str], other: Collection[str], weights: Mapping[str, float]) -> float:
    """Weighted Jaccard index of two sets of terms, 0 (nothing shared) to 1; 0 if no term has a weight."""
    shared, either = set(one) & set(other), set(one) | set(other)
    total = sum(weights[term] for term in sorted(either))
    return sum(weights[term] for term in sorted(shared)) / total if total > 0 else 0.0


def nearest(
    gene: str, candidates: Iterable[str], annotation: Annotation, weights: Mapping[str, float], k: int
) -> list[tuple[str, float]]:
    """Find the at most k candidates most alike to a gene, with their similarities; ties are broken by name.

    Those that share no weighted term with it are left out.
    """
    own = annotation.get(gene, ())
    found = [(name, similarity(own, annotation.get(name, ()), weights)) for name in candidates]
    return sorted(((name, value) for name, value in found if value > 0), key=lambda item: (-item[1], item[0]))[:k]
