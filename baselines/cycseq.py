"""CycSeq behind the contract: a thin adapter; the method is the package `cycseq`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contract import CONTROL, Baseline, Prediction, Query, Train
from benchmarks.errors import Unsupported

if TYPE_CHECKING:
    from cycseq import CycSeq, TrainConfig

PRETRAIN_EPOCHS, FINETUNE_EPOCHS = 100, 30
"""The paper's (Hyperparameters)."""


class CycSeqPredictor:
    """Pre-train on all contexts, fine-tune on each, translate draws of the query's cells.

    One training serves both directions: the two generators are trained together.

    Parameters
    ----------
    variant
        Preset of the package: "default" (not the paper's: its weights train), "quick" (the same, narrower), "paper" or
        "published_code".
    pretrain_epochs, finetune_epochs
        Most epochs of the two stages; 0 fine-tuning epochs predicts with the pre-trained model.
    draws
        N_R, draws of each (context, perturbation, batch).
    """

    def __init__(
        self,
        variant: str = "default",
        pretrain_epochs: int = PRETRAIN_EPOCHS,
        finetune_epochs: int = FINETUNE_EPOCHS,
        draws: int = 50,
    ) -> None:
        self.variant = variant
        self.pretrain_epochs = pretrain_epochs
        self.finetune_epochs = finetune_epochs
        self.draws = draws

    def fit(self, train: Train, *, seed: int) -> None:
        """Pre-train, then fine-tune on every context that has perturbed cells and controls."""
        from cycseq import CycSeq

        contexts = self._trainable(train)
        if not contexts:
            raise Unsupported("no context has both control and perturbed training cells to make pairs of")
        tuned = contexts if self.finetune_epochs else []
        total = self.pretrain_epochs + self.finetune_epochs * len(tuned)
        offset = 0

        def report(done: int, most: int, text: str) -> None:
            train.report(min(offset + done, total), total, text)

        self.model = CycSeq(self._config(train.space), seed=seed, device=train.device, report=report)
        self.model.pretrain(train.cells)
        offset = self.pretrain_epochs
        for context in tuned:
            self.model.fine_tune(train.cells, context=context)
            offset += self.finetune_epochs

    def predict(self, query: Query) -> Prediction:
        """Translate the query's cells, averaged into draws; latent means, no sampling."""
        from cycseq import UnknownPerturbation

        target = query.perturbation if query.dose is None else (query.perturbation, query.dose)
        try:
            values, sizes = self.model.predict_draws(
                query.cells, perturbation=target, context=query.context, direction=query.direction, seed=query.seed
            )
        except UnknownPerturbation as error:
            raise Unsupported(str(error)) from error
        unit = "cell" if self.model.config.unit == "cell" else "draw"
        return Prediction(values, unit=unit, weights=sizes, note=self.model.note(query.cells, context=query.context))

    def save(self, folder: Path) -> None:
        """Write the trained model."""
        self.model.save(folder / "cycseq.pt")

    def load(self, folder: Path) -> None:
        """Restore a trained model."""
        from cycseq import CycSeq

        self.model: CycSeq = CycSeq().load(folder / "cycseq.pt")

    def _config(self, space: str) -> TrainConfig:
        from cycseq import preset

        base = preset(self.variant)
        model = replace(base.model, output="linear") if space == "zscore" else base.model
        return replace(
            base,
            model=model,
            draws_per_condition=self.draws,
            pretrain=replace(base.pretrain, epochs=self.pretrain_epochs),
            finetune=replace(base.finetune, epochs=max(1, self.finetune_epochs)),
        )

    @staticmethod
    def _trainable(train: Train) -> list[str]:
        obs = train.cells.obs
        control = obs["perturbation"] == CONTROL
        return sorted(set(obs.loc[control, "context"]) & set(obs.loc[~control, "context"]))


def _record(direction: str, summary: str) -> Baseline:
    return Baseline(
        name=f"cycseq_{direction}",
        build=CycSeqPredictor,
        directions=(direction,),
        summary=summary,
        source="Liu et al., CycSeq, IJCAI 2025",
        limits="The perturbation must have been trained on in some context; predicts draws of 50 cells, not cells.",
        quick={"variant": "quick", "pretrain_epochs": 20, "finetune_epochs": 4, "draws": 8},
        full_training={"pretrain_epochs": PRETRAIN_EPOCHS, "finetune_epochs": FINETUNE_EPOCHS},
        training="cycseq",
    )


BASELINES = (
    _record("n2p", "Cycle-consistent adversarial translation with variational latents, control → perturbed."),
    _record("p2n", "Cycle-consistent adversarial translation with variational latents, perturbed → control."),
)
