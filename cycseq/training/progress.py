"""Progress of a stage: a line per epoch for the caller, and figures for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cycseq.errors import ConfigError
from cycseq.training.history import History

Reporter = Callable[[int, int, str], None]
"""Called once per epoch with (epochs done, most epochs, text)."""


def time_left(done: int, total: int, elapsed: float) -> str:
    """Format progress: "epoch 12/100, 1.3 s an epoch, 2 min left".

    Parameters
    ----------
    done, total
        Epochs that ran and most epochs that may run; early stopping can end training sooner.
    elapsed
        Seconds that the epochs took together.
    """
    if not done:
        return f"epoch 0/{total}"
    each = elapsed / done
    return f"epoch {done}/{total}, {duration(each)} an epoch, {duration(each * (total - done))} left"


def duration(seconds: float) -> str:
    """Format a time: "0.4 s", "34 s", "12 min", "3.5 h"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"


def line(history: History, total: int) -> str:
    """Summarise the last epoch: time left, validation errors and those of copying the input."""
    last, copy = history.epochs[-1], history.references.copy
    errors = last.validation.errors
    return (
        f"{history.name}: {time_left(last.number, total, last.seconds)}; validation error "
        f"n2p {errors.n2p:.4f} (copy {copy.n2p:.4f}), p2n {errors.p2n:.4f} (copy {copy.p2n:.4f})"
    )


@contextmanager
def watching(report: Reporter, total: int, log: Path | None, first_epoch: int) -> Iterator[Callable[[History], None]]:
    """Open the TensorBoard log, if there is one, and yield a function that publishes the last epoch of a history.

    Parameters
    ----------
    report, total
        Called after each epoch but epoch 0, with the most epochs that may run.
    log
        Folder of the log; None writes none.
    first_epoch
        First epoch to be recorded: records of an interrupted training from there on are hidden.

    Raises
    ------
    ConfigError
        TensorBoard is not installed.
    """
    writer = None
    if log is not None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                f"A log folder is given ('{log}'), but TensorBoard is not installed ({error}). Install the extra "
                "'tensorboard' of this package (pip install '.[tensorboard]'), or give no log folder."
            ) from error
        writer = SummaryWriter(str(log), purge_step=first_epoch)

    def publish(history: History) -> None:
        number = history.epochs[-1].number
        if writer is not None:
            for name, value in history.table().iloc[-1].drop(["epoch", "kept"]).items():
                writer.add_scalar(f"{history.name}/{name}".replace(" ", "_"), float(value), number)
            writer.flush()
        if number:
            report(number, total, line(history, total))

    try:
        yield publish
    finally:
        if writer is not None:
            writer.close()
