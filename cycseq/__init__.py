"""CycSeq: cycle-consistent translation of gene expression between the control and the perturbed state."""

import os

# before torch is loaded: threads spin only briefly while they wait for each other, see `benchmarks/__init__.py`
os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # GCC's library
os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's and Intel's, in ms

from cycseq.api import CycSeq
from cycseq.config import PRESETS, LossWeights, ModelConfig, Stage, TrainConfig, preset
from cycseq.data.cell_reader import CellReader, CellSubset
from cycseq.data.draw_store import DrawStore
from cycseq.data.vocabulary import Vocabulary, lone_cells
from cycseq.errors import (
    CheckpointError,
    ConfigError,
    CycSeqError,
    DataError,
    NotTrained,
    TrainingError,
    UnknownBatch,
    UnknownContext,
    UnknownPerturbation,
    UnknownPreset,
)
from cycseq.prediction.unseen import Unseen
from cycseq.training.history import History

__all__ = [
    "PRESETS",
    "CellReader",
    "CellSubset",
    "CheckpointError",
    "ConfigError",
    "CycSeq",
    "CycSeqError",
    "DataError",
    "DrawStore",
    "History",
    "LossWeights",
    "ModelConfig",
    "NotTrained",
    "Stage",
    "TrainConfig",
    "TrainingError",
    "UnknownBatch",
    "UnknownContext",
    "UnknownPerturbation",
    "UnknownPreset",
    "Unseen",
    "Vocabulary",
    "lone_cells",
    "preset",
]
