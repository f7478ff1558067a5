"""The method as one object: pre-train, fine-tune, predict, save, load."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import torch
from anndata import AnnData
from jaxtyping import Float, Int
from torch import Tensor

from cycseq import checkpoint, vocabulary
from cycseq.config import TrainConfig, preset
from cycseq.devices import resolve, seeded
from cycseq.draws import DrawStore
from cycseq.errors import ConfigError, DataError, NotTrained, UnknownContext
from cycseq.history import History
from cycseq.loader import PairLoader
from cycseq.model import Critics, Generator, Generators, Sizes
from cycseq.sampling import draws, query_draws, training_pairs
from cycseq.train import Run, train_stage
from cycseq.validation import CHUNK
from cycseq.vocabulary import Vocabulary

Direction = Literal["n2p", "p2n"]


def no_report(done: int, total: int, text: str) -> None:
    """Discard progress."""


class CycSeq:
    """CycSeq: translate expression between the control and the perturbed state, in both directions.

    Parameters
    ----------
    config
        Settings; None takes `preset("default")`. `TrainConfig()` is the paper's.
    seed
        Seeds weights, draws, the choice of validation cells and training.
    device
        Torch device; "auto" is CUDA where there is one, else MPS, else the CPU.
    report
        Called once an epoch with (epochs done, most epochs, text).

    Notes
    -----
    Training cells are AnnData with X in log2 space [cell, gene] (or z-scores with a linear output), sparse or dense,
    and obs columns `perturbation` ("control" for controls; a combination "A+B" is a perturbation of its own),
    `context`, `batch` and optionally `dose` (nM).
    """

    def __init__(
        self,
        config: TrainConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        report: Callable[[int, int, str], None] = no_report,
    ) -> None:
        self.config = preset("default") if config is None else config
        self.seed, self.device, self.report = seed, resolve(device), report
        self.history: list[History] = []
        self._vocabulary: Vocabulary | None = None
        self._generators: Generators | None = None
        self._critics: Critics | None = None
        self._fine_tuned: dict[str, Generators] = {}

    @property
    def vocabulary(self) -> Vocabulary:
        """Genes, perturbations and batches the model was pre-trained on; raises `NotTrained` before."""
        if self._vocabulary is None:
            raise NotTrained("This model is not trained; call pretrain(cells) or load(path) first.")
        return self._vocabulary

    @property
    def fine_tuned(self) -> tuple[str, ...]:
        """Contexts that have fine-tuned weights."""
        return tuple(sorted(self._fine_tuned))

    def pretrain(self, adata: AnnData | DrawStore, *, state: Path | None = None, log: Path | None = None) -> History:
        """Train on all contexts from new weights; forgets what the model knew.

        Parameters
        ----------
        adata
            Training cells, or draws of them in a store, which need not fit into memory.
        state
            File that makes training resumable: written after every epoch, gone on from if it is there.
        log
            Folder of a TensorBoard log.

        Raises
        ------
        DataError
            Cells the method cannot read.
        ConfigError
            A store drawn with other settings than this model's.
        TrainingError
            Training diverged.
        CheckpointError
            The state file is damaged or belongs to another training.
        """
        if isinstance(adata, DrawStore):
            adata.check(self.config, self.seed)
            self._build(adata.vocabulary)
            loaders = adata.train(self.device), adata.validation(self.device)
        else:
            self._build(vocabulary.from_adata(adata))
            loaders = self._loaders(adata)
        self._fine_tuned, self.history = {}, []
        return self._train(loaders, Run(self.config, self.config.pretrain, self.seed, self.report, None, state, log))

    def fine_tune(self, adata: AnnData, *, context: str, state: Path | None = None, log: Path | None = None) -> History:
        """Go on from the pre-trained weights with the cells of one context; the pre-trained weights stay.

        Cells of other contexts are ignored. Cells that pre-training kept for validation are kept again.

        Raises
        ------
        NotTrained, UnknownContext, UnknownBatch, UnknownPerturbation, DataError, TrainingError
            The model is untrained, the cells bring a label it does not know, or training diverged.
        """
        if context not in self.vocabulary.contexts:
            raise UnknownContext(context, self.vocabulary.contexts)
        vocabulary.check_columns(adata, ("context",))
        own = (adata.obs["context"].astype(str) == context).to_numpy()
        if not own.any():
            raise DataError(f"No cell has context '{context}'; expected cells of the context to fine-tune on.")
        run = Run(self.config, self.config.finetune, self.seed, self.report, context, state, log)
        return self._train(self._loaders(adata[own]), run)

    def predict(
        self,
        adata: AnnData,
        *,
        perturbation: str | tuple[str, float],
        context: str,
        direction: Direction = "n2p",
        n_samples: int = 0,
        seed: int = 0,
    ) -> Float[np.ndarray, "draw gene"]:
        """Translate cells of one context into the other state.

        Parameters
        ----------
        adata
            Input cells [cell, gene]: controls for "n2p", perturbed cells for "p2n". obs column `batch` is used if
            there; other columns are not read.
        perturbation
            The perturbation to apply ("n2p") or to undo ("p2n"); with doses a pair (compound, dose in nM).
        context
            The cells' context. Its fine-tuned weights are used if there are any, else the pre-trained ones. A batch
            never trained on takes the mean embedding of its context's batches, an unknown context that of all.
        direction
            "n2p" (control → perturbed) or "p2n" (perturbed → control).
        n_samples
            0 decodes the latent means, once a draw; otherwise the number of latent samples decoded for each draw.
        seed
            Seeds the grouping of cells into draws and the latent samples.

        Returns
        -------
        Predicted expression [draw, gene] in the space of the training cells, sorted by batch; with n_samples > 0
        [draw × sample, gene], the samples of one draw next to each other. Every input cell is in exactly one draw.

        Raises
        ------
        UnknownPerturbation
            The model was not trained on this perturbation.
        DataError
            Other genes, no cells, or a dose missing or given where the model has none.
        """
        return self._predict(adata, (perturbation, context, direction), n_samples, seed)[0]

    def predict_draws(
        self,
        adata: AnnData,
        *,
        perturbation: str | tuple[str, float],
        context: str,
        direction: Direction = "n2p",
        seed: int = 0,
    ) -> tuple[Float[np.ndarray, "draw gene"], Int[np.ndarray, " draw"]]:
        """Return what `predict` does, from latent means, and how many cells each draw holds [draw].

        Draws keep to one batch, so they differ in size where batches do; a mean over draws that does not weigh them by
        their cells weighs a small batch too much, and its batch effect looks like a change.
        """
        return self._predict(adata, (perturbation, context, direction), 0, seed)

    def _predict(
        self, adata: AnnData, query: tuple[str | tuple[str, float], str, Direction], n_samples: int, seed: int
    ) -> tuple[Float[np.ndarray, "draw gene"], Int[np.ndarray, " draw"]]:
        perturbation, context, direction = query
        if direction not in get_args(Direction):
            raise ConfigError(f"direction is {direction!r}; expected 'n2p' or 'p2n'.")
        p, dose = self._perturbation(perturbation)
        rng = np.random.default_rng(seed)
        size = 1 if self.config.unit == "cell" else self.config.cells_per_draw
        x = vocabulary.expression(adata, self.vocabulary.genes)
        assignment, batches = query_draws(self._query_batches(adata, context), size, rng)
        generator = getattr(self._generators_for(context), direction)
        noise = torch.Generator().manual_seed(int(rng.integers(2**63)))
        with torch.no_grad():
            values = self._translate(
                generator,
                draws(assignment, x),
                self._condition(generator, (p, dose), context, batches),
                n_samples,
                noise,
            )
        return values, np.diff(assignment.indptr)

    def note(self, adata: AnnData, *, context: str) -> str:
        """Say what `predict` would fall back on for these cells; empty if the model knows their batches."""
        if not self.vocabulary.batches_of(context):
            return f"context '{context}' not trained on: mean embedding of all batches"
        unknown = int((self._query_batches(adata, context) < 0).sum())
        if not unknown:
            return ""
        return f"{unknown} of {adata.n_obs} cells in batches not trained on: mean embedding of the context's batches"

    def save(self, path: str | Path) -> None:
        """Write the pre-trained and fine-tuned weights, configuration and vocabulary into one file."""
        known = self.vocabulary
        generators, critics = self._networks()
        fine_tuned = {context: net.state_dict() for context, net in self._fine_tuned.items()}
        checkpoint.write(
            Path(path),
            checkpoint.Checkpoint(
                self.config, known, generators.state_dict(), critics.state_dict(), fine_tuned, self.seed
            ),
        )

    def load(self, path: str | Path) -> Self:
        """Restore what `save` wrote, configuration and seed included; the history is not saved.

        Raises
        ------
        CheckpointError
            Not a checkpoint of this package, damaged, or of another version.
        """
        stored = checkpoint.read(Path(path))
        self.config, self.seed, self.history = stored.config, stored.seed, []
        generators, critics = self._build(stored.vocabulary)
        generators.load_state_dict(stored.generators)
        critics.load_state_dict(stored.critics)
        self._fine_tuned = {}
        for context, weights in stored.fine_tuned.items():
            self._fine_tuned[context] = deepcopy(generators)
            self._fine_tuned[context].load_state_dict(weights)
        return self

    def _build(self, known: Vocabulary) -> tuple[Generators, Critics]:
        sizes = Sizes(len(known.genes), len(known.perturbations), len(known.batches), int(known.dosed))
        with seeded(self.seed, self.device):
            generators = Generators(sizes, self.config.model).to(self.device).eval()
            critics = Critics(sizes, self.config.model).to(self.device).eval()
        self._vocabulary, self._generators, self._critics = known, generators, critics
        return generators, critics

    def _networks(self) -> tuple[Generators, Critics]:
        if self._generators is None or self._critics is None:
            raise NotTrained("This model is not trained; call pretrain(cells) or load(path) first.")
        return self._generators, self._critics

    def _loaders(self, adata: AnnData) -> tuple[PairLoader, PairLoader]:
        cells = vocabulary.encode(adata, self.vocabulary)
        train, validation = training_pairs(cells, self.vocabulary, self.config, self.seed)
        return PairLoader(train, self.device), PairLoader(validation, self.device)

    def _train(self, loaders: tuple[PairLoader, PairLoader], run: Run) -> History:
        generators, critics = self._networks()
        if run.context is None:
            control, perturbed = loaders[0].means()
            generators.n2p.start_at(perturbed)
            generators.p2n.start_at(control)
        else:
            generators, critics = deepcopy(generators), deepcopy(critics)
        history = train_stage(generators, critics, *loaders, run)
        generators.eval()
        if run.context is not None:
            self._fine_tuned[run.context] = generators
        self.history.append(history)
        return history

    def _generators_for(self, context: str) -> Generators:
        return self._fine_tuned.get(context, self._networks()[0])

    def _perturbation(self, given: str | tuple[str, float]) -> tuple[int, list[float]]:
        name, dose = (given, None) if isinstance(given, str) else given
        index = self.vocabulary.perturbation_index(name)
        if self.vocabulary.dosed != (dose is not None):
            expected = "(name, dose in nM)" if self.vocabulary.dosed else "a name: the training cells have no doses"
            raise DataError(f"perturbation is {given!r}; expected {expected}.")
        if dose is not None and not (np.isfinite(dose) and dose > 0):
            raise DataError(f"The dose of '{name}' is {dose}; expected a positive number in nM.")
        return index, [] if dose is None else [float(np.log10(dose))]

    def _query_batches(self, adata: AnnData, context: str) -> Int[np.ndarray, " cell"]:
        """Index of each cell's batch; -1 where the model does not know it."""
        known = {self.vocabulary.batches[index][1]: index for index in self.vocabulary.batches_of(context)}
        if "batch" not in adata.obs:
            return np.full(adata.n_obs, -1)
        return np.array([known.get(name, -1) for name in adata.obs["batch"].astype(str)], dtype=np.int64)

    def _condition(
        self, generator: Generator, target: tuple[int, list[float]], context: str, batches: Int[np.ndarray, " draw"]
    ) -> Float[Tensor, "draw width"]:
        index, log_dose = target
        b = torch.from_numpy(batches).to(self.device)
        p = torch.full_like(b, index)
        dose = torch.tensor(log_dose, dtype=torch.float32, device=self.device).expand(len(b), -1)
        fallback = self.vocabulary.batches_of(context) or range(len(self.vocabulary.batches))
        mean = generator.condition.average(p, torch.tensor(list(fallback), device=self.device), dose)
        return torch.where((b < 0)[:, None], mean, generator.condition(p, b.clamp(min=0), dose))

    def _translate(
        self,
        generator: Generator,
        x: Float[np.ndarray, "draw gene"],
        condition: Float[Tensor, "draw width"],
        n_samples: int,
        noise: torch.Generator,
    ) -> Float[np.ndarray, "sample gene"]:
        source = torch.from_numpy(x).to(self.device).repeat_interleave(max(1, n_samples), dim=0)
        condition = condition.repeat_interleave(max(1, n_samples), dim=0)
        made = []
        for rows in torch.arange(len(source)).split(CHUNK):
            eps = torch.randn(len(rows), *generator.latent_shape, generator=noise).to(self.device)
            made.append(generator(source[rows], condition[rows], eps if n_samples else None).x_hat.cpu())
        return torch.cat(made).numpy()
