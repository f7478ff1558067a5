"""The change of the perturbed gene alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from baselines.shared.effects import changes, control_means, effects, own_changes, shifted
from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported


class OwnGene:
    """Change the perturbed gene in proportion to its level in controls; leave every other gene where it is.

    With x_cg the mean of gene g over the training controls of context c and δ_p the change of gene p in the cells in which
    it is perturbed, δ_cp = b · x_cp. b is the least-squares slope over the training perturbations of the context, over
    those of all contexts where it has none: −1 where knock-outs leave nothing, above 0 under activation.

    The difference of another model's score to this one is due to the other genes.
    """

    def fit(self, train: Train, *, seed: int) -> None:
        if train.perturbation_type != "CRISPR":
            raise Unsupported(f"own_gene changes the perturbed gene; a {train.perturbation_type} is no gene.")
        self.genes = {name: column for column, name in enumerate(train.genes)}
        self.controls = control_means(train)
        change = own_changes(changes(effects(train)))
        level = [self.controls.loc[context].iloc[self.genes[gene]] for context, gene in change.index]
        pairs = change.to_frame("change").assign(level=level).reset_index("context")
        self.pairs = pairs[pairs["level"] != 0]
        if self.pairs.empty:
            raise Unsupported("no single training perturbation is of a measured gene that the controls express")

    def predict(self, query: Query) -> Prediction:
        genes = [gene for gene in query.perturbation.split("+") if gene in self.genes]
        if not genes:
            raise Unsupported(f"{query.perturbation} is not measured: there is no own gene to change")
        if query.context not in self.controls.index:
            raise Unsupported(
                f"no training controls in {query.context}: the level of {' and '.join(genes)} is not known"
            )
        inside = self.pairs[self.pairs["context"] == query.context]
        note = "" if len(inside) else f"no training perturbation in {query.context}: slope of all contexts"
        effect = np.zeros(len(self.genes))
        columns = [self.genes[gene] for gene in genes]
        effect[columns] = slope(inside if len(inside) else self.pairs) * self.controls.loc[query.context].iloc[columns]
        return shifted(query, effect, note)


def slope(pairs: pd.DataFrame) -> float:
    """Least-squares slope through the origin of change on level."""
    return float((pairs["level"] * pairs["change"]).sum() / (pairs["level"] ** 2).sum())


BASELINE = Baseline(
    name="own_gene",
    build=OwnGene,
    directions=("n2p", "p2n"),
    summary="Input with the perturbed gene alone changed, in proportion to its level in controls.",
    source="ours",
    limits="CRISPR perturbations of measured genes; knows nothing of any other gene.",
    needs="profiles",
    can=Can(unseen_perturbation="yes", unseen_context="fallback", combination="yes", dose="no"),
)
