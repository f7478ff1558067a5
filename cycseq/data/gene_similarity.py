"""How alike two genes are by their annotation: GO terms, pathways or network neighbours.

Similarity is the weighted Jaccard index Σ w(shared terms) / Σ w(terms of either), w(t) = log(genes / genes with t). The
weight is there because most shared terms of a gene say nothing ("protein binding" is shared by most genes). Against
the cosine of IDF vectors, which squares the weights, one rare shared term does not decide alone; with equal weights it is
the Jaccard index that GEARS builds its graph from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from math import log

Annotation = Mapping[str, Collection[str]]
"""Gene → its terms: GO ids, pathways, modules, or names of neighbours in a network."""


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
    """Find the k candidates most alike to a gene, with their similarities.

    Those that share no weighted term with it are left out, so there may be fewer than k, or none. Ties are broken by
    name.
    """
    own = annotation.get(gene, ())
    found = [(name, similarity(own, annotation.get(name, ()), weights)) for name in candidates]
    return sorted(((name, value) for name, value in found if value > 0), key=lambda item: (-item[1], item[0]))[:k]
