"""What commands print, and how they end: the shared console, and the exit statuses."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from benchmarks.errors import BenchmarkError

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
REFUSALS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY),
)
"""What a disk answers that is full, not writable or broken, or has a folder in the place of a file or a file in that of a
folder: never a fault of the program."""

SECONDS_TO_AGAIN = 0.1

console = Console()


def say(text: str, end: str = "\n") -> None:
    """Print a line as it is: no markup, no highlighting, not wrapped."""
    console.print(text, end=end, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def exit_statuses(interrupted: str) -> Iterator[None]:
    """End a command with 2 and the reason where its input is not usable, and with 130 where it is interrupted.

    `interrupted` says what is left after Ctrl-C, and how to go on.
    """
    with _interrupts() as came:
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            if came or isinstance(error, KeyboardInterrupt):
                say(f"Interrupted. {interrupted or 'Give the same command again.'}")
                raise typer.Exit(EXIT_INTERRUPTED) from error
            if isinstance(error, OSError) and error.errno in REFUSALS:
                _tell(
                    "StoreError",
                    f"{error.filename2 or error.filename or 'A file'} cannot be written or read: {error.strerror}. Free space, "
                    "remove what is in its place, or choose another folder.",
                )
                raise typer.Exit(EXIT_USAGE) from error
            if not isinstance(error, BenchmarkError):
                raise
            _tell(type(error).__name__, str(error))
            raise typer.Exit(EXIT_USAGE) from error


def _tell(kind: str, reason: str) -> None:
    """Print why a command ends; where the output is a file on a disk that is full, nothing more is printed."""
    try:
        console.print(f"[red]{kind}[/]: ", end="")
        say(reason)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries once more when it ends


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Take SIGTERM for Ctrl-C; yields a list that holds the signals that came.

    A library that calls Python from C may turn a `KeyboardInterrupt` into an error of its own, as pandas does in reading. Where
    it is raised while an object is deleted, Python drops it: then it is raised again. What Python says of objects that were
    left half made, such as an archive whose file is closed, is not printed once a signal came.
    """
    came: list[int] = []
    waiting: list[threading.Timer] = []

    def interrupt(number: int, frame: object) -> None:
        came.append(number)
        sys.unraisablehook = unraisable
        raise KeyboardInterrupt

    def unraisable(what: sys.UnraisableHookArgs) -> None:
        if isinstance(what.exc_value, KeyboardInterrupt):
            main = threading.main_thread().ident
            waiting.append(threading.Timer(SECONDS_TO_AGAIN, signal.pthread_kill, (main, came[-1])))
            waiting[-1].start()

    if threading.current_thread() is not threading.main_thread():  # which cannot handle signals
        yield came
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for timer in waiting:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def tell_failures(failures: int, status: int = EXIT_FAILED) -> None:
    """End a command with a status if conditions failed."""
    if failures:
        console.print(f"[red]{failures} condition(s) failed or timed out[/]; reasons are in scores.csv.")
        raise typer.Exit(status)
