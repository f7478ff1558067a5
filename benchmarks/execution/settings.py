"""How a run is executed. Nothing here changes a result, and nothing here is part of a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Execution:
    """Where and with how much of the machine the trainings of a run are done."""

    executor: str = "process"
    """Name of a module of `benchmarks/execution/executors`."""
    jobs: int = 1
    """Trainings at a time."""
    threads: int = 1
    """Threads of each training, and of scoring."""
    device: str = "cpu"
    """Torch device: "cpu", "mps", "cuda" or "cuda:N"."""
    timeout: float | None = None
    """Seconds after which one `fit` or one `predict` is ended; None: never."""
    figures: bool = True
    data_dir: Path | None = None
    """Folder with local copies of data files."""
