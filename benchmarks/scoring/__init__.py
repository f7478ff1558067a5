"""Scoring: predictions compared with the truth, as tidy rows. Trains nothing, and works on some conditions at a time.

`scored_fold_of` describes what all predictions of a fold and direction share, `summarise_truth` summarises the true cells of
some conditions, `summarise_predictions` predictions of them, and `evaluate` computes every metric of
`benchmarks.scoring.metrics`. `scored_set` does this block by block and puts the blocks together.
"""
