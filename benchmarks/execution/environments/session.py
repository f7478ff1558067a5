"""What a process in a model's own environment does: it builds one plugin's predictor, and asks it what the harness asks."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from benchmarks.contract import Prediction
from benchmarks.errors import ContractError, StoreError, Unsupported, explain
from benchmarks.execution.environments.unit_files import get_query, get_train, put_answer
from benchmarks.registry import from_file


class Session:
    """One predictor, and the line to the harness."""

    def __init__(self, answers: IO[str]) -> None:
        self.answers = answers
        self.predictor: Any = None
        self.requests: dict[str, Callable[..., object]] = {
            "build": self.build,
            "fit": self.fit,
            "predict": self.predict,
            "save": self.save,
            "load": self.load,
        }

    def answer(self, request: dict[str, Any]) -> None:
        """Do what is asked; answer with what it gave, or with why it failed."""
        try:
            given = self.requests[request.pop("do")](**request)
        except (Unsupported, ContractError, StoreError) as error:
            self.say(refused=type(error).__name__, text=str(error))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the harness makes it a row
            self.say(refused="", text=explain(error))
        else:
            self.say(done=given, peak_memory_mb=peak_memory_mb())

    def say(self, **words: object) -> None:
        """Send one line to the harness."""
        self.answers.write(json.dumps(words) + "\n")
        self.answers.flush()

    def report(self, done: int, total: int, text: str = "") -> None:
        """Tell the harness how far training is."""
        self.say(progress=[int(done), int(total), str(text)])

    def build(self, plugin: str, name: str, settings: dict[str, Any]) -> None:
        """Import the plugin's file and build its predictor."""
        record = next(r for r in from_file(Path(plugin)) if r.name == name)
        self.predictor = record.build(**settings)

    def fit(self, train: str, seed: int) -> None:
        """Train on the cells in a folder."""
        self.predictor.fit(get_train(Path(train), self.report), seed=seed)

    def predict(self, query: str, answer: str) -> str:
        """Answer the query in a folder; returns the type of what the plugin gave, which is written if it is right."""
        prediction = self.predictor.predict(get_query(Path(query)))
        if isinstance(prediction, Prediction):
            put_answer(prediction, Path(answer))
        return type(prediction).__name__

    def save(self, folder: str) -> None:
        """Have the predictor saved."""
        self.predictor.save(Path(folder))

    def load(self, folder: str) -> None:
        """Have the predictor restored."""
        self.predictor.load(Path(folder))


def peak_memory_mb() -> float:
    """Peak resident memory of this process and the largest of its children, in MB."""
    scale = 1e6 if sys.platform == "darwin" else 1e3
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage also counts what the process was before it became this program
        own = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return (own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / scale
