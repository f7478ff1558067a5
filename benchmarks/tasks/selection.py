"""Which cells a run is made of, and which of its conditions are tested. No value of a cell decides anything here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.data.dataset import Dataset, load_dataset, present
from benchmarks.data.expression_space import to_space
from benchmarks.data.harmonise import measured
from benchmarks.data.own_file import own_source
from benchmarks.errors import BenchmarkError, DataError, UnknownName
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import MIN_CELLS, Scope, groups_of
from benchmarks.tasks.question import Question
from benchmarks.tasks.suites import Size, Suite

NO_ARM = "none"
"""Arm of data that have none."""
NK = "nk"
"""Arm that exposed and unexposed cells share under the control rule of that name."""
KINDS = {"drug": "compound", "CRISPR": "gene", "cytokine": "cytokine"}


@dataclass(frozen=True)
class Chosen:
    """Cells of a run, in its space, and the data set they are of (with what the user must be told)."""

    dataset: Dataset
    cells: AnnData
    space: str
    scope: Scope


def choose(request: Question, suite: Suite, data_dir: Path | None = None) -> Chosen:
    """Load a suite's data and keep what the request asks for.

    Raises
    ------
    BenchmarkError
        Data that cannot be had or used; a perturbation or context that is not in them, with the nearest that is.
    """
    source = own_source(request.own) if request.own else _choose_data(request, suite, data_dir)
    dataset = load_dataset(source, data_dir=data_dir, annotation=request.annotation)
    if suite.real and source != suite.real and dataset.card.source == "simulated":
        dataset = _tell(
            dataset,
            f"Simulated cells, not {suite.real}: to have those, python -m benchmarks.data fetch {suite.real}; "
            "docs/suites.md has the steps.",
        )
    chosen = _of_arm(dataset, suite.arm) if request.control_rule == "nontargeting" else dataset.cells
    if request.control_rule == "nk":
        chosen, text = exposed(dataset.cells, suite.arm or NO_ARM)
        card = replace(
            dataset.card, name=f"{dataset.card.name}_nk", control_rule="unexposed cells of the same knock-out"
        )
        dataset = _tell(replace(dataset, card=card, expectation=None), text)
    if request.measured_only:
        dataset, chosen = _measured_only(dataset, chosen)
    cells, space = to_space(chosen, dataset.card.space, request.space)
    scope, missing = scope_of(request, suite, dataset, cells.obs)
    dataset = _tell(dataset, missing)
    if request.preset == "quick" and suite.quick_size:
        cells, text = reduce(cells, suite.quick_size, scope.perturbations or ())
        dataset = _tell(dataset, text)
    return Chosen(dataset, cells, space, scope)


def scope_of(request: Question, suite: Suite, dataset: Dataset, obs: pd.DataFrame) -> tuple[Scope, str]:
    """Settle which conditions are tested, and say which of a named set are not in the data.

    Raises
    ------
    UnknownName
        A perturbation or context that is not in the data.
    DataError
        Nothing of a named set is in the data.
    """
    card = dataset.card
    known = {kind: set(obs[kind].astype(str)) - {CONTROL} for kind in ("perturbation", "context")}
    wanted = request.perturbations or ((suite.tests,) if suite.tests in card.sets else ())
    base = Scope(contexts_held_out=suite.contexts_held_out, one_context=suite.one_context)
    contexts, text = request.contexts, ""
    if len(wanted) == 1 and wanted[0] in card.sets:
        named = card.sets[wanted[0]]
        absent = [p for p in named.perturbations if p not in known["perturbation"]]
        wanted = tuple(p for p in named.perturbations if p not in absent)
        contexts = contexts or named.contexts
        text = f"Not in these data and not tested: {', '.join(absent)}." if absent else ""
        if not wanted:
            raise DataError(f"{card.name} has none of {', '.join(absent)}; name others with --perturbations.")
    kinds = {"perturbation": KINDS.get(card.perturbation_type, "perturbation"), "context": "context"}
    for kind, names in (("perturbation", wanted), ("context", contexts)):
        for name in names:
            if name not in known[kind]:
                sets = card.sets if kind == "perturbation" else {}
                raise UnknownName(f"{kinds[kind]} of {card.name}", name, {*known[kind], *sets})
    return replace(base, perturbations=tuple(sorted(wanted)) or None, contexts=tuple(sorted(contexts)) or None), text


def exposed(cells: AnnData, start_arm: str) -> tuple[AnnData, str]:
    """Take NK-exposed knock-out cells as perturbed and unexposed cells of the same knock-out as their controls.

    Cells without a knock-out are left out, and so are knock-outs with fewer than `MIN_CELLS` unexposed cells in a context.
    Exposed and unexposed cells are separate runs of the sequencer, so that batches cannot be told from the exposure: they
    are one batch for each context.

    Raises
    ------
    DataError
        There is no exposed or no unexposed cell.

    Source
    ------
    Section 2.1 of the CycSeq paper: single-cell expressions of noNK cells as the control group.
    """
    obs = cells.obs
    group = obs["context"].astype(str) + "|" + obs["perturbation"].astype(str)
    start = (obs["arm"] == start_arm).to_numpy()
    knocked = ~obs["is_control"].to_numpy()
    sizes = group[start & knocked].value_counts()
    enough = group.map(sizes).fillna(0).to_numpy() >= MIN_CELLS
    kept = knocked & enough
    if not (kept & start).any() or not (kept & ~start).any():
        raise DataError(
            f"--control-rule nk needs knock-out cells of arm '{start_arm}' and of others, {MIN_CELLS} or more of the first; "
            f"the arms are {', '.join(sorted(set(obs['arm'].astype(str))))}."
        )
    chosen = cells[kept].copy()
    start = start[kept]
    chosen.obs = chosen.obs.assign(
        perturbation=np.where(start, CONTROL, chosen.obs["perturbation"].astype(str)),
        control_group=group[kept].to_numpy(),
        arm=NK,
        batch=chosen.obs["context"].astype(str),
        is_control=start,
    )
    text = (
        f"Control rule nk: {int((~start).sum())} NK-exposed knock-out cells against {int(start.sum())} unexposed cells of the "
        "same knock-out. What is scored is the effect of exposure to NK cells more than that of the knock-out. Left out: "
        f"{int((~knocked).sum())} cells without a knock-out, {int((knocked & ~enough).sum())} of knock-outs with fewer than "
        f"{MIN_CELLS} unexposed cells in a context."
    )
    return chosen, text


def reduce(cells: AnnData, size: Size, keep: tuple[str, ...] = ()) -> tuple[AnnData, str]:
    """Cut cells to a quick size, by labels and names alone, the same for every model.

    Parameters
    ----------
    cells
        Canonical cells in the run's space.
    size
        How much is kept.
    keep
        Perturbations that stay.

    Returns
    -------
    AnnData, str
        Perturbations spread evenly over the sorted names, at most so many random cells of each condition, perturbed genes
        and others spread evenly over the genes; and what was done, in words.
    """
    names = sorted(set(cells.obs["perturbation"].astype(str)) - {CONTROL, *keep})
    kept = {*keep, *_spread(names, size.perturbations - len(keep))}
    rows = []
    for condition, where in groups_of(cells.obs).items():
        if condition.perturbation == CONTROL or condition.perturbation in kept:
            most = size.controls if condition.perturbation == CONTROL else size.cells
            generator = np.random.default_rng(derive(0, "quick", *condition))
            rows.append(generator.permutation(where)[:most])
    perturbed = {part for name in kept for part in name.split("+")}
    targets = [gene for gene in cells.var_names if gene in perturbed]
    others = [gene for gene in cells.var_names if gene not in perturbed]
    genes = {*targets, *_spread(others, size.genes - len(targets))}
    columns = np.flatnonzero(cells.var_names.isin(list(genes)))
    chosen = cells[np.sort(np.concatenate(rows))][:, columns].copy()
    text = (
        f"Preset quick: {len(kept)} of {len(names) + len(keep)} perturbations, {chosen.n_obs:,} of {cells.n_obs:,} cells "
        f"(at most {size.cells} a condition, {size.controls} controls a context), {chosen.n_vars:,} of {cells.n_vars:,} genes, "
        "chosen by name, the same for all models; --preset paper takes all."
    )
    return chosen, text


def _spread(names: list[str], most: int) -> list[str]:
    """Take at most so many names, at even distances."""
    if most >= len(names):
        return names
    return [names[i] for i in np.linspace(0, len(names) - 1, max(0, most)).astype(int)]


def _of_arm(dataset: Dataset, arm: str | None) -> AnnData:
    """Keep the cells of an arm; data without arms are kept whole."""
    arms = set(dataset.cells.obs["arm"].astype(str))
    if arm is None or arms == {NO_ARM}:
        return dataset.cells
    if arm not in arms:
        raise DataError(f"{dataset.card.name} has no cell of arm '{arm}'; it has {', '.join(sorted(arms))}.")
    return dataset.cells[(dataset.cells.obs["arm"] == arm).to_numpy()].copy()


def _measured_only(dataset: Dataset, cells: AnnData) -> tuple[Dataset, AnnData]:
    """Leave out perturbations of genes that are not measured, and say how many."""
    kept = measured(cells.obs, cells.var_names)
    before = set(cells.obs["perturbation"])
    chosen = cells[kept].copy()
    lost = len(before - set(chosen.obs["perturbation"]))
    text = f"{lost} of {len(before) - 1} perturbations left out: a gene of theirs is not measured (--measured-only)."
    return _tell(dataset, text), chosen


def _choose_data(request: Question, suite: Suite, data_dir: Path | None) -> str:
    """Name the data set: the real one, or its simulated twin where the real one is not here."""
    if request.data == "auto":
        if suite.real and (suite.simulated is None or present(suite.real, data_dir)):
            return suite.real
        chosen = suite.simulated
    else:
        chosen = suite.real if request.data == "real" else suite.simulated
    if chosen is None:
        raise BenchmarkError(f"Suite '{suite.name}' has no {request.data} data; leave --data at 'auto'.")
    return chosen


def _tell(dataset: Dataset, text: str) -> Dataset:
    return replace(dataset, warnings=(*dataset.warnings, text)) if text else dataset
