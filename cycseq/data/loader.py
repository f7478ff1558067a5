"""Batches of pseudo-pairs on a device, whole or the share of one of several processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cycseq.data.sampling import PairBatch, Source
from cycseq.parallel import ALONE, Peers

CACHE_BYTES = 2**30
"""Draws up to this size are computed or read once and kept on the device; larger sets are computed or read batch by batch."""
CHUNK = 1024
"""Pairs read, written or translated at a time outside training."""


class Statistics(NamedTuple):
    """Means and variance of the draws."""

    control: Float[Tensor, " gene"]
    """Mean control profile."""
    perturbed: Float[Tensor, " gene"]
    """Mean perturbed profile."""
    variance: float
    """Var(x) over all entries of all draws, both sides: one number."""


class PairLoader:
    """Batches of pseudo-pairs, shuffled over all pairs where a generator is given.

    Parameters
    ----------
    source
        Where the pairs come from.
    device
        Where the batches go.
    statistics
        Statistics of the draws where they are known already; None computes them on first use.
    keep
        Whether draws of up to `CACHE_BYTES` are kept on the device.
    """

    def __init__(self, source: Source, device: str, statistics: Statistics | None = None, keep: bool = True) -> None:
        self.source, self.device, self._known = source, device, statistics
        n_bytes = 2 * 4 * len(source) * source.n_genes
        keep = keep and n_bytes <= CACHE_BYTES
        self._kept = self._to_device(source.take(np.arange(len(source)))) if keep else None

    def __len__(self) -> int:
        return len(self.source)

    def epoch(
        self, batch_size: int, rng: np.random.Generator | None = None, peers: Peers = ALONE
    ) -> Iterator[PairBatch]:
        """Go through all pairs once, in random order if a generator is given; `peers` divide each batch."""
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
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

    @cached_property
    def statistics(self) -> Statistics:
        """Means and variance of all draws."""
        return self._known or measure(self)

    def means(self) -> tuple[Float[Tensor, " gene"], Float[Tensor, " gene"]]:
        """Mean control and mean perturbed profile over all draws."""
        return self.statistics.control.to(self.device), self.statistics.perturbed.to(self.device)

    def variance(self) -> float:
        """Var(x) over all entries of all draws, both sides: one number."""
        return self.statistics.variance

    def _to_device(self, batch: PairBatch) -> PairBatch:
        return PairBatch(*(part.to(self.device) for part in batch))


class Sums:
    """Running sums of draws, in float64 on the CPU: some devices have none."""

    def __init__(self, n_genes: int) -> None:
        self.control, self.perturbed = (torch.zeros(n_genes, dtype=torch.float64) for _ in range(2))
        self.squares, self.n_pairs = 0.0, 0

    def add(self, batch: PairBatch) -> None:
        """Add some pairs."""
        for side, total in ((batch.control, self.control), (batch.perturbed, self.perturbed)):
            values = side.cpu().double()
            total += values.sum(dim=0)
            self.squares += values.square().sum().item()
        self.n_pairs += len(batch.p)

    def statistics(self) -> Statistics:
        """Means and variance of all pairs added so far."""
        control, perturbed = self.control / self.n_pairs, self.perturbed / self.n_pairs
        mean = (control.mean() + perturbed.mean()).item() / 2
        variance = self.squares / (2 * self.n_pairs * len(control)) - mean**2
        return Statistics(control.float(), perturbed.float(), max(variance, torch.finfo(torch.float32).tiny))


def measure(loader: PairLoader) -> Statistics:
    """Compute means and variance in one pass."""
    sums = Sums(loader.source.n_genes)
    for batch in loader.epoch(CHUNK):
        sums.add(batch)
    return sums.statistics()
