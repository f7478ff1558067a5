"""The command that asks a question again, as `cycseq-bench run` takes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import fields

from benchmarks.data.own_file import OwnFile
from benchmarks.execution.executor import Execution
from benchmarks.tasks.question import Question

_OPTIONS = {"directions": "direction", "base_seed": "seed", "plugins": "plugin", "settings": "set"}
"""Field of a question → its option, where the name is another."""
_OWN_OPTIONS = {
    "path": "h5ad",
    "perturbation": "perturbation-key",
    "context": "context-key",
    "batch": "batch-key",
    "dose": "dose-key",
}
_REPEATED = ("plugins", "control")
"""Fields whose option is given once for each value; other lists are joined with commas."""
_EXECUTION = ("device", "timeout", "prove", "keep_predictions", "data_dir")
"""Fields of `Execution` that a result may depend on, or that say what a run leaves behind."""


def command_of(question: Question, execution: Execution) -> str:
    """Write the command that asks a question again: options that are the default are left out."""
    words = ["cycseq-bench", "run", "--suite", question.suite]
    for field in fields(question):
        value = getattr(question, field.name)
        if field.name == "suite" or value == getattr(Question(""), field.name):
            continue
        if isinstance(value, OwnFile):
            words += _own(value)
        elif field.name == "settings":
            words += [w for m, own in value.items() for k, v in own.items() for w in ("--set", f"{m}.{k}={_json(v)}")]
        else:
            words += _option(_OPTIONS.get(field.name, field.name), value, repeated=field.name in _REPEATED)
    for name in _EXECUTION:
        value = getattr(execution, name)
        if value not in (None, False, "cpu"):
            words += _option(name, value)
    return shlex.join(words)


def _own(own: OwnFile) -> Iterator[str]:
    for field in fields(own):
        value = getattr(own, field.name)
        if field.name in ("path", "perturbation") or value != field.default:
            yield from _option(_OWN_OPTIONS.get(field.name, field.name), value, repeated=field.name in _REPEATED)


def _option(name: str, value: object, *, repeated: bool = False) -> list[str]:
    option = "--" + name.replace("_", "-")
    if value is True:
        return [option]
    if isinstance(value, tuple):
        return [word for one in value for word in (option, str(one))] if repeated else [option, ",".join(value)]
    return [option, str(value)]


def _json(value: object) -> str:
    """Write a setting so that `--set` reads it back: text as it is, unless it would be read as JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value)
