"""Data sets: card → files → reader → prepared cells on disk → cells in memory. Command line: `python -m benchmarks.data`."""
