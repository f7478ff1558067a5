"""Batches of pseudo-pairs on a device, whole or the share of one of several processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cycseq.devices import ALONE, Peers

CACHE_BYTES = 2**30
"""Draws up to this size are computed or read once and kept on the device; larger sets are computed or read batch by batch."""
CHUNK = 1024
"""Pairs read, written or translated at a time outside training."""
MEASURED = 1 << 16
"""Pairs, evenly spaced, that means and variance of the draws are measured on; all pairs where there are no more."""
Rows = Int[np.ndarray, " row"]


class PairBatch(NamedTuple):
    """Pseudo-pairs as tensors: what one training step reads."""

    control: Float[Tensor, "pair gene"]
    perturbed: Float[Tensor, "pair gene"]
    p: Int[Tensor, " pair"]
    b: Int[Tensor, " pair"]
    dose: Float[Tensor, "pair dose"]

    def sides(self, direction: str) -> tuple[Float[Tensor, "pair gene"], Float[Tensor, "pair gene"]]:
        """Input and target of a direction: control and perturbed draws for "n2p", the reverse for "p2n"."""
        return (self.control, self.perturbed) if direction == "n2p" else (self.perturbed, self.control)


class Source(Protocol):
    """Pseudo-pairs by row, from cells (`sampling.Pairs`) or from a file (`draw_store.StoredPairs`)."""

    @property
    def p(self) -> Int[np.ndarray, " pair"]:
        """Perturbation index of both draws."""

    @property
    def b(self) -> Int[np.ndarray, " pair"]:
        """(context, batch) index of both draws."""

    @property
    def dose(self) -> Float[np.ndarray, "pair dose"]:
        """log10 dose in nM of the perturbed draw; width 0 without doses."""

    def __len__(self) -> int:
        """Count the pairs."""

    @property
    def n_genes(self) -> int:
        """Genes of a draw."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the values: the same hash means the same pairs in the same order."""

    def take(self, rows: Rows) -> PairBatch:
        """Get some pairs, as tensors on the CPU."""

    def prefetch(self, rows: Rows) -> None:
        """Get ready for `take` of these pairs without waiting for them."""


class Statistics(NamedTuple):
    """Means and variance of the draws."""

    control: Float[Tensor, " gene"]
    """Mean control profile."""
    perturbed: Float[Tensor, " gene"]
    """Mean perturbed profile."""
    variance: float
    """Var(x) over all entries of all draws, both sides: one number."""


class PairLoader:
    """Serve batches of pairs; `statistics` may be given where they are known already.

    With `keep`, draws of up to `CACHE_BYTES` stay on the device.
    """

    def __init__(self, source: Source, device: str, statistics: Statistics | None = None, keep: bool = True) -> None:
        self.source, self.device, self._known = source, device, statistics
        keep = keep and 2 * 4 * len(source) * source.n_genes <= CACHE_BYTES
        self._kept = self._to_device(source.take(np.arange(len(source)))) if keep else None

    def __len__(self) -> int:
        return len(self.source)

    def epoch(
        self, batch_size: int, rng: np.random.Generator | None = None, peers: Peers = ALONE
    ) -> Iterator[PairBatch]:
        """Go through all pairs once, in random order if a generator is given; `peers` divide each batch."""
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
        return self._serve(order, batch_size, peers)

    @cached_property
    def statistics(self) -> Statistics:
        """Means, on the device, and variance of the draws."""
        control, perturbed, variance = self._known or measure(self._serve(measured(len(self)), CHUNK, ALONE))
        return Statistics(control.to(self.device), perturbed.to(self.device), variance)

    def _serve(self, order: Rows, batch_size: int, peers: Peers) -> Iterator[PairBatch]:
        for start in range(0, len(order), batch_size):
            rows = peers.share(order[start : start + batch_size])
            if self._kept is None:
                batch, following = self.source.take(rows), order[start + batch_size : start + 2 * batch_size]
                if len(following):
                    self.source.prefetch(peers.share(following))
                yield self._to_device(batch)
            else:
                index = torch.from_numpy(rows).to(self.device)
                yield PairBatch(*(part[index] for part in self._kept))

    def _to_device(self, batch: PairBatch) -> PairBatch:
        return PairBatch(*(part.to(self.device) for part in batch))


def measured(n_pairs: int) -> Rows:
    """Choose the pairs that statistics are measured on."""
    return np.linspace(0, n_pairs - 1, min(n_pairs, MEASURED)).round().astype(np.int64)


def measure(batches: Iterable[PairBatch]) -> Statistics:
    """Compute means and variance in one pass, in float64 on the CPU: some devices have none."""
    sums, squares, n_pairs = [torch.zeros((), dtype=torch.float64)] * 2, 0.0, 0
    for batch in batches:
        for side, draws in enumerate((batch.control, batch.perturbed)):
            values = draws.cpu().double()
            sums[side] = sums[side] + values.sum(dim=0)
            squares += values.square().sum().item()
        n_pairs += len(batch.p)
    control, perturbed = (total / n_pairs for total in sums)
    mean = (control.mean() + perturbed.mean()).item() / 2
    variance = squares / (2 * n_pairs * len(control)) - mean**2
    return Statistics(control.float(), perturbed.float(), max(variance, torch.finfo(torch.float32).tiny))
