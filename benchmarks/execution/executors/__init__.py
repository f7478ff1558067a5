"""Executors, one file each: a module that ends in `EXECUTOR`, found by its file name."""
