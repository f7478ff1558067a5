"""From cells and a caller's arguments to draws with labels: what `CycSeq.predict` and `latent` read."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float, Int

from cycseq.config import TrainConfig
from cycseq.data.cell_reader import check_adata
from cycseq.data.input_checks import check_text, check_values, check_whole, extent
from cycseq.data.sampling import average, query_draws
from cycseq.data.vocabulary import CONTROL, Vocabulary, doses, expression, labels, same_parts
from cycseq.errors import ConfigError, DataError, UnknownBatch, UnknownContext
from cycseq.prediction.unseen import Mixture, Unseen, mixture

Direction = Literal["n2p", "p2n"]
Perturbation = str | tuple[str, float]
"""A name, or with doses a pair (compound, dose in nM)."""


@dataclass(frozen=True)
class Query:
    """Cells, and the labels they are read under."""

    cells: AnnData
    perturbation: str
    dose: float | None
    """nM; None without doses."""
    context: str
    direction: Direction
    seed: int
    """Seeds the grouping of cells into draws."""
    unseen: Unseen


@dataclass(frozen=True)
class QueryDraws:
    """Draws of a query's cells, each of one batch, and what the generators need to know of them."""

    query: Query
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


def queries(
    adata: AnnData,
    dosed: bool,
    perturbation: Perturbation | None,
    context: str | None,
    direction: Direction,
    seed: int,
    unseen: Unseen,
) -> list[Query]:
    """Check a caller's arguments, and say under which labels cells are read.

    Without a perturbation, perturbed cells are grouped by their own, by dose, and by context if none is given; controls
    are left out. Raises `ConfigError` and `DataError` as `CycSeq.predict` and `latent`.
    """
    check_adata(adata)
    check_whole("seed", seed, 0)
    if not isinstance(unseen, Unseen):
        raise ConfigError(f"unseen is {unseen!r}; expected cycseq.Unseen(…).")
    if direction not in get_args(Direction):
        raise ConfigError(f"direction is {direction!r}; expected one of {', '.join(map(repr, get_args(Direction)))}.")
    if context is not None:
        check_text("context", context)
    if perturbation is not None:
        name, dose = _name_and_dose(perturbation)
        return [Query(adata, name, dose, context or _only_context(adata), direction, seed, unseen)]
    if direction == "n2p":
        raise ConfigError("perturbation is None with direction 'n2p'; expected the one to read controls under.")
    table = pd.DataFrame({"perturbation": labels(adata, "perturbation")})
    table["context"] = context or labels(adata, "context")
    table["dose"] = doses(adata) if dosed else np.nan
    perturbed = table[table["perturbation"] != CONTROL]
    if perturbed.empty:
        raise DataError("All cells are controls; expected perturbed cells, or direction='n2p' and a perturbation.")
    return [
        Query(adata[rows.index.to_numpy()], name, dose if dosed else None, own, direction, seed, unseen)
        for (name, own, dose), rows in perturbed.groupby(list(table.columns), dropna=False)
    ]


def read(query: Query, known: Vocabulary, config: TrainConfig) -> QueryDraws:
    """Divide cells into draws of one batch each, sorted by batch, and look up their labels.

    Raises `UnknownPerturbation`, `UnknownContext` or `UnknownBatch` for a label never trained on that `query.unseen` does
    not let pass, and `DataError` for other genes, no cells, cells of the wrong state, values out of range, or a wrong dose.
    """
    adata = query.cells
    perturbation = mixture(query.perturbation, known.perturbations, query.unseen)
    log_dose, of_dose = _dose(query, known)
    x = expression(adata, known.genes)[np.arange(adata.n_obs)]
    check_values(extent([x]), config.model.output)
    _check_state(query)
    given = labels(adata, "batch") if "batch" in adata.obs else np.full(adata.n_obs, "")
    names, of_cell = np.unique(given.astype(str), return_inverse=True)
    index, notes = _batches(names, query, known)
    size = 1 if config.unit == "cell" else config.cells_per_draw
    assignment, of_draw = query_draws(of_cell.ravel(), size, np.random.default_rng(query.seed))
    of_all = "; ".join(filter(None, (perturbation.note, of_dose, _context_note(query))))
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
    stand_ins = tuple(known.batches_of(query.context) or range(len(known.batches)))
    fallbacks = tuple(dict.fromkeys(filter(None, (of_all, *notes))))
    return QueryDraws(query, average(assignment, x), perturbation, log_dose, index[of_draw], stand_ins, obs, fallbacks)


def _only_context(adata: AnnData) -> str:
    found = sorted(set(labels(adata, "context")))
    if len(found) != 1:
        raise DataError(
            f"The cells have {len(found)} contexts ({', '.join(found[:5]) or 'none'}); expected one. Select its cells, or "
            "set the context to read them under: context=name."
        )
    return found[0]


def _name_and_dose(given: object) -> tuple[str, float | None]:
    """Split a perturbation into its name and its dose, None without one."""
    match given:
        case str():
            return check_text("perturbation", given), None
        case (str() as name, Real() as dose) if not isinstance(dose, bool):
            return check_text("perturbation", name), float(dose)
    raise DataError(f"perturbation is {given!r}; expected a name, or with doses a pair (name, dose in nM as a number).")


def _dose(query: Query, known: Vocabulary) -> tuple[tuple[float, ...], str]:
    """log10 of the dose, and a note if it is outside those trained on; raises `DataError` for a wrong or missing one."""
    name, dose = query.perturbation, query.dose
    if known.dosed != (dose is not None):
        expected = "(name, dose in nM)" if known.dosed else "a name: the training cells have no doses"
        raise DataError(f"perturbation is {name if dose is None else (name, dose)!r}; expected {expected}.")
    if dose is None or known.doses is None:
        return (), ""
    if not (np.isfinite(dose) and dose > 0):
        raise DataError(f"The dose of '{name}' is {dose}; expected a positive number in nM.")
    low, high = known.doses
    note = "" if low <= dose <= high else f"dose {dose:g} nM outside the {low:g} to {high:g} nM trained on"
    return (float(np.log10(dose)),), note


def _context_note(query: Query) -> str:
    """Note that cells are read as another context than their label."""
    if "context" not in query.cells.obs:
        return ""
    others = sorted(set(labels(query.cells, "context")) - {query.context})
    return f"read as context '{query.context}', labelled {', '.join(map(repr, others[:3]))}" if others else ""


def _check_state(query: Query) -> None:
    """Raise `DataError` for cells whose own label or dose is not that of the state the direction reads."""
    adata = query.cells
    if "perturbation" not in adata.obs:
        return
    wanted = CONTROL if query.direction == "n2p" else query.perturbation
    found = labels(adata, "perturbation")
    others = [name for name in dict.fromkeys(found) if not same_parts(name, wanted)]
    if others:
        raise DataError(
            f"{np.isin(found, others).sum()} of {adata.n_obs} cells have another label ('{others[0]}', …); direction "
            f"'{query.direction}' reads cells labelled '{wanted}'. Select them, or leave the column out of obs."
        )
    if query.direction == "p2n" and query.dose is not None and "dose" in adata.obs:
        n_others = (doses(adata) != query.dose).sum()
        if n_others:
            raise DataError(
                f"{n_others} of {adata.n_obs} cells have another dose than {query.dose:g} nM. Select them by obs['dose'], or "
                "leave the column out of obs."
            )


def _batches(names: np.ndarray, query: Query, known: Vocabulary) -> tuple[Int[np.ndarray, " batch"], list[str]]:
    """Index of each batch name, -1 if it was not trained on, and a note on what stands in for those."""
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
    if not of_name:
        return index, [f"context '{query.context}' not trained on: mean embedding of all batches"] * len(names)
    what = [f"batch '{name}' not trained on" if name else "no batch given" for name in names]
    mean = f"mean embedding of the batches of '{query.context}'"
    return index, ["" if number >= 0 else f"{text}: {mean}" for text, number in zip(what, index, strict=True)]
