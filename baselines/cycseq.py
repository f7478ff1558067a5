"""CycSeq: the package `cycseq` with the paper's recipe, the same without fine-tuning, and with its preset "plus"."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from baselines.shared.settings import checked
from benchmarks.contract import CONTROL, Baseline, Can, Direction, Prediction, Query, Train
from benchmarks.errors import Unsupported

if TYPE_CHECKING:
    from anndata import AnnData

    from cycseq import CycSeq, TrainConfig

QUICK = {"pretrain_epochs": 8, "finetune_epochs": 4, "draws": 8}
"""Lengths of the presets "paper_quick" and "plus_quick", named so that a run with them is marked quick."""
FULL_TRAINING = {"pretrain_epochs": 100, "finetune_epochs": 30}
"""The paper's (Hyperparameters)."""
CELLS_AT_ONCE = 2048
"""Cells whose values are looked at together."""
CAN = Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="yes")
LIMITS = (
    "The perturbation must have been trained on in some context, or --set {name}.unseen=annotation; predicts draws of 50 "
    "cells, not cells."
)


@dataclass
class CycSeqPredictor:
    """Pre-train on all contexts, fine-tune on each, translate draws of the query's cells.

    One training serves both directions: the two generators are trained together. Cells that are alone in their
    condition are left out of training: all draws of it would be the one cell.
    """

    variant: str = "paper"
    """Preset of the package; `cycseq.PRESETS` lists them."""
    pretrain_epochs: int | None = None
    finetune_epochs: int | None = None
    """Most epochs of the two stages; 0 leaves a stage out, and None is the preset's."""
    draws: int | None = None
    """N_R, draws of each (context, perturbation, batch); None is the preset's."""
    unseen: str = "refuse"
    """A perturbation never trained on: "refuse", or "annotation" to take the embeddings of those trained on that are
    most alike by the data set's gene annotation (and the sum of its parts' for a combination)."""
    __post_init__ = checked(unseen=("refuse", "annotation"))

    def fit(self, train: Train, *, seed: int) -> None:
        from cycseq import CellSubset, CycSeq, Unseen, lone_cells

        cells = CellSubset(train, np.flatnonzero(~lone_cells(train)))
        control = cells.obs["perturbation"] == CONTROL
        contexts = sorted(set(cells.obs.loc[control, "context"]) & set(cells.obs.loc[~control, "context"]))
        if not contexts:
            raise Unsupported("no context has both control and perturbed training cells to make pairs of")
        config = self._config(train)
        first, second = config.pretraining_epochs, config.finetune.epochs
        tuned = contexts if second else []
        total = first + second * len(tuned)
        offset = 0

        def report(done: int, most: int, text: str) -> None:
            train.report(min(offset + done, total), total, text)

        self.policy = Unseen(train.annotation, combination="sum") if self.unseen == "annotation" else Unseen()
        self.model = CycSeq(config, seed, train.device, report, scratch=train.workdir)
        self.model.pretrain(cells)
        offset = first
        for context in tuned:
            self.model.fine_tune(cells, context=context)
            offset += second

    def predict(self, query: Query) -> Prediction:
        """Translate the query's cells, averaged into draws; latent means, no sampling.

        From one dose to another: to controls, then each draw to the query's dose.
        """
        from cycseq import UnknownPerturbation

        try:
            if query.start_dose is None or query.dose is None:
                made = self._translate(query, query.cells, query.direction, query.dose or query.start_dose)
                values, fallbacks = made.X, made.uns["cycseq"]["fallbacks"]
            else:
                made = self._translate(query, query.cells, "p2n", query.start_dose)
                raised = [self._translate(query, own, "n2p", query.dose) for own in _as_controls(made)]
                values, fallbacks = np.concatenate([r.X for r in raised]), raised[0].uns["cycseq"]["fallbacks"]
        except UnknownPerturbation as error:
            raise Unsupported(str(error)) from error
        unit = "cell" if self.model.config.unit == "cell" else "draw"
        weights = made.obs["n_cells"].to_numpy(dtype=float)
        return Prediction(values, unit=unit, weights=weights, note=fallbacks)

    def _translate(self, query: Query, cells: AnnData, direction: Direction, dose: float | None) -> AnnData:
        return self.model.predict(
            cells,
            perturbation=query.perturbation if dose is None else (query.perturbation, dose),
            context=query.context,
            direction=direction,
            seed=query.seed,
            unseen=self.policy,
        )

    def save(self, folder: Path) -> None:
        self.model.save(folder / "cycseq.pt")
        (folder / "unseen.pickle").write_bytes(pickle.dumps(self.policy))

    def load(self, folder: Path) -> None:
        from cycseq import CycSeq

        self.model: CycSeq = CycSeq.load(folder / "cycseq.pt")
        self.policy = pickle.loads((folder / "unseen.pickle").read_bytes())

    def _config(self, train: Train) -> TrainConfig:
        from cycseq import preset

        base = preset(self.variant)
        rows = np.arange(len(train.obs))
        blocks = (train.take(own) for own in np.split(rows, range(CELLS_AT_ONCE, len(rows), CELLS_AT_ONCE)))
        signed = train.space == "zscore" or any((x.data < 0).any() for x in blocks)
        lengths = {"pretrain": self.pretrain_epochs, "finetune": self.finetune_epochs}
        return replace(
            base,
            model=replace(base.model, output="linear") if signed else base.model,
            draws_per_condition=base.draws_per_condition if self.draws is None else self.draws,
            **{stage: replace(getattr(base, stage), epochs=n) for stage, n in lengths.items() if n is not None},
        )


def _as_controls(made: AnnData) -> list[AnnData]:
    """Draws that were translated to controls, one by one, so that they are not averaged again; values below 0 are 0."""
    from anndata import AnnData

    obs = made.obs[["context", "batch"]].assign(perturbation=CONTROL)
    controls = AnnData(sp.csr_matrix(np.maximum(made.X, 0.0)), obs=obs, var=made.var[[]])
    return [controls[[number]].copy() for number in range(controls.n_obs)]


def records(name: str, summary: str, **fields: Any) -> tuple[Baseline, ...]:
    """One record for each direction, of one training; `fields` as in `Baseline`."""
    common = {
        "build": CycSeqPredictor,
        "source": "Liu et al., CycSeq, IJCAI 2025",
        "needs": "blocks",
        "full_training": FULL_TRAINING,
        "training": name,
        "resources": {"memory_gb": 16, "gpus": 1, "hours": 24},
        "can": CAN,
    }
    return tuple(
        Baseline(
            name=f"{name}_{direction}",
            directions=(direction,),
            summary=f"{summary}, {text}.",
            limits=LIMITS.format(name=f"{name}_{direction}"),
            **common | fields,
        )
        for direction, text in (("n2p", "control → perturbed"), ("p2n", "perturbed → control"))
    )


BASELINES = (
    *records(
        "cycseq",
        "Cycle-consistent adversarial translation with variational latents, the paper's recipe",
        quick=QUICK | {"variant": "paper_quick"},
    ),
    *records(  # has the seed of `cycseq`: the two share their pre-training and differ by fine-tuning alone
        "cycseq_pretrained",
        "CycSeq, the paper's recipe, pre-trained and not fine-tuned",
        settings={"finetune_epochs": 0},
        quick={"pretrain_epochs": 8, "draws": 8, "variant": "paper_quick"},
        full_training={"pretrain_epochs": 100},
        training="cycseq",
    ),
    *records(  # trains where the paper's recipe collapses
        "cycseq_plus",
        "CycSeq that predicts the change, uses the pseudo-pairs, and is blended with an additive estimate; not the paper's",
        build=partial(CycSeqPredictor, variant="plus"),
        quick=QUICK | {"variant": "plus_quick", "finetune_epochs": 0},
        full_training={"pretrain_epochs": 40},
    ),
)
