"""Events of a run on the console: bars with time left on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from functools import singledispatchmethod
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks.execution.events import (
    Event,
    Preparing,
    Progressed,
    RunStarted,
    ScoringProgressed,
    StageStarted,
    UnitEnded,
    UnitFailed,
    UnitStarted,
)

LINE_SECONDS = 60.0
"""Off a terminal, a running model has at most one line in so many seconds."""


class Display:
    """A watcher of runs that prints; a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.units = self.ended = 0
        self.started: dict[str, float] = {}
        self.last_line: dict[str, float] = {}
        self.bars: dict[str, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        self._show(event)

    @singledispatchmethod
    def _show(self, event: Event) -> None:
        raise TypeError(f"{type(event).__name__} is no event.")

    @_show.register
    def _(self, event: RunStarted) -> None:
        plan, card = event.plan, event.plan.dataset.card
        self.units, self.ended = event.units, 0
        self._print(f"[bold]{plan.suite.title}[/]")
        self._print(
            f"Data: {card.title} — {'SIMULATED' if card.source == 'simulated' else 'real cells'}; "
            f"{plan.cells.n_obs:,} cells × {plan.cells.n_vars:,} genes, {plan.space}"
        )
        self._print(
            f"Protocol {plan.protocol}, {len(plan.splits)} fold(s), preset {plan.question.preset}; results in {event.folder}"
        )
        for warning in plan.dataset.warnings:
            self._print(f"[yellow]{warning}[/]")

    @_show.register
    def _(self, event: Preparing) -> None:
        name = "environment"
        if not event.text:
            seconds = self._stop(name)
            if seconds is not None:
                self._print(f"      {name}: {seconds:.0f} s, not counted as training")
        elif name not in self.bars:
            self._start(name, event.text)
            self.console.print(f"      {event.text}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._update(name, event.text)

    @_show.register
    def _(self, event: UnitStarted) -> None:
        self._start(event.spec.name, "starting")

    @_show.register
    def _(self, event: StageStarted) -> None:
        self.progress.update(self.bars[event.spec.name], text=event.stage)

    @_show.register
    def _(self, event: Progressed) -> None:
        name, done, total = event.spec.name, event.done, event.total
        self.progress.update(self.bars[name], completed=done, total=total, text=event.text)
        if done:
            left = (time.monotonic() - self.started[name]) / done * max(0, total - done)
            self._update(name, f"{done} of {total}, {event.text}; about {left / 60:.0f} min left", bar=False)

    @_show.register
    def _(self, event: UnitFailed) -> None:
        self.console.print(event.traceback, markup=False, highlight=False, soft_wrap=True)

    @_show.register
    def _(self, event: UnitEnded) -> None:
        self.ended += 1
        seconds = self._stop(event.spec.name)
        bad = [ending for ending in event.endings if ending.status != "ok"]
        mark = f"[yellow]{bad[0].status}[/] ({len(bad)} of {len(event.endings)})" if bad else "[green]done[/]"
        self._print(
            f"[{self.ended}/{self.units}] {event.spec.name}: {mark} in {seconds:.1f} s", bad[0].reason if bad else ""
        )

    @_show.register
    def _(self, event: ScoringProgressed) -> None:
        name = "scoring"
        if event.done == 0:
            self._stop(name)
            self._start(name, event.text, event.total)
            if not self.console.is_terminal:
                self._print(f"      {name}: {event.total} steps, then tables and figures")
        self.progress.update(self.bars[name], completed=event.done, text=event.text)

    def _print(self, text: str, reason: str = "") -> None:
        """Print one line with markup; a reason behind it is printed as it is."""
        self.console.print(text, end="  " if reason else "\n", highlight=False, soft_wrap=True)
        if reason:
            self.console.print(reason, markup=False, highlight=False, soft_wrap=True)

    def _start(self, name: str, text: str, total: int | None = None) -> None:
        self.started[name] = self.last_line[name] = time.monotonic()
        self.bars[name] = self.progress.add_task(name, total=total, text=text)

    def _update(self, name: str, text: str, *, bar: bool = True) -> None:
        """Show a text at the bar and, off a terminal, on a line if the last one was long ago."""
        now = time.monotonic()
        if bar:
            self.progress.update(self.bars[name], text=text)
        if not self.console.is_terminal and now - self.last_line[name] > LINE_SECONDS:
            self.last_line[name] = now
            self.console.print(f"      {name}: {text}", markup=False, highlight=False)

    def _stop(self, name: str) -> float | None:
        """Remove a bar; returns its seconds, or None if there was none."""
        if name not in self.bars:
            return None
        self.progress.remove_task(self.bars.pop(name))
        return time.monotonic() - self.started.pop(name)
