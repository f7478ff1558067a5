"""The method as one object: pre-train, fine-tune, predict, save, load."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from anndata import AnnData

from cycseq.arguments import check_cells, check_place, check_text, check_whole
from cycseq.config import TrainConfig
from cycseq.data import input_checks, vocabulary
from cycseq.data.draw_store import DrawStore
from cycseq.data.loader import PairLoader
from cycseq.data.sampling import hold_out, training_pairs
from cycseq.data.vocabulary import Cells, Vocabulary
from cycseq.devices import resolve, seeded
from cycseq.errors import ConfigError, DataError, NotTrained, UnknownContext
from cycseq.model import Critics, Generator, Generators, Sizes
from cycseq.prediction import inference, results
from cycseq.prediction.inference import Direction, Perturbation, QueryDraws, QueryLabels
from cycseq.prediction.unseen import PAPER, Unseen
from cycseq.training import checkpoint, folds
from cycseq.training.history import History
from cycseq.training.loop import Run, train_stage
from cycseq.training.progress import Reporter

PathLike = str | Path
NOT_TRAINED = "This model is not trained; call pretrain(adata), or CycSeq.load(path) for a saved one."


def no_report(done: int, total: int, text: str) -> None:
    """Discard progress."""


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
        Called once an epoch with (epochs done, most epochs, text).

    Notes
    -----
    Training cells are AnnData with X in log2 space [cell, gene] (or z-scores with a linear output), sparse or dense,
    and obs columns `perturbation` ("control" for controls; a combination "A+B" is a perturbation of its own),
    `context`, `batch` and optionally `dose` (nM). A tutorial is in the package's README.md.
    """

    def __init__(
        self, config: TrainConfig | None = None, seed: int = 0, device: str = "cpu", report: Reporter = no_report
    ) -> None:
        self.config = TrainConfig() if config is None else config
        if not isinstance(self.config, TrainConfig):
            raise ConfigError(f"config is {config!r}; expected a TrainConfig, such as cycseq.preset('plus').")
        self.seed, self.device, self.report = check_whole("seed", seed, 0), resolve(device), report
        self.history: list[History] = []
        self._vocabulary: Vocabulary | None = None
        self._generators: Generators | None = None
        self._critics: Critics | None = None
        self._fine_tuned: dict[str, Generators] = {}
        self._cells: dict[str, str] = {}

    @property
    def vocabulary(self) -> Vocabulary:
        """Genes, perturbations and batches the model was pre-trained on; raises `NotTrained` before."""
        if self._vocabulary is None:
            raise NotTrained(NOT_TRAINED)
        return self._vocabulary

    @property
    def fine_tuned(self) -> tuple[str, ...]:
        """Contexts that have fine-tuned weights."""
        return tuple(sorted(self._fine_tuned))

    def pretrain(
        self, adata: AnnData | DrawStore, *, state: PathLike | None = None, log: PathLike | None = None
    ) -> History:
        """Train on all contexts from new weights; forgets what the model knew, once that has succeeded.

        Whatever is raised, the model is what it was before the call.

        Parameters
        ----------
        adata
            Training cells, or draws of them in a store, which need not fit into memory.
        state
            File that makes training resumable: written after every epoch, gone on from if it is there.
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
            loaders = adata.train(self.device), adata.validation(self.device)
            histories = [folds.train_once(networks, *loaders, run)]
        else:
            known, of_context = vocabulary.from_adata(check_cells(adata)), vocabulary.cells_of_contexts(adata)
            networks, histories = folds.pretrain(
                self._encode(adata, known), known, partial(self._build, known), run, self.device
            )
        self._take(known, networks, of_context)
        self._fine_tuned, self.history = {}, histories
        return self.history[-1]

    def fine_tune(
        self,
        adata: AnnData,
        *,
        context: str,
        new_cells: bool = False,
        state: PathLike | None = None,
        log: PathLike | None = None,
    ) -> History:
        """Go on from the pre-trained weights with the cells of one context; the pre-trained weights stay.

        Cells of other contexts are ignored. With validation="cells", cells that pre-training kept for validation are kept
        again; they are told by their place among the context's cells. Whatever is raised, the model is what it was before the
        call.

        Parameters
        ----------
        adata
            The cells `pretrain` had, or those of this context among them, in the same order.
        context
            The context to fine-tune on.
        new_cells
            Take cells that pre-training has not seen, of labels that it has; who says so vouches for it.
        state, log
            As for `pretrain`.

        Raises
        ------
        NotTrained, UnknownContext, UnknownBatch, UnknownPerturbation, DataError, TrainingError, CheckpointError
            The model is untrained, the cells bring a label it does not know, cannot be read, or are not the context's cells
            of pre-training in their order (and `new_cells` does not say that none of them was there), or as for `pretrain`.
        ConfigError
            The configuration leaves fine-tuning out.
        """
        check_text("context", context)
        if context not in self.vocabulary.contexts:
            raise UnknownContext(context, self.vocabulary.contexts)
        if not self.config.finetune.epochs:
            raise ConfigError(
                "The configuration leaves fine-tuning out: finetune.epochs is 0, as in the preset 'plus'. Predict with the "
                "pre-trained weights, or configure epochs for it."
            )
        own = vocabulary.labels(check_cells(adata), "context") == context
        if not own.any():
            raise DataError(
                f"No cell has context '{context}'; expected the cells to fine-tune on. The cells' contexts: "
                f"{', '.join(sorted(set(adata.obs['context'].astype(str)))) or 'none'}."
            )
        if not new_cells:
            self._check_same_cells(adata, context)
        cells = self._encode(adata[own], self.vocabulary)
        vocabulary.check_perturbed(cells, context)
        held = hold_out(cells, self.vocabulary, self.config, self.seed)[0]
        pairs = training_pairs(cells, self.vocabulary, held, self.config, self.seed)
        loaders = PairLoader(pairs[0], self.device), PairLoader(pairs[1], self.device)
        generators, critics = deepcopy(self._networks())
        self.history.append(train_stage(generators, critics, *loaders, self._run(context, state, log)))
        self._fine_tuned[context] = generators
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
            used if there; a column `perturbation` must agree with the direction.
        perturbation
            The perturbation to apply ("n2p") or to undo ("p2n"); with doses a pair (compound, dose in nM).
        context
            The cells' context; None reads it from obs["context"], where there must be one. Fine-tuned weights are used
            if the context has any, else the pre-trained ones.
        direction
            "n2p" (control → perturbed) or "p2n" (perturbed → control).
        n_samples
            0 decodes the latent means, once a draw; otherwise the number of latent samples decoded for each draw.
        seed
            Seeds the grouping of cells into draws and the latent samples.
        unseen
            What to do about a perturbation, context or batch never trained on.

        Returns
        -------
        AnnData [draw, gene], or [draw × sample, gene] with the samples of a draw next to each other; sorted by batch,
        every input cell in exactly one draw (with `unit="cell"` a draw is a cell). X: float32, in the space of the
        training cells. obs: `perturbation`, `dose` (with doses), `context`, `batch`, `direction`, `n_cells` (weigh draws
        by it in a mean: a small batch's draws are small), `sample` (0 for latent means, else 1, 2, …) and `note` (what
        was never trained on; empty if nothing). var: the training genes. uns["cycseq"]: what made it.

        Raises
        ------
        UnknownPerturbation, UnknownContext, UnknownBatch
            A label never trained on that `unseen` does not let pass.
        NotTrained, ConfigError, DataError
            The model is untrained, an argument is out of range, or the cells cannot be read.
        """
        check_whole("n_samples", n_samples, 0)
        known = self.vocabulary
        question = inference.ask(adata, perturbation, context, direction, seed, unseen)
        made = inference.read(adata, question, known, self.config)
        values = inference.translate(self._generator(question), made, n_samples, seed)
        mix = self._generators_of(question).blend
        if mix is not None:
            values = inference.mix(mix, values, made, question.direction)
        return results.predictions(
            values, made, known.genes, self._record([question], [made]) | {"n_samples": n_samples}
        )

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
            and dose, direction "p2n"; controls, which have none, are left out.
        context, direction, seed, unseen
            As for `predict`. The two directions have encoders, and so latent spaces, of their own.

        Returns
        -------
        AnnData [draw, 3·D], ready for scanpy (`use_rep="z_ko"`). X: means, the three latents side by side;
        layers["log_variance"]: log variances; obsm["z_exp"], ["z_ko"], ["z_noise"]: the means of each [draw, D];
        var["latent"]: which latent a column belongs to; obs and uns["cycseq"] as from `predict`, and obs["weights"]:
        "pre-trained" or "fine-tuned on …". Each set of weights has a latent space of its own: compare contexts in a model
        that is not fine-tuned.

        Raises
        ------
        As `predict`; ConfigError also for direction "n2p" without a perturbation.
        """
        if perturbation is not None:
            parts = [(adata, inference.ask(adata, perturbation, context, direction, seed, unseen))]
        else:
            parts = inference.ask_each(adata, self.vocabulary.dosed, context, direction, seed, unseen)
        made = [inference.read(own, question, self.vocabulary, self.config) for own, question in parts]
        questions = [question for _, question in parts]
        nets = [self._generator(question) for question in questions]
        encoded = [inference.encode(net, own) for net, own in zip(nets, made, strict=True)]
        for question, own in zip(questions, made, strict=True):
            own.obs["weights"] = results.weights_of([question.context] if question.context in self._fine_tuned else [])
        return results.latents(np.concatenate(encoded, axis=1), nets[0].latents, made, self._record(questions, made))

    def save(self, path: PathLike) -> None:
        """Write the pre-trained and fine-tuned weights, configuration and vocabulary into one file."""
        known, (generators, critics) = self.vocabulary, self._networks()
        tuned = {context: net.state_dict() for context, net in self._fine_tuned.items()}
        weights = generators.state_dict(), critics.state_dict(), tuned
        checkpoint.write(check_place(path), checkpoint.Checkpoint(self.config, known, *weights, self.seed, self._cells))

    @classmethod
    def load(cls, path: PathLike, *, device: str = "cpu", report: Reporter = no_report) -> Self:
        """Restore what `save` wrote, configuration and seed included; the history is not saved.

        Raises
        ------
        CheckpointError
            Not a checkpoint of this package, damaged, or of another version.
        """
        stored = checkpoint.read(Path(path))
        model = cls(stored.config, stored.seed, device, report)
        generators, critics = model._build(stored.vocabulary)
        generators.load_state_dict(stored.generators)
        critics.load_state_dict(stored.critics)
        model._take(stored.vocabulary, (generators, critics), stored.cells)
        for context, weights in stored.fine_tuned.items():
            model._fine_tuned[context] = deepcopy(generators)
            model._fine_tuned[context].load_state_dict(weights)
        return model

    def _build(self, known: Vocabulary) -> tuple[Generators, Critics]:
        sizes = Sizes(len(known.genes), len(known.perturbations), len(known.batches), int(known.dosed))
        with seeded(self.seed, self.device):
            generators = Generators(sizes, self.config.model).to(self.device).eval()
            critics = Critics(sizes, self.config.model).to(self.device).eval()
        return generators, critics

    def _take(self, known: Vocabulary, networks: tuple[Generators, Critics], cells: dict[str, str]) -> None:
        """Become what was trained or loaded."""
        self._vocabulary, (self._generators, self._critics), self._cells = known, networks, cells

    def _networks(self) -> tuple[Generators, Critics]:
        if self._generators is None or self._critics is None:
            raise NotTrained(NOT_TRAINED)
        return self._generators, self._critics

    def _encode(self, adata: AnnData, known: Vocabulary) -> Cells:
        cells = vocabulary.encode(adata, known)
        input_checks.check_training(cells, known, self.config)
        return cells

    def _check_same_cells(self, adata: AnnData, context: str) -> None:
        """Validation cells are told by their place: other cells, or another order, would mix them with trained ones."""
        before, now = self._cells.get(context), vocabulary.cells_of_contexts(adata)[context]
        if before is not None and before != now:
            raise DataError(
                f"The cells of '{context}' are not those of pre-training in their order (by obs_names), so that cells it "
                "trained on would be validated on; expected the same ones. Give the AnnData that pretrain had, or, for "
                "cells that pre-training has not seen, new_cells=True."
            )

    def _run(self, context: str | None, state: PathLike | None, log: PathLike | None) -> Run:
        stage = self.config.pretrain if context is None else self.config.finetune
        kept, logged = None if state is None else check_place(state), None if log is None else Path(log)
        return Run(self.config, stage, self.seed, self.report, context, kept, logged)

    def _generators_of(self, question: QueryLabels) -> Generators:
        return self._fine_tuned.get(question.context, self._networks()[0])

    def _generator(self, question: QueryLabels) -> Generator:
        both = self._generators_of(question)
        return both.n2p if question.direction == "n2p" else both.p2n

    def _record(self, questions: Sequence[QueryLabels], made: Sequence[QueryDraws]) -> results.Record:
        fine_tuned = [name for name in self.fine_tuned if name in {question.context for question in questions}]
        return results.record(self.config, self.seed, fine_tuned, questions[0], made)
