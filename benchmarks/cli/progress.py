"""Events of a run on the console: on a terminal a line for the whole run and one for each running model, else now and then a line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import progress
from rich.markup import escape
from rich.table import Column

from benchmarks.cli.console import console, say
from benchmarks.execution import events
from benchmarks.execution.memory import in_words

LINE_SECONDS = 60.0
"""Off a terminal, a running model has at most one line in so many seconds."""
MOST_NAMES = 4
"""Models left that are named; of more, only the number is shown."""
PREPARING, SCORING, WHOLE = "preparing", "scoring", "run"


@dataclass
class Remaining:
    """What a run has still to do, and about how long that takes.

    A training is taken to last as long as the mean of its model's other trainings that have ended, or as its model says while it
    trains, or else as the mean of the other models.
    """

    units: Counter[str] = field(default_factory=Counter)
    """Models of a training → number of such trainings that have not ended."""
    took: dict[str, list[float]] = field(default_factory=dict)
    """Models of a training → seconds of those that have ended."""
    at_a_time: int = 1
    """Most trainings that ran at the same time so far."""

    def end(self, models: str, seconds: float) -> None:
        """Count a training as ended."""
        self.units -= Counter([models])
        self.took.setdefault(models, []).append(seconds)

    def seconds(self, running: Sequence[tuple[str, float, float | None]]) -> float | None:
        """Estimate the seconds that are left; None where nothing is known yet.

        `running` are the models of each running training, the seconds that it has run, and those that its model says are left.
        """
        lasts = {models: sum(own) / len(own) for models, own in self.took.items()}
        for models, seconds, left in running:
            if left is not None:
                lasts.setdefault(models, seconds + left)
        if not lasts:
            return None
        others = sum(lasts.values()) / len(lasts)
        whole = sum(number * lasts.get(models, others) for models, number in self.units.items())
        done = sum(min(seconds, lasts.get(models, others)) for models, seconds, _ in running)
        return max(0.0, whole - done) / self.at_a_time

    def models(self) -> str:
        """Count the models that are left, and name them where they are few."""
        names = sorted({name for models in self.units for name in models.split(" + ")})
        which = f": {', '.join(names)}" if 0 < len(names) <= MOST_NAMES else ""
        number = "1 model" if len(names) == 1 else f"{len(names)} models"
        return f"{number} left{which}"


class Display(progress.Progress):
    """A watcher of runs that prints; a context manager."""

    def __init__(self) -> None:
        super().__init__(
            progress.TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            progress.BarColumn(bar_width=16),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
            progress.TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            console=console,
            expand=True,
            transient=True,
            disable=not console.is_terminal,
        )
        self.units = self.ended = 0
        self.stopped = False
        self.bars: dict[str, progress.Task] = {}
        self.running: dict[str, str] = {}
        """Name of each running training → its models."""
        self.remaining = Remaining()

    def __call__(self, event: events.Event) -> None:
        """Show one event; after an interruption, only what is saved."""
        if not self.stopped or isinstance(event, events.ScoringProgressed | events.RunStarted):
            self._show(event)

    def _show(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self._introduce(event)
            case events.Preparing(text):
                self._prepare(text)
            case events.UnitStarted(spec):
                self.running[spec.name] = _models(spec)
                self.remaining.at_a_time = max(self.remaining.at_a_time, len(self.running))
                self._start(spec.name, "starting")
                self._tell_remaining()
            case events.StageStarted(spec, stage):
                bar = self.bars[spec.name]  # time left is that of the stage: a proof trains again
                self.reset(bar.id, **{**bar.fields, "text": stage, "left": "", "seconds_left": None})
            case events.Progressed():
                self._count(event)
            case events.UnitFailed():
                say(event.traceback)
            case events.UnitEnded():
                self._end(event)
            case events.RunStopped():
                self._stop_all()
            case events.ScoringProgressed():
                self._score(event)

    def _introduce(self, event: events.RunStarted) -> None:
        plan, card = event.plan, event.plan.dataset.card
        self.units, self.ended, self.stopped = len(event.specs), 0, False
        self.remaining = Remaining(Counter(map(_models, event.specs)))
        _print(f"[bold]{escape(plan.suite.title)}[/]")
        cells = f"{len(plan.cells.obs):,} cells × {len(plan.cells.var_names):,} genes, {plan.space}"
        say(f"Data: {card.title} — {'SIMULATED' if card.source == 'simulated' else 'real cells'}; {cells}")
        asked = f"Protocol {plan.protocol}, {len(plan.splits)} fold(s), preset {plan.question.preset}"
        say(f"{asked}; results in {event.folder}")
        if event.specs:
            say(f"{self.units} training(s); on disk: about {in_words(event.disk)}B")
        if event.kept and event.specs:
            now = ", ".join(plan.baselines)
            say(f"Trained now, where need be: {now}. Kept in the tables as they are: {', '.join(event.kept)}")
        for note in plan.notes:
            _print(f"[yellow]{escape(note)}[/]")
        self._tell_remaining()

    def _prepare(self, text: str) -> None:
        if text and PREPARING in self.bars:
            self.update(self.bars[PREPARING].id, text=text)
            self._line(PREPARING, text)
        elif text:
            self._start(PREPARING, text)
            say(f"      {text}")
        elif PREPARING in self.bars:
            say(f"      {PREPARING}: {self._stop(PREPARING):.0f} s, not counted as training")

    def _count(self, event: events.Progressed) -> None:
        name, done, total = event.spec.name, event.done, event.total
        left = (self.bars[name].elapsed or 0.0) / done * max(0, total - done) if done else None
        self.update(
            self.bars[name].id, completed=done, total=total, text=event.text, left=_left(left), seconds_left=left
        )
        self._tell_remaining()
        self._line(name, ", ".join(filter(None, (f"{done} of {total}", _left(left), event.text))))

    def _end(self, event: events.UnitEnded) -> None:
        self.ended += 1
        name = event.spec.name
        seconds = self._stop(name)
        self.remaining.end(self.running.pop(name, _models(event.spec)), seconds)
        bad = [ending for ending in event.endings if ending.status != "ok"]
        mark = f"[yellow]{bad[0].status}[/] ({len(bad)} of {len(event.endings)})" if bad else "[green]done[/]"
        line = f"[{self.ended}/{self.units}] {escape(name)}: {mark} in {seconds:.1f} s"
        _print(line, end="  " if bad else "\n")
        if bad:
            say(bad[0].reason)
        self._tell_remaining()

    def _tell_remaining(self) -> None:
        """Show what is left of the whole run: on a terminal a line above all others, else now and then a line."""
        if not self.remaining.units:
            if WHOLE in self.bars:
                self._stop(WHOLE)
            return
        running = [
            (models, self._seconds(name), self.bars[name].fields["seconds_left"])
            for name, models in self.running.items()
        ]
        words, left = self.remaining.models(), _left(self.remaining.seconds(running))
        if WHOLE not in self.bars:
            self._start(WHOLE, words, self.units)
        self.update(self.bars[WHOLE].id, completed=self.ended, text=words, left=left)
        self._line(WHOLE, ", ".join(filter(None, (f"{self.ended} of {self.units} trainings", left, words))))

    def _stop_all(self) -> None:
        """Say that the run stops, and show nothing more of its trainings."""
        self.stopped = True
        for name in list(self.bars):
            self._stop(name)
        say(
            "Stopping: what was finished is scored and saved. Ctrl-C again stops at once; --resume makes the tables then."
        )

    def _score(self, event: events.ScoringProgressed) -> None:
        if event.done == 0:
            self._start(SCORING, event.text, event.total)
            if not console.is_terminal:
                say(f"      {SCORING}: {event.total} steps, then tables and figures")
        self.update(self.bars[SCORING].id, completed=event.done, text=event.text)

    def _line(self, name: str, text: str) -> None:
        """Off a terminal, print a line if the last one was long ago."""
        now, fields = time.monotonic(), self.bars[name].fields
        if not console.is_terminal and now - fields["last_line"] > LINE_SECONDS:
            fields["last_line"] = now
            say(f"      {name}: {text}")

    def _start(self, name: str, text: str, total: int | None = None) -> None:
        """Show a bar; one of the same name is replaced."""
        if name in self.bars:
            self._stop(name)
        now = time.monotonic()
        self.add_task(name, total=total, text=text, left="", seconds_left=None, last_line=now, started=now)
        self.bars[name] = self.tasks[-1]

    def _stop(self, name: str) -> float:
        """Remove a bar; returns its seconds."""
        seconds = self._seconds(name)
        self.remove_task(self.bars.pop(name).id)
        return seconds

    def _seconds(self, name: str) -> float:
        return time.monotonic() - float(self.bars[name].fields["started"])


def _models(spec: events.RunSpec) -> str:
    """Name the models of a training."""
    return " + ".join(dict.fromkeys(entry.model for entry in spec.sets))


def _left(seconds: float | None) -> str:
    """Write a time that is left; "" where it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"


def _print(text: str, end: str = "\n") -> None:
    """Print one line with markup, not wrapped."""
    console.print(text, end=end, highlight=False, soft_wrap=True)
