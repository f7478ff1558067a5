"""Start of a process in a model's own environment: `python -I serve.py BENCHMARKS BASELINES CONNECTION FOLDER HIDDEN ORIGIN`.

The two packages are imported from the folders given, and nothing else of the harness's environment can be imported.
CONNECTION is the number of an open file, HIDDEN a JSON list of paths, ORIGIN the plugin's file. Without these it imports
what it needs, prints "ready" and ends.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from multiprocessing.connection import Connection
from pathlib import Path


def main(
    benchmarks: str, baselines: str, connection: str = "", folder: str = "", hidden: str = "", origin: str = ""
) -> None:
    """Serve one unit of work."""
    for name, place in (("benchmarks", benchmarks), ("baselines", baselines)):
        _provide(name, Path(place))
    from benchmarks.execution.models.session import serve_unit

    if folder:
        serve_unit(Connection(int(connection)), Path(folder), json.loads(hidden), origin)
    else:
        print("ready")


def _provide(name: str, folder: Path) -> None:
    """Make one package importable from its folder, and nothing that lies beside it."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is no package.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main(*sys.argv[1:])
