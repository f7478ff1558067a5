"""A small screen with known effects: 3 contexts × 6 perturbations × 2 batches, log2 space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from cycseq import CycSeq, LossWeights, ModelConfig, Stage, TrainConfig

CONTEXTS, BATCHES = ("lineA", "lineB", "lineC"), ("rep1", "rep2")
PERTURBATIONS = ("G1", "G2", "G3", "G4", "G5", "G1+G2")
N_GENES, N_CELLS, N_CONTROLS = 40, 24, 60


def _screen(seed: int = 0) -> AnnData:
    rng = np.random.default_rng(seed)
    base = {context: rng.uniform(0.5, 4.0, N_GENES) for context in CONTEXTS}
    shift = {(context, batch): rng.normal(0, 0.1, N_GENES) for context in CONTEXTS for batch in BATCHES}
    effect = {name: rng.normal(0, 0.8, N_GENES) * (rng.random(N_GENES) < 0.4) for name in PERTURBATIONS}
    effect["control"] = np.zeros(N_GENES)
    rows, parts = [], []
    for context in CONTEXTS:
        for batch in BATCHES:
            for name in ("control", *PERTURBATIONS):
                n = N_CONTROLS if name == "control" else N_CELLS
                mean = base[context] + shift[context, batch] + effect[name]
                parts.append(np.clip(mean + rng.normal(0, 0.5, (n, N_GENES)), 0, None))
                rows += [(name, context, batch)] * n
    obs = pd.DataFrame(rows, columns=["perturbation", "context", "batch"])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    var = pd.DataFrame(index=[f"SIM{i}" for i in range(N_GENES)])
    return AnnData(sp.csr_matrix(np.concatenate(parts).astype(np.float32)), obs=obs, var=var)


@pytest.fixture(scope="session")
def screen() -> AnnData:
    """Cells of the screen; tests that change them take a copy."""
    return _screen()


@pytest.fixture(scope="session")
def make_config() -> Callable[..., TrainConfig]:
    """Build small configurations; keyword arguments replace fields of `TrainConfig`."""

    def make(**changes: object) -> TrainConfig:
        settings: dict[str, object] = {
            "model": ModelConfig(hidden=(64, 32), latent=8, embedding=8, n_blocks=1, n_tokens=4, skip=True),
            "weights": LossWeights(adversarial=0.05, kl=0.01, perturbation=0.1, batch=0.1, paired=10.0),
            "cells_per_draw": 10,
            "draws_per_condition": 6,
            "pretrain": Stage("pretrain", epochs=12, batch_size=32, learning_rate=3e-3, optimizer="adam", patience=6),
            "finetune": Stage("finetune", epochs=3, batch_size=16, learning_rate=5e-4, optimizer="rmsprop", patience=3),
        }
        return TrainConfig(**(settings | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def config(make_config: Callable[..., TrainConfig]) -> TrainConfig:
    """The small configuration with one epoch of each stage."""
    return make_config(
        pretrain=Stage("pretrain", 1, 256, 1e-3, "adam", 1), finetune=Stage("finetune", 1, 64, 5e-4, "rmsprop", 1)
    )


@pytest.fixture(scope="session")
def model(screen: AnnData, config: TrainConfig) -> CycSeq:
    """A model of that configuration; tests that train it further make their own."""
    net = CycSeq(config)
    net.pretrain(screen)
    return net


@pytest.fixture(scope="session")
def trained(screen: AnnData, make_config: Callable[..., TrainConfig]) -> CycSeq:
    """A model that has learned the screen, fine-tuned on lineA; tests that train it further load a copy."""
    net = CycSeq(make_config(), seed=0)
    net.pretrain(screen)
    net.fine_tune(screen, context="lineA")
    return net


@pytest.fixture
def cells(screen: AnnData) -> AnnData:
    """The screen, to be spoilt."""
    return screen.copy()


@pytest.fixture
def controls(screen: AnnData) -> AnnData:
    """120 controls of one context, to be spoilt."""
    return screen[((screen.obs["context"] == "lineA") & (screen.obs["perturbation"] == "control")).to_numpy()].copy()
