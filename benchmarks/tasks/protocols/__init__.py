"""One protocol a file, which ends in its `PROTOCOL`; `benchmarks.tasks.protocol` lists the folder."""
