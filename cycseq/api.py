"""The method as one object: pre-train, fine-tune, predict, save, load."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from anndata import AnnData

from cycseq.config import TrainConfig
from cycseq.data import vocabulary
from cycseq.data.cell_reader import CellReader, CellSubset, reader_of
from cycseq.data.draw_store import DrawStore, served
from cycseq.data.input_checks import check_text, check_whole, training_cells
from cycseq.data.sampling import hold_out, training_pairs
from cycseq.data.vocabulary import NO_PERTURBATION, Vocabulary
from cycseq.devices import resolve
from cycseq.errors import ConfigError, DataError, NotTrained, UnknownContext
from cycseq.files import check_place
from cycseq.prediction import inference
from cycseq.prediction.query import Direction, Perturbation, queries
from cycseq.prediction.unseen import PAPER, Unseen
from cycseq.training import folds
from cycseq.training.checkpoint import Trained, build
from cycseq.training.history import History, Reporter
from cycseq.training.loop import Run, train_stage

PathLike = str | Path


class CycSeq:
    """Translate expression between the control and the perturbed state, in both directions.

    Parameters
    ----------
    config
        Settings; None takes the paper's, `TrainConfig()`.
    seed
        Seeds weights, draws, the choice of validation cells and training.
    device
        Torch device; "auto" takes CUDA, else MPS, else the CPU.
    report
        Called when training starts and once an epoch with (epochs done, most epochs, text).
    scratch
        Folder for draws of more than 1 GiB, which are written there once for the time of a training, if they take at most
        a quarter of the free disk; else, and by default, they are computed from the cells whenever they are read. The
        results are the same.

    Notes
    -----
    Training cells are AnnData with X in log2 space [cell, gene] (or z-scores with a linear output), sparse or dense,
    and obs columns `perturbation` ("control" for controls; a combination "A+B" is a perturbation of its own),
    `context`, `batch` and optionally `dose` (nM); or a `CellReader`: any object with `obs`, `genes` and `take(rows)`, whose
    values are read some cells at a time, so that memory does not depend on their number. A tutorial is in the package's README.md.
    """

    def __init__(
        self,
        config: TrainConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        report: Reporter = lambda done, total, text: None,
        scratch: PathLike | None = None,
    ) -> None:
        self.config = TrainConfig() if config is None else config
        if not isinstance(self.config, TrainConfig):
            raise ConfigError(f"config is {config!r}; expected a TrainConfig, such as cycseq.preset('plus').")
        self.seed, self.device, self.report = check_whole("seed", seed, 0), resolve(device), report
        self.scratch = None if scratch is None else Path(scratch)
        self.history: list[History] = []
        self._trained: Trained | None = None

    @property
    def trained(self) -> Trained:
        """Networks and what they were trained on; raises `NotTrained` before training."""
        if self._trained is None:
            raise NotTrained("This model is not trained; call pretrain(adata), or CycSeq.load(path) for a saved one.")
        return self._trained

    @property
    def vocabulary(self) -> Vocabulary:
        """Genes, perturbations and batches the model was pre-trained on; raises `NotTrained` before."""
        return self.trained.vocabulary

    @property
    def fine_tuned(self) -> tuple[str, ...]:
        """Contexts that have fine-tuned weights."""
        return tuple(sorted(self._trained.fine_tuned)) if self._trained else ()

    def pretrain(
        self, adata: AnnData | CellReader | DrawStore, *, state: PathLike | None = None, log: PathLike | None = None
    ) -> History:
        """Train on all contexts from new weights, which replace the old ones; if anything is raised, the model is unchanged.

        Parameters
        ----------
        adata
            Training cells, or draws of them in a store, which need not fit into memory.
        state
            File that makes training resumable: written after every epoch; if it exists, training resumes from it.
        log
            Folder for a TensorBoard log.

        Raises
        ------
        DataError
            Cells the method cannot read, or cannot make pseudo-pairs of.
        ConfigError
            A store drawn with other settings than this model's, or settings that need cells.
        TrainingError
            Training diverged.
        CheckpointError
            The state file is damaged or belongs to another training.
        """
        run = self._run(None, state, log)
        if isinstance(adata, DrawStore):
            adata.check(self.config, self.seed)
            known, of_context = adata.vocabulary, adata.cells
            networks = self._build(known)
            histories = [folds.train_once(networks, adata.train(self.device), adata.validation(self.device), run)]
        else:
            reader = reader_of(adata)
            known, of_context = vocabulary.from_adata(reader), vocabulary.cells_of_contexts(reader)
            cells, build_again = training_cells(reader, known, self.config), partial(self._build, known)
            networks, histories = folds.pretrain(cells, known, build_again, run, self.device)
        self._trained = Trained(self.config, self.seed, known, *networks, of_context)
        self.history = histories
        return self.history[-1]

    def fine_tune(
        self,
        adata: AnnData | CellReader,
        *,
        context: str,
        new_cells: bool = False,
        state: PathLike | None = None,
        log: PathLike | None = None,
    ) -> History:
        """Train the pre-trained weights further on one context; other contexts keep the pre-trained weights.

        Cells of other contexts are ignored. With validation="cells", the validation cells are those of pre-training, found
        by their position among the context's cells. If anything is raised, the model is unchanged.

        Parameters
        ----------
        adata
            The cells given to `pretrain`, or those of this context among them, in the same order.
        context
            The context to fine-tune on.
        new_cells
            Accept other cells, none of which was in pre-training; their labels must be known.
        state, log
            As for `pretrain`.

        Raises
        ------
        NotTrained, UnknownContext, UnknownBatch, UnknownPerturbation, DataError, TrainingError, CheckpointError
            The model is untrained, a label is unknown, the cells cannot be read or are not those of pre-training, or as
            for `pretrain`.
        ConfigError
            The configuration has no epochs of fine-tuning.
        """
        trained, known = self.trained, self.vocabulary
        if check_text("context", context) not in known.contexts:
            raise UnknownContext(context, known.contexts)
        if not self.config.finetune.epochs:
            raise ConfigError(
                "finetune.epochs is 0 in this configuration, as in the preset 'plus'; expected at least 1. Predict with the "
                "pre-trained weights, or set it."
            )
        reader = reader_of(adata)
        contexts = vocabulary.labels(reader, "context")
        own = contexts == context
        if not own.any():
            found = ", ".join(sorted(set(contexts))) or "none"
            raise DataError(f"No cell has context '{context}'; expected the cells to fine-tune on. Contexts: {found}.")
        # validation cells are known by position: in another order they would mix with those trained on
        before = trained.cells.get(context)
        if not new_cells and before and before != vocabulary.cells_of_contexts(reader)[context]:
            raise DataError(
                f"The cells of '{context}' differ from those of pre-training, or are in another order (by obs_names). Give the "
                "AnnData that pretrain had, or, for cells that were not in it, new_cells=True."
            )
        cells = training_cells(CellSubset(reader, np.flatnonzero(own)), known, self.config)
        if (cells.perturbation == NO_PERTURBATION).all():
            raise DataError(f"All {own.sum()} cells of '{context}' are controls; expected perturbed cells as well.")
        held = hold_out(cells, known, self.config, self.seed)[0]
        pairs = training_pairs(cells, known, held, self.config, self.seed)
        generators, critics = deepcopy((trained.generators, trained.critics))
        run = self._run(context, state, log)
        with served(known, pairs, (self.config, self.seed), self.device, self.scratch) as (train, validation):
            self.history.append(train_stage(generators, critics, train, validation, run))
        trained.fine_tuned[context] = generators
        return self.history[-1]

    def predict(
        self,
        adata: AnnData,
        *,
        perturbation: Perturbation,
        context: str | None = None,
        direction: Direction = "n2p",
        n_samples: int = 0,
        seed: int = 0,
        unseen: Unseen = PAPER,
    ) -> AnnData:
        """Translate cells of one context into the other state.

        Parameters
        ----------
        adata
            Input cells [cell, gene]: controls for "n2p", cells with the perturbation for "p2n". obs column `batch` is
            optional; a column `perturbation` must agree with the direction.
        perturbation
            The perturbation to apply ("n2p") or to undo ("p2n"); with doses a pair (compound, dose in nM).
        context
            The cells' context; None reads it from obs["context"], which must then have one value. Its fine-tuned weights
            are used if there are any, else the pre-trained ones.
        direction
            "n2p" (control → perturbed) or "p2n" (perturbed → control).
        n_samples
            0 decodes the latent means of each draw; otherwise the number of latent samples decoded per draw.
        seed
            Seeds the grouping of cells into draws and the latent samples.
        unseen
            How to treat a perturbation, context or batch never trained on.

        Returns
        -------
        AnnData [draw, gene], or [draw × sample, gene] with the samples of a draw in succession; sorted by batch, every
        input cell in exactly one draw (with `unit="cell"` a draw is a cell). X: float32, in the space of the training
        cells. obs: `perturbation`, `dose` (with doses), `context`, `batch`, `direction`, `n_cells` (the draw's weight in
        a mean), `sample` (0 for latent means, else 1, 2, …) and `note` (labels never trained on). var: the training
        genes. uns["cycseq"]: settings and seeds.

        Raises
        ------
        UnknownPerturbation, UnknownContext, UnknownBatch
            A label never trained on that `unseen` does not let pass.
        NotTrained, ConfigError, DataError
            The model is untrained, an argument is out of range, or the cells cannot be read.
        """
        check_whole("n_samples", n_samples, 0)
        if perturbation is None:
            raise DataError("perturbation is None; expected a name, or with doses a pair (name, dose in nM).")
        (query,) = queries(adata, self.vocabulary.dosed, perturbation, context, direction, seed, unseen)
        return inference.predict(self.trained, query, n_samples)

    def latent(
        self,
        adata: AnnData,
        *,
        perturbation: Perturbation | None = None,
        context: str | None = None,
        direction: Direction = "p2n",
        seed: int = 0,
        unseen: Unseen = PAPER,
    ) -> AnnData:
        """Encode cells into z_exp, z_ko and z_noise.

        Parameters
        ----------
        adata
            Cells, as for `predict`.
        perturbation
            The label to read all cells under, as in `predict`. None reads each cell under its own perturbation, context
            and dose, direction "p2n", and leaves controls out.
        context, direction, seed, unseen
            As for `predict`. Each direction has its own encoder, and so its own latent space.

        Returns
        -------
        AnnData [draw, 3·D], ready for scanpy (`use_rep="z_ko"`). X: means, the three latents side by side;
        layers["log_variance"]: log variances; obsm["z_exp"], ["z_ko"], ["z_noise"]: the means of each [draw, D];
        var["latent"]: the latent of a column; obs and uns["cycseq"] as from `predict`, and obs["weights"]: "pre-trained"
        or "fine-tuned on …". Fine-tuned weights have latent spaces of their own: compare contexts before fine-tuning.

        Raises
        ------
        As `predict`; ConfigError also for direction "n2p" without a perturbation.
        """
        asked = queries(adata, self.vocabulary.dosed, perturbation, context, direction, seed, unseen)
        return inference.latent(self.trained, asked)

    def save(self, path: PathLike) -> None:
        """Write the pre-trained and fine-tuned weights, configuration and vocabulary into one file."""
        self.trained.save(check_place(path))

    @classmethod
    def load(cls, path: PathLike, *, device: str = "cpu", report: Reporter = lambda done, total, text: None) -> Self:
        """Restore what `save` wrote, without the history; raises `CheckpointError` for any other or damaged file."""
        trained = Trained.load(Path(path), resolve(device))
        model = cls(trained.config, trained.seed, device, report)
        model._trained = trained
        return model

    def _build(self, known: Vocabulary) -> folds.Networks:
        return build(known, self.config, self.seed, self.device)

    def _run(self, context: str | None, state: PathLike | None, log: PathLike | None) -> Run:
        stage = self.config.pretrain if context is None else self.config.finetune
        kept, logged = None if state is None else check_place(state), None if log is None else Path(log)
        return Run(self.config, stage, self.seed, self.report, context, kept, logged, self.scratch)
