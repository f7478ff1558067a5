"""Data-parallel training under torchrun: each process computes its share of every batch, and all take the same step.

Gradients are averaged, weighted by the shares, before they are clipped, so that the step is that of the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, distributed, nn

Value = TypeVar("Value")


@dataclass(frozen=True)
class Peers:
    """The processes that train one model together, seen from one of them."""

    rank: int = 0
    """This process."""
    world: int = 1
    """Number of processes."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that validates, reports and writes."""
        return self.rank == 0

    def share(self, rows: Int[np.ndarray, " row"]) -> Int[np.ndarray, " own"]:
        """Rows of a batch that are this process's: every `world`-th.

        A process whose share would be empty gets the first row, because a mean needs one; its `weight` is 0.
        """
        own = rows[self.rank :: self.world]
        return own if len(own) else rows[:1]

    def weight(self, n_rows: int) -> float:
        """Share of this process in a batch of `n_rows`; the weights of all processes add up to 1."""
        return len(range(self.rank, n_rows, self.world)) / n_rows

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Compute a value in the first process and give it to all."""
        values: list[Value | None] = [make() if self.first else None]
        if self.world > 1:
            distributed.broadcast_object_list(values)
        return values[0]  # type: ignore[return-value]

    def gather(self, value: Value) -> list[Value]:
        """Collect the values of all processes, in order of rank."""
        if self.world == 1:
            return [value]
        values: list[Value | None] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def same_start(self, nets: Sequence[nn.Module]) -> None:
        """Give all processes the first one's weights."""
        if self.world > 1:
            for net in nets:
                for weight in net.state_dict().values():
                    distributed.broadcast(weight, 0)


ALONE = Peers()
"""One process."""


class GradientMean:
    """Average of the processes' gradients; set `weight` to this process's share before each step."""

    def __init__(self, peers: Peers) -> None:
        self.peers, self.weight = peers, 1.0

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Replace the gradients by their weighted average over all processes."""
        flat = torch.cat([gradient.flatten() for gradient in gradients]).mul_(self.weight)
        self.peers.sum(flat)
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def current() -> Peers:
    """Processes this one trains with: those of the default process group, else none."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ALONE
    return Peers(distributed.get_rank(), distributed.get_world_size())


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes of torchrun, if any, inside a block; yields the device of this process ("cuda": by local rank)."""
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    on_cuda = torch.device(device).type == "cuda"
    own = f"cuda:{os.environ['LOCAL_RANK']}" if on_cuda else device
    if on_cuda:
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield own
    finally:
        distributed.destroy_process_group()
