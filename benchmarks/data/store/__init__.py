"""Prepared cells on disk: written once, sorted by condition, read by condition."""
