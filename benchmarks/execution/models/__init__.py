"""Models as the harness calls them: in this process, or in a child of this or of the model's own environment.

The modules `serve`, `session`, `local_model` and `unit_files` also run in a model's own environment, so they
import nothing that may be missing there.
"""
