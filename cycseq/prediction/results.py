"""AnnData out: what `CycSeq.predict` and `CycSeq.latent` return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float

from cycseq.config import TrainConfig, to_json
from cycseq.prediction.inference import QueryDraws, QueryLabels

Record = dict[str, str | int]


def record(
    config: TrainConfig,
    training_seed: int,
    fine_tuned: Sequence[str],
    query: QueryLabels,
    made: Sequence[QueryDraws],
) -> Record:
    """Write down what made a result, in values that h5ad files can hold; `fine_tuned`: contexts whose weights were used."""
    return {
        "model": "CycSeq",
        "config": to_json(config),
        "training_seed": training_seed,
        "weights": weights_of(fine_tuned),
        "direction": query.direction,
        "seed": query.seed,
        "fallbacks": "; ".join(dict.fromkeys(text for own in made for text in own.fallbacks)),
    }


def weights_of(fine_tuned: Sequence[str]) -> str:
    """Name the weights that contexts were read with: those fine-tuned on them, else the pre-trained ones."""
    return ", ".join(f"fine-tuned on {context}" for context in fine_tuned) or "pre-trained"


def predictions(
    values: Float[np.ndarray, "sample gene"], made: QueryDraws, genes: Sequence[str], made_by: Record
) -> AnnData:
    """Label predicted profiles; the samples of one draw lie next to each other, as `inference.translate` makes them."""
    each = len(values) // len(made.obs)
    obs = made.obs.loc[made.obs.index.repeat(each)]
    n_samples = int(made_by["n_samples"])
    obs["sample"] = np.tile(np.arange(1, each + 1), len(made.obs)) if n_samples else 0
    obs.index = pd.Index([f"draw{draw}-{number}" for draw, number in zip(obs.index, obs["sample"], strict=True)])
    return AnnData(values, obs=obs, var=pd.DataFrame(index=list(genes)), uns={"cycseq": made_by})


def latents(
    encoded: Float[np.ndarray, "2 draw kind latent"], names: Sequence[str], made: Sequence[QueryDraws], made_by: Record
) -> AnnData:
    """Label latent means and log variances: both with the latents side by side, the means of each in obsm too."""
    mu, log_variance = encoded  # each [draw, kind, D]
    obs = pd.concat([own.obs for own in made], ignore_index=True)
    obs.index = pd.Index([f"draw{number}" for number in range(len(obs))])
    of_column = np.repeat(list(names), mu.shape[2])
    var = pd.DataFrame({"latent": of_column}, index=[f"{name}_{d}" for name in names for d in range(mu.shape[2])])
    return AnnData(
        mu.reshape(len(mu), -1),
        obs=obs,
        var=var,
        layers={"log_variance": log_variance.reshape(len(mu), -1)},
        obsm={f"z_{name}": mu[:, number] for number, name in enumerate(names)},
        uns={"cycseq": made_by},
    )
