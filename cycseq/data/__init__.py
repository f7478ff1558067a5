"""Cells, draws and pairs that a model is trained on."""
