"""Several harnesses in one process, which imports the project once: `python -m tests.faults killed_runs --kills 4 -- full_disks`."""

from __future__ import annotations

import importlib
import sys


def main() -> int:
    """Run each harness with its options; the exit status is 1 if any of them found a fault."""
    found = False
    for words in " ".join(sys.argv[1:]).split(" -- "):
        name, *options = words.split()
        print(f"{name} {' '.join(options)}", flush=True)
        sys.argv = [name, *options]
        found |= bool(importlib.import_module(f"tests.faults.{name}").main())
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
