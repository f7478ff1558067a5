"""Gene-set enrichment of predicted and of true changes: `python -m benchmarks.enrichment RUN --gene-sets FILE`."""

from benchmarks.enrichment.agreement import agree
from benchmarks.enrichment.analysis import Wish, analyse, strongest, write
from benchmarks.enrichment.prerank import Enriched, enrich
from benchmarks.enrichment.sets import annotation_sets, read_gene_sets, usable_sets

__all__ = [
    "Enriched",
    "Wish",
    "agree",
    "analyse",
    "annotation_sets",
    "enrich",
    "read_gene_sets",
    "strongest",
    "usable_sets",
    "write",
]
