"""Scoring: predictions against the truth, as tidy rows. Needs no training, reads one condition at a time.

`scored_fold_of` lays out what all predictions of a fold and direction share, `target_of` summarises the true cells,
`output_of` a model's predictions, and `evaluate` computes every metric of `benchmarks.scoring.metrics` from the three.
"""
