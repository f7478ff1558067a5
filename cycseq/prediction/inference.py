"""Draws of a query through a generator, and AnnData out: what `CycSeq.predict` and `latent` compute and return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float
from torch import Tensor

from cycseq.config import to_json
from cycseq.data.loader import CHUNK
from cycseq.model import Generator, Generators
from cycseq.prediction.query import Query, QueryDraws, read
from cycseq.training.checkpoint import Trained


def condition(generator: Generator, made: QueryDraws) -> Float[Tensor, "draw width"]:
    """Join [e_p; dose; e_b] of each draw, in the order of `model.ConditionEmbedding`."""
    tables = generator.condition
    weight = torch.tensor(made.perturbation.weight, device=tables.batch.weight.device)
    e_p = weight @ tables.perturbation.weight[list(made.perturbation.index)]  # [H]
    e_b = _of_batch(tables.batch.weight, made)  # [draw, H]
    dose = torch.tensor(made.log_dose, dtype=e_b.dtype, device=e_b.device)
    return torch.cat([e_p.expand(len(e_b), -1), dose.expand(len(e_b), -1), e_b], dim=1)


def _of_batch(table: Float[Tensor, "batch *row"], made: QueryDraws) -> Float[Tensor, "draw *row"]:
    """Row of each draw's batch, the mean of the stand-ins for a batch that is not known."""
    b = torch.from_numpy(made.batch).to(table.device)
    mean = table[list(made.stand_ins)].mean(dim=0)
    return torch.where((b < 0).view(-1, *[1] * mean.dim()), mean, table[b.clamp(min=0)])


@torch.no_grad()
def translate(generators: Generators, made: QueryDraws, n_samples: int) -> Float[np.ndarray, "sample gene"]:
    """Decode the latent means of each draw (`n_samples` 0), or that many samples of each, next to each other."""
    generator, each = generators[made.query.direction], max(1, n_samples)
    labels_of_draw = condition(generator, made).repeat_interleave(each, dim=0)
    device = labels_of_draw.device
    x = torch.from_numpy(made.x).to(device)
    source, noise, parts = x.repeat_interleave(each, dim=0), torch.Generator().manual_seed(made.query.seed), []
    for rows in torch.arange(len(source), device=device).split(CHUNK):
        eps = torch.randn(len(rows), *generator.latent_shape, generator=noise).to(device) if n_samples else None
        parts.append(generator(source[rows], labels_of_draw[rows], eps).x_hat)
    x_hat, blend = torch.cat(parts), generators.blend
    if blend is not None:
        weight = torch.tensor(made.perturbation.weight, device=device)
        own = torch.tensordot(weight, blend.perturbation[list(made.perturbation.index)], dims=1)  # [term, gene]
        dose = torch.tensor([made.log_dose], dtype=own.dtype, device=device).expand(len(x), -1)
        estimate = blend.estimate(x, blend.at(_of_batch(blend.batch, made) + own, dose), made.query.direction)
        x_hat = blend(x_hat, estimate.repeat_interleave(each, dim=0), made.query.direction)
    return x_hat.cpu().numpy()


@torch.no_grad()
def encode(generator: Generator, made: QueryDraws) -> Float[np.ndarray, "2 draw kind latent"]:
    """Means and log variances of z_exp, z_ko and z_noise."""
    labels_of_draw = condition(generator, made)
    x = torch.from_numpy(made.x).to(labels_of_draw.device)
    rows = torch.arange(len(x), device=x.device).split(CHUNK)
    parts = [torch.stack(generator.encoder(x[own], labels_of_draw[own])).cpu() for own in rows]
    return torch.cat(parts, dim=1).numpy()


def predict(model: Trained, query: Query, n_samples: int) -> AnnData:
    """Translate a query's draws; the samples of one draw lie next to each other."""
    made = read(query, model.vocabulary, model.config)
    values = translate(model.of(query.context), made, n_samples)
    each = max(1, n_samples)
    obs = made.obs.loc[made.obs.index.repeat(each)]
    obs["sample"] = np.tile(np.arange(1, each + 1), len(made.obs)) if n_samples else 0
    obs.index = pd.Index([f"draw{draw}-{number}" for draw, number in zip(obs.index, obs["sample"], strict=True)])
    genes = pd.DataFrame(index=list(model.vocabulary.genes))
    return AnnData(values, obs=obs, var=genes, uns={"cycseq": _record(model, [made]) | {"n_samples": n_samples}})


def latent(model: Trained, asked: Sequence[Query]) -> AnnData:
    """Encode queries: means and log variances with the latents side by side, the means of each in obsm too."""
    made = [read(query, model.vocabulary, model.config) for query in asked]
    nets = [model.of(query.context)[query.direction] for query in asked]
    encoded = [encode(net, draws) for net, draws in zip(nets, made, strict=True)]
    mu, log_variance = np.concatenate(encoded, axis=1)  # each [draw, kind, D]
    obs = pd.concat([draws.obs.assign(weights=_weights(model, [draws])) for draws in made], ignore_index=True)
    obs.index = pd.Index([f"draw{number}" for number in range(len(obs))])
    names, width = nets[0].latents, mu.shape[2]
    columns = [f"{name}_{d}" for name in names for d in range(width)]
    return AnnData(
        mu.reshape(len(mu), -1),
        obs=obs,
        var=pd.DataFrame({"latent": np.repeat(list(names), width)}, index=columns),
        layers={"log_variance": log_variance.reshape(len(mu), -1)},
        obsm={f"z_{name}": mu[:, number] for number, name in enumerate(names)},
        uns={"cycseq": _record(model, made)},
    )


def _weights(model: Trained, made: Sequence[QueryDraws]) -> str:
    """Name the weights that draws are read with."""
    contexts = sorted({draws.query.context for draws in made} & set(model.fine_tuned))
    return ", ".join(f"fine-tuned on {context}" for context in contexts) or "pre-trained"


def _record(model: Trained, made: Sequence[QueryDraws]) -> dict[str, str | int]:
    """Say what made a result, in values that h5ad files can hold."""
    return {
        "model": "CycSeq",
        "config": to_json(model.config),
        "training_seed": model.seed,
        "weights": _weights(model, made),
        "direction": made[0].query.direction,
        "seed": made[0].query.seed,
        "fallbacks": "; ".join(dict.fromkeys(text for draws in made for text in draws.fallbacks)),
    }
