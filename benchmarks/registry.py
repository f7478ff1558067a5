"""The registry of predictors: a function over files, not state. Listing it imports nothing heavy."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import baselines
from benchmarks.contract import Baseline
from benchmarks.errors import PluginError, UnknownName

ENTRY_POINTS = "cycseq.baselines"
FOLDER = Path(next(iter(baselines.__path__))).resolve()
"""Folder of the built-in predictors."""
TEMPLATE = FOLDER / "_template.py"
"""The predictor that users copy."""


def find(name: str, plugins: Sequence[Path] = ()) -> Baseline:
    """Look a predictor up by its name on the leaderboard, among the built-in ones and those of plugin files.

    Raises `UnknownName` (with the nearest name), or `PluginError` for a plugin that cannot be used.
    """
    known = available(plugins)
    if name not in known:
        raise UnknownName("model", name, known)
    return known[name]


def available(plugins: Sequence[Path] = ()) -> dict[str, Baseline]:
    """Name → record of every predictor: built in, from `--plugin` files and from entry points `cycseq.baselines`."""
    found: dict[str, tuple[Baseline, str]] = {}
    for path in sorted(FOLDER.glob("[!_]*.py")):
        _add(found, records(importlib.import_module(f"baselines.{path.stem}"), path.stem), str(path))
    for path in plugins:
        _add(found, from_file(path), str(path.resolve()))
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        record = entry.load()
        if not isinstance(record, Baseline):
            kind = type(record).__name__
            raise PluginError(f"Entry point '{entry.name}' ({entry.value}) is a {kind}; expected a Baseline.")
        _add(found, (record,), f"entry point {entry.value}")
    return {name: record for name, (record, _) in sorted(found.items())}


def from_file(path: Path) -> tuple[Baseline, ...]:
    """Import a plugin file by path and return its records; raises `PluginError`."""
    if not path.is_file() or path.suffix != ".py":
        raise PluginError(f"Plugin {path} does not exist or is no .py file; give a file like baselines/_template.py.")
    name = f"_cycseq_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"Plugin {path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError, NameError, TypeError, AttributeError, ValueError) as error:
        raise PluginError(f"Plugin {path} cannot be imported: {type(error).__name__}: {error}.") from error
    return records(module, path.stem)


def file_of(record: Baseline) -> Path:
    """Find the file of a predictor, which a process in another environment imports; raises `PluginError` without one."""
    module = sys.modules[record.build.__module__]
    if not module.__file__:
        raise PluginError(f"Baseline '{record.name}': build is not from a file, as an isolated model's has to be.")
    return Path(module.__file__).resolve()


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
