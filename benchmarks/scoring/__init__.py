"""Scoring: predictions compared with the truth, as tidy rows. Trains nothing, and reads one condition at a time.

`scored_fold_of` computes what all predictions of a fold and direction share, `summarise_truth` summarises the true cells,
`summarise_predictions` a model's predictions, and `evaluate` computes every metric of `benchmarks.scoring.metrics`.
"""
