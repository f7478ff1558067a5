"""Devices and their random generators: the same code for the CPU, CUDA and MPS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from cycseq.errors import ConfigError

RandomState = Mapping[str, Tensor]
"""State of torch's global generators by kind of device: "cpu" and, where another device is used, its own."""


def resolve(device: str) -> str:
    """Name a device: "auto" is CUDA where there is one, else MPS, else the CPU.

    Raises
    ------
    ConfigError
        torch knows no such device, or this machine has none.
    """
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
