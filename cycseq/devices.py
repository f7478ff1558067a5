"""Where training computes: devices, their random generators, and the processes of torchrun.

Each process computes its share of every batch, and all take the same step: gradients are averaged, weighted by the shares,
before they are clipped, so that the step is that of the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, distributed, nn

from cycseq.errors import ConfigError

Value = TypeVar("Value")
RandomState = Mapping[str, Tensor]
"""State of torch's global generators by kind of device: "cpu" and, where another device is used, its own."""


def resolve(device: str) -> str:
    """Name a device: "auto" is CUDA where there is one, else MPS, else the CPU; raises `ConfigError` if it is not there."""
    if device != "auto":
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise ConfigError(
                f"device is {device!r}, which this machine does not have; expected auto, cpu, cuda or mps."
            ) from error
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def random_state(device: str) -> dict[str, Tensor]:
    """Read the global generators that computing on a device uses."""
    states, given = {"cpu": torch.get_rng_state()}, torch.device(device)
    if given.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(given)
    elif given.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: RandomState, device: str) -> None:
    """Put the global generators back to what `random_state` read."""
    torch.set_rng_state(states["cpu"])
    given = torch.device(device)
    if given.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], given)
    elif given.type == "mps":
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch's global generators inside a block, for weights and dropout; their state outside is not touched."""
    before = random_state(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(before, device)


@dataclass(frozen=True)
class Peers:
    """The processes that train one model together, seen from one of them."""

    rank: int = 0
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
