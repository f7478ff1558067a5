"""How a process in a model's own environment begins: `python -I serve.py BENCHMARKS BASELINES`, with the packages' folders.

The two packages are taken from there and nothing else of the harness's environment can be imported. Requests come as
lines of JSON on standard input, answers go as lines of JSON to standard output; what a model prints goes to standard
error. When the harness's end of standard input closes, the process ends, whatever it is doing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import IO


def main(benchmarks: str, baselines: str) -> None:
    """Serve requests until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the harness decides what Ctrl-C means
    for name, folder in (("benchmarks", benchmarks), ("baselines", baselines)):
        _provide(name, Path(folder))
    source, answers = _own_channels()
    from benchmarks.execution.environments.session import Session

    session = Session(answers)
    session.say(ready=sys.version.split()[0])
    requests: queue.Queue[dict] = queue.Queue()
    threading.Thread(target=_read, args=(source, requests), daemon=True).start()
    while True:
        session.answer(requests.get())


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


def _own_channels() -> tuple[IO[str], IO[str]]:
    """Take standard input and output for the harness alone."""
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return source, answers


def _read(source: IO[str], requests: queue.Queue[dict]) -> None:
    """Pass requests on; a closed input means that the harness is gone, or done with this model."""
    for line in source:
        requests.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
