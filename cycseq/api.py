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
        self,
        config: TrainConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        report: Reporter = lambda done, total, text: None,
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
        check_text("context", context)
        if context not in self.vocabulary.contexts:
            raise UnknownContext(context, self.vocabulary.contexts)
        if not self.config.finetune.epochs:
            raise ConfigError(
                "finetune.epochs is 0 in this configuration, as in the preset 'plus'; expected at least 1. Predict with the "
                "pre-trained weights, or set it."
            )
        own = vocabulary.labels(check_cells(adata), "context") == context
        if not own.any():
            found = ", ".join(sorted(set(adata.obs["context"].astype(str)))) or "none"
            raise DataError(f"No cell has context '{context}'; expected the cells to fine-tune on. Contexts: {found}.")
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
        known = self.vocabulary
        query = inference.query_labels(adata, perturbation, context, direction, seed, unseen)
        made = inference.read(adata, query, known, self.config)
        values = inference.translate(self._generator(query), made, n_samples, seed)
        mix = self._generators_of(query).blend
        if mix is not None:
            values = inference.mix(mix, values, made, query.direction)
        return results.predictions(values, made, known.genes, self._record([query], [made]) | {"n_samples": n_samples})

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
        if perturbation is not None:
            parts = [(adata, inference.query_labels(adata, perturbation, context, direction, seed, unseen))]
        else:
            parts = inference.labels_of_cells(adata, self.vocabulary.dosed, context, direction, seed, unseen)
        made = [inference.read(own, query, self.vocabulary, self.config) for own, query in parts]
        querys = [query for _, query in parts]
        nets = [self._generator(query) for query in querys]
        encoded = [inference.encode(net, own) for net, own in zip(nets, made, strict=True)]
        for query, own in zip(querys, made, strict=True):
            own.obs["weights"] = results.weights_of([query.context] if query.context in self._fine_tuned else [])
        return results.latents(np.concatenate(encoded, axis=1), nets[0].latents, made, self._record(querys, made))

    def save(self, path: PathLike) -> None:
        """Write the pre-trained and fine-tuned weights, configuration and vocabulary into one file."""
        known, (generators, critics) = self.vocabulary, self._networks()
        tuned = {context: net.state_dict() for context, net in self._fine_tuned.items()}
        weights = generators.state_dict(), critics.state_dict(), tuned
        checkpoint.write(check_place(path), checkpoint.Checkpoint(self.config, known, *weights, self.seed, self._cells))

    @classmethod
    def load(cls, path: PathLike, *, device: str = "cpu", report: Reporter = lambda done, total, text: None) -> Self:
        """Restore what `save` wrote, without the history; raises `CheckpointError` for any other or damaged file."""
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
        """Adopt trained or loaded networks."""
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
        """Refuse other cells or another order: validation cells are known by position and would mix with trained ones."""
        before, now = self._cells.get(context), vocabulary.cells_of_contexts(adata)[context]
        if before is not None and before != now:
            raise DataError(
                f"The cells of '{context}' differ from those of pre-training, or are in another order (by obs_names). Give the "
                "AnnData that pretrain had, or, for cells that were not in it, new_cells=True."
            )

    def _run(self, context: str | None, state: PathLike | None, log: PathLike | None) -> Run:
        stage = self.config.pretrain if context is None else self.config.finetune
        kept, logged = None if state is None else check_place(state), None if log is None else Path(log)
        return Run(self.config, stage, self.seed, self.report, context, kept, logged)

    def _generators_of(self, query: QueryLabels) -> Generators:
        return self._fine_tuned.get(query.context, self._networks()[0])

    def _generator(self, query: QueryLabels) -> Generator:
        both = self._generators_of(query)
        return both.n2p if query.direction == "n2p" else both.p2n

    def _record(self, querys: Sequence[QueryLabels], made: Sequence[QueryDraws]) -> results.Record:
        fine_tuned = [name for name in self.fine_tuned if name in {query.context for query in querys}]
        return results.record(self.config, self.seed, fine_tuned, querys[0], made)
