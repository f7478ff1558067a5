"""Predictors, one file each; a file that starts with "_" is shared by them, or the template."""
