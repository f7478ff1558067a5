"""What readers of upstream files share: text that may be truncated, sparse entries in blocks, gene names, labels."""
