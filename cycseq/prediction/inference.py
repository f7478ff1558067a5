"""From cells and a query to draws with labels, and through a generator: what `CycSeq.predict` and `latent` share."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float, Int
from torch import Tensor

from cycseq.arguments import check_cells, check_choice, check_text, check_whole
from cycseq.config import TrainConfig
from cycseq.data.input_checks import check_values
from cycseq.data.loader import CHUNK
from cycseq.data.sampling import average, query_draws
from cycseq.data.vocabulary import CONTROL, Vocabulary, doses, expression, labels, same_parts
from cycseq.errors import ConfigError, DataError, UnknownBatch, UnknownContext
from cycseq.model import Blend, Generator
from cycseq.prediction.unseen import PAPER, Mixture, Unseen, mixture

Direction = Literal["n2p", "p2n"]
Perturbation = str | tuple[str, float]
"""A name, or with doses a pair (compound, dose in nM)."""


@dataclass(frozen=True)
class QueryLabels:
    """Under which labels cells are read."""

    perturbation: str
    dose: float | None
    """nM; None without doses."""
    context: str
    direction: Direction
    seed: int = 0
    """Seeds the grouping of cells into draws."""
    unseen: Unseen = PAPER

    def __post_init__(self) -> None:
        check_whole("seed", self.seed, 0)
        if not isinstance(self.unseen, Unseen):
            raise ConfigError(f"unseen is {self.unseen!r}; expected cycseq.Unseen(…).")
        check_choice("direction", self.direction, Direction)


@dataclass(frozen=True)
class QueryDraws:
    """QueryDraws of a query's cells, each of one batch, and what the generators need to know of them."""

    x: Float[np.ndarray, "draw gene"]
    """Mean expression of each draw's cells."""
    perturbation: Mixture
    log_dose: tuple[float, ...]
    """log10 of the dose in nM; empty without doses."""
    batch: Int[np.ndarray, " draw"]
    """Index of the (context, batch) pair; -1 where the model does not know it."""
    stand_ins: tuple[int, ...]
    """Batches whose mean embedding an unknown one takes."""
    obs: pd.DataFrame
    """One row a draw: perturbation, dose (with doses), context, batch, direction, n_cells, note."""
    fallbacks: tuple[str, ...]
    """What stood in for something never trained on."""


def query_labels(
    adata: AnnData, perturbation: Perturbation, context: str | None, direction: Direction, seed: int, unseen: Unseen
) -> QueryLabels:
    """Check a caller's arguments; raises `DataError` if no context is given and the cells do not have exactly one."""
    name, dose = _name_and_dose(perturbation)
    check_cells(adata)
    if context is None:
        found = sorted(set(labels(adata, "context")))
        if len(found) != 1:
            raise DataError(
                f"The cells have {len(found)} contexts ({', '.join(found[:5]) or 'none'}); expected one. Select its "
                "cells, or set the context to read them under: context=name."
            )
        context = str(found[0])
    check_text("context", context)
    return QueryLabels(name, dose, context, direction, seed, unseen)


def labels_of_cells(
    adata: AnnData, dosed: bool, context: str | None, direction: Direction, seed: int, unseen: Unseen
) -> list[tuple[AnnData, QueryLabels]]:
    """Group perturbed cells by perturbation and dose, and by context if none is given; controls are left out.

    Raises
    ------
    ConfigError, DataError
        The direction is "n2p", which reads controls; a label is missing, or there are only controls.
    """
    if direction == "n2p":
        raise ConfigError("perturbation is None with direction 'n2p'; expected the one to read controls under.")
    check_cells(adata)
    table = pd.DataFrame({"perturbation": labels(adata, "perturbation")})
    table["context"] = labels(adata, "context") if context is None else check_text("context", context)
    table["dose"] = doses(adata) if dosed else np.nan
    perturbed = table[table["perturbation"] != CONTROL]
    if perturbed.empty:
        raise DataError("All cells are controls; expected perturbed cells, or direction='n2p' and a perturbation.")
    return [
        (adata[rows.index.to_numpy()], QueryLabels(name, dose if dosed else None, own, direction, seed, unseen))
        for (name, own, dose), rows in perturbed.groupby(list(table.columns), dropna=False)
    ]


def read(adata: AnnData, query: QueryLabels, known: Vocabulary, config: TrainConfig) -> QueryDraws:
    """Divide cells into draws of one batch each, sorted by batch, and look up their labels.

    Raises
    ------
    UnknownPerturbation, UnknownContext, UnknownBatch
        A label never trained on that `query.unseen` does not let pass.
    DataError
        Other genes, no cells, cells of the wrong state, values out of range, or a wrong or missing dose.
    """
    perturbation = mixture(query.perturbation, known.perturbations, query.unseen)
    log_dose = _log_dose(query, known.dosed)
    x = expression(adata, known.genes)
    check_values(x, config.model.output)
    _check_state(adata, query)
    given = labels(adata, "batch") if "batch" in adata.obs else np.full(adata.n_obs, "")
    names, of_cell = np.unique(given.astype(str), return_inverse=True)
    index = _batches(names, query, known)
    size = 1 if config.unit == "cell" else config.cells_per_draw
    assignment, of_draw = query_draws(of_cell.ravel(), size, np.random.default_rng(query.seed))
    notes = _notes(names, index, query.context, known)
    of_all = "; ".join(filter(None, (perturbation.note, _dose_note(query, known), _context_note(adata, query))))
    obs = pd.DataFrame(
        {
            "perturbation": query.perturbation,
            **({} if query.dose is None else {"dose": query.dose}),
            "context": query.context,
            "batch": names[of_draw],
            "direction": query.direction,
            "n_cells": np.diff(assignment.indptr),
            "note": ["; ".join(filter(None, (of_all, notes[number]))) for number in of_draw],
        }
    )
    stand_ins = known.batches_of(query.context) or range(len(known.batches))
    fallbacks = tuple(dict.fromkeys(filter(None, (of_all, *notes))))
    return QueryDraws(average(assignment, x), perturbation, log_dose, index[of_draw], tuple(stand_ins), obs, fallbacks)


def condition(generator: Generator, made: QueryDraws) -> Float[Tensor, "draw width"]:
    """Join [e_p; dose; e_b] of each draw, in the order of `model.ConditionEmbedding`."""
    tables = generator.condition
    device = tables.batch.weight.device
    weight = torch.tensor(made.perturbation.weight, device=device)
    e_p = weight @ tables.perturbation.weight[list(made.perturbation.index)]  # [H]
    mean = tables.batch.weight[list(made.stand_ins)].mean(dim=0)  # [H]
    b = torch.from_numpy(made.batch).to(device)
    e_b = torch.where((b < 0)[:, None], mean, tables.batch(b.clamp(min=0)))  # [draw, H]
    dose = torch.tensor(made.log_dose, dtype=e_b.dtype, device=device)
    return torch.cat([e_p.expand(len(b), -1), dose.expand(len(b), -1), e_b], dim=1)


@torch.no_grad()
def translate(generator: Generator, made: QueryDraws, n_samples: int, seed: int) -> Float[np.ndarray, "sample gene"]:
    """Decode the latent means of each draw (`n_samples` 0), or that many samples of each, next to each other."""
    labels_of_draw = condition(generator, made).repeat_interleave(max(1, n_samples), dim=0)
    device = labels_of_draw.device
    source = torch.from_numpy(made.x).to(device).repeat_interleave(max(1, n_samples), dim=0)
    noise = torch.Generator().manual_seed(seed)
    parts = []
    for rows in torch.arange(len(source), device=device).split(CHUNK):
        eps = torch.randn(len(rows), *generator.latent_shape, generator=noise).to(device) if n_samples else None
        parts.append(generator(source[rows], labels_of_draw[rows], eps).x_hat.cpu())
    return torch.cat(parts).numpy()


@torch.no_grad()
def mix(
    blend: Blend, x_hat: Float[np.ndarray, "sample gene"], made: QueryDraws, direction: Direction
) -> Float[np.ndarray, "sample gene"]:
    """Blend what a generator decoded with the additive estimate for the same draws."""
    device = blend.batch.device
    weight = torch.tensor(made.perturbation.weight, device=device)
    own = torch.tensordot(weight, blend.perturbation[list(made.perturbation.index)], dims=1)  # [term, gene]
    b = torch.from_numpy(made.batch).to(device)
    mean = blend.batch[list(made.stand_ins)].mean(dim=0)
    common = torch.where((b < 0)[:, None, None], mean, blend.batch[b.clamp(min=0)])  # [draw, term, gene]
    dose = torch.tensor([made.log_dose], dtype=own.dtype, device=device).expand(len(b), -1)
    estimate = blend.estimate(torch.from_numpy(made.x).to(device), blend.at(common + own, dose), direction)
    estimate = estimate.repeat_interleave(len(x_hat) // len(made.x), dim=0)
    return blend(torch.from_numpy(x_hat).to(device), estimate, direction).cpu().numpy()


@torch.no_grad()
def encode(generator: Generator, made: QueryDraws) -> Float[np.ndarray, "2 draw kind latent"]:
    """Means and log variances of z_exp, z_ko and z_noise."""
    labels_of_draw = condition(generator, made)
    x = torch.from_numpy(made.x).to(labels_of_draw.device)
    rows = torch.arange(len(x), device=x.device).split(CHUNK)
    parts = [torch.stack(generator.encoder(x[own], labels_of_draw[own])).cpu() for own in rows]
    return torch.cat(parts, dim=1).numpy()


def _name_and_dose(given: object) -> tuple[str, float | None]:
    """Split a perturbation into its name and its dose, None without one."""
    match given:
        case str():
            return check_text("perturbation", given), None
        case (str() as name, Real() as dose) if not isinstance(dose, bool):
            return check_text("perturbation", name), float(dose)
    raise DataError(f"perturbation is {given!r}; expected a name, or with doses a pair (name, dose in nM as a number).")


def _dose_note(query: QueryLabels, known: Vocabulary) -> str:
    if known.doses is None or query.dose is None:
        return ""
    low, high = known.doses
    outside = not low <= query.dose <= high
    return f"dose {query.dose:g} nM outside the {low:g} to {high:g} nM trained on" if outside else ""


def _context_note(adata: AnnData, query: QueryLabels) -> str:
    """Note that cells are read as another context than their label."""
    if "context" not in adata.obs:
        return ""
    others = sorted(set(labels(adata, "context")) - {query.context})
    return f"read as context '{query.context}', labelled {', '.join(map(repr, others[:3]))}" if others else ""


def _log_dose(query: QueryLabels, dosed: bool) -> tuple[float, ...]:
    name, dose = query.perturbation, query.dose
    if dosed != (dose is not None):
        expected = "(name, dose in nM)" if dosed else "a name: the training cells have no doses"
        raise DataError(f"perturbation is {name if dose is None else (name, dose)!r}; expected {expected}.")
    if dose is None:
        return ()
    if not (np.isfinite(dose) and dose > 0):
        raise DataError(f"The dose of '{name}' is {dose}; expected a positive number in nM.")
    return (float(np.log10(dose)),)


def _check_state(adata: AnnData, query: QueryLabels) -> None:
    if "perturbation" not in adata.obs:
        return
    wanted = CONTROL if query.direction == "n2p" else query.perturbation
    found = labels(adata, "perturbation")
    others = [name for name in dict.fromkeys(found) if not same_parts(name, wanted)]
    if others:
        n_others = int(np.isin(found, others).sum())
        raise DataError(
            f"{n_others} of {adata.n_obs} cells have another label ('{others[0]}', …); direction '{query.direction}' reads "
            f"cells labelled '{wanted}'. Select them, or leave the column out of obs."
        )
    if query.direction == "p2n" and query.dose is not None and "dose" in adata.obs:
        n_others = int((doses(adata) != query.dose).sum())
        if n_others:
            raise DataError(
                f"{n_others} of {adata.n_obs} cells have another dose than {query.dose:g} nM. Select them by obs['dose'], or "
                "leave the column out of obs."
            )


def _batches(names: np.ndarray, query: QueryLabels, known: Vocabulary) -> Int[np.ndarray, " batch"]:
    of_name = {known.batches[index][1]: index for index in known.batches_of(query.context)}
    index = np.array([of_name.get(str(name), -1) for name in names], dtype=np.int64)
    unknown = names[index < 0]
    if query.unseen.batch == "refuse" and len(unknown):
        remedy = 'Train with cells of it, or use the mean batch embedding: Unseen(batch="mean").'
        if not of_name:
            raise UnknownContext(query.context, known.contexts, remedy)
        if not unknown[0]:
            raise DataError(f"obs has no column 'batch', which Unseen(batch='refuse') requires. {remedy}")
        raise UnknownBatch(str(unknown[0]), of_name, remedy)
    return index


def _notes(names: np.ndarray, index: Int[np.ndarray, " batch"], context: str, known: Vocabulary) -> list[str]:
    if not known.batches_of(context):
        return [f"context '{context}' not trained on: mean embedding of all batches"] * len(names)
    what = [f"batch '{name}' not trained on" if name else "no batch given" for name in names]
    return [
        f"{text}: mean embedding of the batches of '{context}'" if number < 0 else ""
        for text, number in zip(what, index, strict=True)
    ]
