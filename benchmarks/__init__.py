"""The harness: data → split → fit → predict → store → score → report."""

import os

# Threads of OpenMP spin only briefly while they wait for each other, or two trainings that share cores take many times as long;
# libraries read this when they are loaded. What it costs and gains: `python -m tests.bench.waiting`.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # GCC's library
os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's and Intel's, in ms
