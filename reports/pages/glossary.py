"""The words of the page that a reader may not know."""

from __future__ import annotations

READING = """\
A score is computed per condition (context × perturbation × dose), averaged over the conditions of a context, then over
contexts; brackets hold the 95 % interval of a hierarchical bootstrap (contexts, then conditions). `scaled` is 0 at the
baseline and 1 at the ceiling, not clipped. Models are ranked within one task, never across. A condition on which a model
failed, or which it declined while it took others, counts with the score of `no_change` there. Lines marked *bracket* are
ranked models that learn nothing about a perturbation's own effect; lines in italics are references, which have seen the
truth or are no prediction at all, and are never ranked."""

GLOSSARY = {
    "ceiling": "Reference: one half of a condition's cells, given as the prediction of the other half, with disjoint "
    "controls. It carries the noise of half the cells; a model that pools many conditions can lie above it.",
    "ceiling at full depth": "The ceiling's correlation if each half had all the cells (Spearman–Brown, 2r / (1 + r)).",
    "oracle": "Reference: the truth itself as the prediction. It reaches the best value of every metric.",
    "expectation": "Reference, simulated data only: the simulator's noise-free truth.",
    "other_controls": "Reference: the context's training controls given as the prediction. It knows nothing of any "
    "perturbation; what it scores above 0 in a change metric comes from the controls alone.",
    "baseline": "What `scaled` is measured from: `train_mean`, the mean effect of the training perturbations; for p2n "
    "`train_control`, the training controls of the context.",
    "bracket": "A ranked model that learns nothing about a perturbation's own effect: `no_change`, `train_mean`, "
    "`train_control`.",
    "shared control": "As most evaluations do it: one control mean is subtracted from truth and prediction alike, so that "
    "its noise correlates with itself. Metrics that end in `_shared` are shown for comparison with papers, never ranked.",
    "audit": "What the check of the split found: clean, or which cells or labels leak from truth to training.",
    "budget": "full: trained as long as its authors say; quick: shorter; unknown: predictions of a model trained elsewhere.",
    "declined": "The model cannot give this (unsupported: it does not take the task or the condition; needs_cells: it "
    "predicts means, and the metric compares cells).",
    "failed": "The model raised an error, ran out of time, or left no row. Each such condition counts with the score of "
    "`no_change`.",
    "too_few_genes, too_few_conditions": "The condition has no such score, whoever predicts it; it is left out for every "
    "model alike.",
    "uninformative": "The metric's ceiling is not better than the baseline by more than the bootstrap error (95 %, paired): "
    "it cannot tell a good prediction from the mean effect here, so it does not rank.",
    "planted predictors": "The truth mixed with 0 to 100 % of noise, of the mean effect, or of the input. Their order is "
    "known; τ is Kendall's correlation of that order with the metric's, 1 where it finds all of it.",
}
