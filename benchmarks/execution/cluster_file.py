"""Parameters of a cluster, from a file of the user: TOML, or YAML for those that have one of dask-jobqueue."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError


def read_cluster_file(path: Path | None) -> dict[str, Any]:
    """Read a table of parameters; empty without a file. Raises `BenchmarkError` for a file that cannot be read."""
    if path is None:
        return {}
    try:
        found = _parse(path)
    except ModuleNotFoundError as error:
        raise BenchmarkError(
            f"--cluster-file {path}: {error.name} is not installed; write the file as .toml."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BenchmarkError(f"--cluster-file {path} cannot be read: {error}.") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise BenchmarkError(f"--cluster-file {path} holds a {type(found).__name__}; expected names and values.")
    return found


def _parse(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError("expected a file .toml or .yaml")
    import yaml  # comes with dask

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
