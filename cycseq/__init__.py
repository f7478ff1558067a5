"""CycSeq: cycle-consistent translation of gene expression between the control and the perturbed state."""

from cycseq.api import CycSeq
from cycseq.config import PRESETS, LossWeights, ModelConfig, Stage, TrainConfig, preset
from cycseq.draws import DrawStore
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
from cycseq.history import History
from cycseq.inputs import lone_cells
from cycseq.unseen import Unseen
from cycseq.vocabulary import Vocabulary

__all__ = [
    "PRESETS",
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
