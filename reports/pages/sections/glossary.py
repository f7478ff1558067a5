"""Terms of the page."""

from reports.formatting import bullets
from reports.pages.page_sections import Section
from reports.stats.run_statistics import RunStatistics

GLOSSARY = {
    "split_half": "Reference: one half of a condition's cells, given as the prediction of the other half, with disjoint "
    "controls. It carries the noise of half the cells; a model that pools many conditions can lie above it. Whether a metric "
    "is informative is judged by it.",
    "ceiling": "Reference: all true cells as the prediction, with the change measured from all cells of the state that "
    "was started from. A predictor knows less: neither the noise of the true cells nor that of the controls that the true "
    "change is measured from. None lies above it but by chance. `scaled` is 1 there.",
    "split half at full depth": "The split half's correlation if each half had all the cells (Spearman–Brown, 2r / (1 + r)).",
    "oracle": "Reference: the truth itself as the prediction. It reaches the best value of every metric.",
    "expectation": "Reference, simulated data only: the simulator's noise-free truth.",
    "other_controls": "Reference: the context's training controls given as the prediction. It holds no effect of any "
    "perturbation; what it scores above 0 in a change metric comes from the controls alone.",
    "names_only": "Reference: `other_controls` with the perturbed gene lowered to 0 (z-scores: to −5), which the perturbation's "
    "name is enough for. Ranked metrics leave the perturbed genes out, so it scores there as `other_controls` does.",
    "baseline": "What `scaled` is measured from: `train_mean`, the mean effect of the training perturbations; for p2n "
    "`train_control`, the training controls of the context.",
    "bracket": "A ranked model that learns nothing about a perturbation's own effect: `no_change`, `train_mean`, "
    "`train_control`.",
    "shared control": "As in most evaluations, one control mean is subtracted from truth and prediction alike, so that "
    "its noise correlates with itself. Metrics that end in `_shared` are shown for comparison with papers, never ranked.",
    "audit": "clean: no test cell is trained on or predicted. proved (`--prove`): predictions are the same "
    "with noise in place of all hidden cells. leak: they are not; no value of the model counts. leaky: the protocol trains on test cells by design.",
    "budget": "full: trained as long as its authors say; quick: shorter; unknown: predictions of a model trained elsewhere.",
    "copies_input": "The prediction is as like the reference controls as real cells of the condition would only be in 1 of 40 "
    "cases, measured against its likeness to the truth (`copy_margin`). The input itself is not compared, for a prediction made "
    "from it carries its noise.",
    "declined": "The model cannot give this (unsupported: it does not take the task or the condition; needs_cells: it "
    "predicts means, and the metric compares cells).",
    "failed": "The model raised an error, ran out of time, or left no row. Each such condition counts with the score of "
    "`no_change`.",
    "too_few_genes, too_few_conditions": "The condition has no such score for any model; it is left out for every "
    "model alike.",
    "uninformative": "The metric's split half is not better than the baseline by more than the bootstrap error (95 %, paired): "
    "it does not separate a good prediction from the mean effect here, so it does not rank.",
    "planted predictors": "The truth mixed with 0 to 100 % of noise, of the mean effect, or of the input. Their order is "
    "known; τ is Kendall's correlation of that order with the metric's, 1 where it finds all of it.",
}


def write(run: RunStatistics) -> str:
    """Write the list of terms, the same for every run."""
    return bullets(f"**{term}**: {meaning}" for term, meaning in GLOSSARY.items())


SECTION = Section("Glossary", 40, write, per_task=False)
