"""The registry of predictors: a function over files, not state. Listing it imports nothing heavy.

Files of `baselines/` are the project's own and are imported in this process. A plugin file, or an entry point of another
package, is imported in a child process, which sends its records; here their `build` is an `OutsideBuild`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import baselines
from benchmarks import errors
from benchmarks.child_processes import start_child
from benchmarks.confinement import confine, keep_scratch_in
from benchmarks.contract import Baseline, Can, Predictor
from benchmarks.errors import BenchmarkError, PluginError, UnknownName, explain

ENTRY_POINTS = "cycseq.baselines"
FOLDER = Path(next(iter(baselines.__path__))).resolve()
"""Folder of the built-in predictors."""
TEMPLATE = FOLDER / "_template.py"
"""The predictor that users copy."""


def find(name: str, plugins: Sequence[Path] = (), given: Sequence[Baseline] = ()) -> Baseline:
    """Look one predictor up, as `find_all` does."""
    return find_all([name], plugins, given)[name]


def find_all(names: Iterable[str], plugins: Sequence[Path] = (), given: Sequence[Baseline] = ()) -> dict[str, Baseline]:
    """Look predictors up by their names on the leaderboard, among the built-in ones, those of plugin files, and those `given`.

    Each plugin file is imported once. Raises `UnknownName` (with the nearest name), or `PluginError` for a plugin that cannot
    be used.
    """
    known = available(plugins, given)
    found: dict[str, Baseline] = {}
    for name in names:
        if name not in known:
            raise UnknownName("model", name, known)
        found[name] = known[name]
    return found


@dataclass(frozen=True)
class OutsideBuild:
    """`build` of a predictor that is not the project's own: it imports the plugin only when it is called."""

    origin: str
    """Plugin file, or "module:attribute" of an entry point."""
    name: str
    parameters: tuple[str, ...]
    """Names of the settings."""

    def __call__(self, **settings: object) -> Predictor:
        """Import the plugin in this process, and build the predictor."""
        return load(self.origin, self.name).build(**settings)


def available(plugins: Sequence[Path] = (), given: Sequence[Baseline] = ()) -> dict[str, Baseline]:
    """Name → record of every predictor: built in, from `--plugin` files, from entry points `cycseq.baselines`, and `given`."""
    found: dict[str, tuple[Baseline, str]] = {}
    for path in (*sorted(FOLDER.glob("[!_]*.py")), *plugins):
        _add(found, from_file(path), str(path.resolve()))
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        _add(found, _described(entry.value), f"entry point {entry.value}")
    for record in given:
        _add(found, (record,), "a model that is given as an object")
    return {name: record for name, (record, _) in sorted(found.items())}


def from_file(path: Path) -> tuple[Baseline, ...]:
    """Return the records of a plugin file, which is imported in a child unless it is in `FOLDER`; raises `PluginError`."""
    if not path.is_file() or path.suffix != ".py":
        raise PluginError(f"Plugin {path} does not exist or is no .py file; give a file like baselines/_template.py.")
    path = path.resolve()
    return load_all(str(path)) if path.parent == FOLDER else _described(str(path))


def origin_of(record: Baseline) -> str:
    """Find where a predictor's record is, for `load` in another process; raises `PluginError` if it is not in a file."""
    if isinstance(record.build, OutsideBuild):
        return record.build.origin
    stems = [path.stem for path in FOLDER.glob("*.py") if f"{record.name}_".startswith(f"{path.stem}_")]
    if not stems:
        raise PluginError(f"Baseline '{record.name}' is not from a file, so no other process can import it.")
    return str(FOLDER / f"{max(stems, key=len)}.py")


def load(origin: str, name: str) -> Baseline:
    """Import one record in this process; `origin` is as in `OutsideBuild`. Raises as `load_all` does."""
    found = {record.name: record for record in load_all(origin)}
    if name not in found:
        raise UnknownName(f"model of {origin}", name, found)
    return found[name]


def load_all(origin: str) -> tuple[Baseline, ...]:
    """Import a plugin file or an entry point in this process; raises `PluginError`, and what the plugin raises."""
    path = Path(origin)
    if path.suffix != ".py":
        record = importlib.metadata.EntryPoint("", origin, ENTRY_POINTS).load()
        if not isinstance(record, Baseline):
            raise PluginError(f"Entry point {origin} is a {type(record).__name__}; expected a Baseline.")
        return (record,)
    if path.parent == FOLDER and not path.stem.startswith("_"):
        return records(importlib.import_module(f"baselines.{path.stem}"), path.stem)
    name = f"_cycseq_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"Plugin {path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return records(module, path.stem)


def parameters_of(record: Baseline) -> tuple[str, ...]:
    """Names of the settings of a predictor."""
    build = record.build
    return build.parameters if isinstance(build, OutsideBuild) else tuple(inspect.signature(build).parameters)


def refusal(record: Baseline, settings: Mapping[str, object]) -> str:
    """Build a predictor with these settings and drop it; returns why it refuses them, or "". A plugin does so in a child."""
    try:
        if isinstance(record.build, OutsideBuild):
            _ask(record.build.origin, build=record.name, settings=dict(settings))
        else:
            _try_build(record, settings)
    except (TypeError, ValueError, PluginError) as error:
        return str(error)
    return ""


def _try_build(record: Baseline, settings: Mapping[str, object]) -> None:
    with suppress(ImportError):  # of packages that are elsewhere or nowhere: its rows say so
        record.build(**settings)


def _described(origin: str) -> tuple[Baseline, ...]:
    """Return the records of a plugin that a child imports."""
    found = []
    for table in _ask(origin):
        file = table.pop("file")
        own = file if table["isolated"] and file else origin  # no entry point is known in a model's own environment
        build = OutsideBuild(own, table["name"], tuple(table.pop("parameters")))
        table |= {name: tuple(table[name]) for name in ("directions", "requirements")} | {"can": Can(**table["can"])}
        found.append(Baseline(build=build, **table))
    return tuple(found)


def _ask(origin: str, **request: object) -> Any:
    """Import a plugin in a child process and return its answer to a request; raises `PluginError`, or the child's error."""
    with tempfile.TemporaryDirectory(prefix="cycseq-plugin-") as scratch:
        connection, process = start_child(_answer, Path(scratch), origin, request)
        try:
            answer = json.loads(connection.recv_bytes())
        except (EOFError, OSError) as error:
            process.join()
            raise PluginError(
                f"Plugin {origin}: the process that imported it died (exit code {process.exitcode})."
            ) from error
        finally:
            connection.close()
            process.join()
    if "refused" in answer:
        raise getattr(errors, answer["refused"])(answer["text"])
    return answer["done"]


def _answer(connection: Connection, scratch: Path, origin: str, request: dict[str, Any]) -> None:
    """Answer `_ask`, in the child: records as tables, or None once a predictor has been built."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # what a plugin prints is no part of the answer
        os.dup2(quiet, stream)
    keep_scratch_in(scratch)
    confine(scratch)  # a plugin can leave nothing for the processes that train
    try:
        answer = json.dumps({"done": _handle(origin, **request)})
    except BenchmarkError as error:
        answer = json.dumps({"refused": type(error).__name__, "text": str(error)})
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit too
        what = str(error) if request else f"Plugin {origin} cannot be imported: {explain(error)}."
        answer = json.dumps({"refused": "PluginError", "text": what})
    connection.send_bytes(answer.encode())


def _handle(origin: str, build: str = "", settings: Mapping[str, object] | None = None) -> object:
    if build:
        _try_build(load(origin, build), settings or {})
        return None
    names = [f.name for f in fields(Baseline) if f.name not in ("build", "can")]
    found = load_all(origin)
    more = {"file": getattr(sys.modules.get(origin.partition(":")[0]), "__file__", "")}
    return [
        {name: getattr(record, name) for name in names}
        | {"can": vars(record.can), "parameters": parameters_of(record)}
        | more
        for record in found
    ]


def records(module: ModuleType, stem: str) -> tuple[Baseline, ...]:
    """Take a module's `BASELINE` (or `BASELINES`), named as its file or as its file and a suffix."""
    found = getattr(module, "BASELINES", None) or (getattr(module, "BASELINE", None),)
    for record in found:
        if not isinstance(record, Baseline):
            raise PluginError(
                f"{module.__file__} has no BASELINE record (found {type(record).__name__}); end the file "
                "with BASELINE = Baseline(name=…, build=…, directions=…, summary=…, source=…)."
            )
        if not f"{record.name}_".startswith(f"{stem}_"):
            raise PluginError(
                f"{module.__file__} holds record '{record.name}'; expected the file's name, '{stem}', or '{stem}_…'."
            )
    return tuple(found)


def _add(found: dict[str, tuple[Baseline, str]], new: Sequence[Baseline], origin: str) -> None:
    for record in new:
        _, other = found.setdefault(record.name, (record, origin))
        if other != origin:
            raise PluginError(f"Two predictors are named '{record.name}': {other} and {origin}; rename one.")
