"""What a stage tells while it trains: a line an epoch, and figures for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cycseq.errors import ConfigError
from cycseq.training.history import History

Recorder = Callable[[History], None]


def time_left(done: int, total: int, elapsed: float) -> str:
    """Say how far training is: "epoch 12/100, 1.3 s an epoch, 2 min left".

    Parameters
    ----------
    done, total
        Epochs that ran and most epochs that may run; early stopping can end it sooner.
    elapsed
        Seconds the epochs that ran took together.
    """
    if not done:
        return f"epoch 0/{total}"
    each = elapsed / done
    return f"epoch {done}/{total}, {duration(each)} an epoch, {duration(each * (total - done))} left"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it: "0.4 s", "34 s", "12 min", "3.5 h"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"


def line(history: History, total: int) -> str:
    """Sum up the last epoch: time left, validation errors and what copying the input gives."""
    last, copy = history.epochs[-1], history.references.copy
    errors = last.validation.errors
    return (
        f"{history.name}: {time_left(last.number, total, last.seconds)}; validation error "
        f"n2p {errors.n2p:.4f} (copy {copy.n2p:.4f}), p2n {errors.p2n:.4f} (copy {copy.p2n:.4f})"
    )


@contextmanager
def recording(folder: Path | None, first_epoch: int) -> Iterator[Recorder]:
    """Open a TensorBoard log for the time of a block.

    Parameters
    ----------
    folder
        Where the log goes; None records nothing.
    first_epoch
        Epoch the records start with: what an interrupted training recorded from there on is hidden.

    Yields
    ------
    A function that records the last epoch of a history: every numeric column of its table.

    Raises
    ------
    ConfigError
        TensorBoard is not installed.
    """
    if folder is None:
        yield lambda history: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            f"A log folder is given ('{folder}'), but TensorBoard is not installed ({error}). Install the extra "
            "'tensorboard' of this package (pip install '.[tensorboard]'), or give no log folder."
        ) from error
    with SummaryWriter(str(folder), purge_step=first_epoch) as writer:

        def record(history: History) -> None:
            for name, value in history.table().iloc[-1].drop(["epoch", "kept"]).items():
                writer.add_scalar(f"{history.name}/{name}".replace(" ", "_"), float(value), history.epochs[-1].number)
            writer.flush()

        yield record
