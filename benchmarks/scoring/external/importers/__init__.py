"""Importers of others' tables of results, one file each."""
