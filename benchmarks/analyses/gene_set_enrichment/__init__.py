"""Gene-set enrichment of predicted and of true changes: `python -m benchmarks.enrichment RUN --gene-sets FILE`."""
