"""What a person sees while models run: one bar a worker with time left, one line a finished model."""

from __future__ import annotations

import time
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

from benchmarks.execution import prediction_store
from benchmarks.execution.worker import Job

LINE_SECONDS = 60.0
"""Off a terminal, a line on each running model at most this often."""


class Display:
    """Watcher of `pool.run_jobs`; on a terminal it draws bars, elsewhere it prints a line now and then."""

    def __init__(self, console: Console, n_jobs: int) -> None:
        self.console = console
        self.n_jobs = n_jobs
        self.ended = 0
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

    def __call__(self, job: Job, message: tuple) -> None:
        """Take one message of a worker."""
        if message[0] == "environment":
            self._environment(message[1])
        elif message[0] == "start":
            self.started[job.key] = time.monotonic()
            self.bars[job.key] = self.progress.add_task(_name(job), total=None, text="starting")
        elif message[0] == "stage":
            self.progress.update(self.bars[job.key], text=message[1])
        elif message[0] == "progress":
            self.progress.update(self.bars[job.key], completed=message[1], total=message[2], text=message[3])
            self._line(job, *message[1:])
        elif message[0] == "end":
            self._finish(job)

    def _environment(self, text: str) -> None:
        """Say what is done to make an environment; the empty text says that it is made, or cannot be."""
        now, name = time.monotonic(), "environment"
        if text and name not in self.started:
            self.started[name] = self.last_line[name] = now
            self.bars[name] = self.progress.add_task(name, total=None, text=text)
            self.console.print(f"      {text}", markup=False, highlight=False, soft_wrap=True)
        elif text:
            self.progress.update(self.bars[name], text=text)
            if not self.console.is_terminal and now - self.last_line[name] > LINE_SECONDS:
                self.last_line[name] = now
                self.console.print(f"      {name}: {text}", markup=False, highlight=False)
        elif name in self.started:
            self.progress.remove_task(self.bars.pop(name))
            seconds = now - self.started.pop(name)
            self.console.print(f"      {name}: {seconds:.0f} s, not counted as training", highlight=False)

    def scoring(self, done: int, total: int, text: str) -> None:
        """Say how far scoring is; off a terminal, that it has begun."""
        if done == 0:
            self.bars["scoring"] = self.progress.add_task("scoring", total=total, text=text)
            if not self.console.is_terminal:
                self.console.print(f"      scoring: {total} steps, then tables and figures", highlight=False)
        self.progress.update(self.bars["scoring"], completed=done, text=text)

    def _line(self, job: Job, done: int, total: int, text: str) -> None:
        """Print where a model is and how long it will take, if nobody sees the bars and it was not said lately."""
        now, start = time.monotonic(), self.started[job.key]
        if self.console.is_terminal or not done or now - self.last_line.get(job.key, start) < LINE_SECONDS:
            return
        self.last_line[job.key] = now
        left = (now - start) / done * max(0, total - done)
        self.console.print(
            f"      {_name(job)}: {done} of {total}, {text}; about {left / 60:.0f} min left", highlight=False
        )

    def _finish(self, job: Job) -> None:
        self.ended += 1
        self.progress.remove_task(self.bars.pop(job.key))
        seconds = time.monotonic() - self.started.pop(job.key)
        states = [e for t in job.tasks if (o := prediction_store.get_outcome(t.folder(job.run))) for e in o.endings]
        bad = [e for e in states if e.status != "ok"]
        mark = "[green]done[/]" if not bad else f"[yellow]{bad[0].status}[/] ({len(bad)} of {len(states)})"
        why = f"  {bad[0].reason}" if bad else ""
        self.console.print(
            f"[{self.ended}/{self.n_jobs}] {_name(job)}: {mark} in {seconds:.1f} s{why}",
            highlight=False,
            soft_wrap=True,
        )


def _name(job: Job) -> str:
    task = job.tasks[0]
    models = " + ".join(dict.fromkeys(t.model for t in job.tasks))
    return f"{models} ({', '.join(dict.fromkeys(t.direction for t in job.tasks))}), fold {task.fold}, seed {task.seed}"
