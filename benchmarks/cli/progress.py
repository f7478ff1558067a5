"""Events of a run on the console: bars with time left on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time

from rich import progress
from rich.markup import escape

from benchmarks.cli.console import console, say
from benchmarks.execution import events
from benchmarks.execution.memory import in_words

LINE_SECONDS = 60.0
"""Off a terminal, a running model has at most one line in so many seconds."""
PREPARING, SCORING = "preparing", "scoring"


class Display(progress.Progress):
    """A watcher of runs that prints; a context manager."""

    def __init__(self) -> None:
        super().__init__(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[text]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.units = self.ended = 0
        self.bars: dict[str, progress.Task] = {}

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.RunStarted():
                self._introduce(event)
            case events.Preparing(text):
                self._prepare(text)
            case events.UnitStarted(spec):
                self._start(spec.name, "starting")
            case events.StageStarted(spec, stage):
                bar = self.bars[spec.name]  # time left is that of the stage: a proof trains again
                self.reset(bar.id, **{**bar.fields, "text": stage})
            case events.Progressed():
                self._count(event)
            case events.UnitFailed():
                say(event.traceback)
            case events.UnitEnded():
                self._end(event)
            case events.ScoringProgressed():
                self._score(event)

    def _introduce(self, event: events.RunStarted) -> None:
        plan, card = event.plan, event.plan.dataset.card
        self.units, self.ended = event.units, 0
        _print(f"[bold]{plan.suite.title}[/]")
        cells = f"{len(plan.cells.obs):,} cells × {len(plan.cells.var_names):,} genes, {plan.space}"
        _print(f"Data: {card.title} — {'SIMULATED' if card.source == 'simulated' else 'real cells'}; {cells}")
        asked = f"Protocol {plan.protocol}, {len(plan.splits)} fold(s), preset {plan.question.preset}"
        _print(f"{asked}; results in {event.folder}")
        if event.units:
            _print(f"On disk: about {in_words(event.disk)}B")
        if event.kept:
            now = ", ".join(plan.baselines)
            _print(f"Trained now, where need be: {now}. Kept in the tables as they are: {', '.join(event.kept)}")
        for note in plan.notes:
            _print(f"[yellow]{escape(note)}[/]")

    def _prepare(self, text: str) -> None:
        if text and PREPARING in self.bars:
            self.update(self.bars[PREPARING].id, text=text)
            self._line(PREPARING, text)
        elif text:
            self._start(PREPARING, text)
            say(f"      {text}")
        elif PREPARING in self.bars:
            _print(f"      {PREPARING}: {self._stop(PREPARING):.0f} s, not counted as training")

    def _count(self, event: events.Progressed) -> None:
        name, done, total = event.spec.name, event.done, event.total
        self.update(self.bars[name].id, completed=done, total=total, text=event.text)
        if done:
            left = (self.bars[name].elapsed or 0.0) / done * max(0, total - done)
            self._line(name, f"{done} of {total}, {event.text}; about {left / 60:.0f} min left")

    def _end(self, event: events.UnitEnded) -> None:
        self.ended += 1
        seconds = self._stop(event.spec.name)
        bad = [ending for ending in event.endings if ending.status != "ok"]
        mark = f"[yellow]{bad[0].status}[/] ({len(bad)} of {len(event.endings)})" if bad else "[green]done[/]"
        line = f"[{self.ended}/{self.units}] {event.spec.name}: {mark} in {seconds:.1f} s"
        _print(line, end="  " if bad else "\n")
        if bad:
            say(bad[0].reason)

    def _score(self, event: events.ScoringProgressed) -> None:
        if event.done == 0:
            self._start(SCORING, event.text, event.total)
            if not console.is_terminal:
                _print(f"      {SCORING}: {event.total} steps, then tables and figures")
        self.update(self.bars[SCORING].id, completed=event.done, text=event.text)

    def _line(self, name: str, text: str) -> None:
        """Off a terminal, print a line if the last one was long ago."""
        now, fields = time.monotonic(), self.bars[name].fields
        if not console.is_terminal and now - fields["last_line"] > LINE_SECONDS:
            fields["last_line"] = now
            console.print(f"      {name}: {text}", markup=False, highlight=False)

    def _start(self, name: str, text: str, total: int | None = None) -> None:
        """Show a bar; one of the same name is replaced."""
        if name in self.bars:
            self._stop(name)
        now = time.monotonic()
        self.add_task(name, total=total, text=text, last_line=now, started=now)
        self.bars[name] = self.tasks[-1]

    def _stop(self, name: str) -> float:
        """Remove a bar; returns its seconds."""
        bar = self.bars.pop(name)
        self.remove_task(bar.id)
        return time.monotonic() - float(bar.fields["started"])


def _print(text: str, end: str = "\n") -> None:
    """Print one line with markup, not wrapped."""
    console.print(text, end=end, highlight=False, soft_wrap=True)
