"""Selection of the cells of a run, and of the conditions that are tested; values of cells play no part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL
from benchmarks.data.cell_table import CellTable, View, held, select
from benchmarks.data.dataset import Dataset, load_dataset, present
from benchmarks.data.expression_space import to_space
from benchmarks.data.own_file import own_source
from benchmarks.data.stand_ins import LIST as STAND_INS
from benchmarks.errors import BenchmarkError, DataError, UnknownName
from benchmarks.seeds import derive
from benchmarks.tasks.conditions import MIN_CELLS, Scope, groups_of
from benchmarks.tasks.question import DataSource, Question
from benchmarks.tasks.session import EMPTY, Session
from benchmarks.tasks.suites import Size, Suite

NO_ARM = "none"
"""Arm of data without arms."""
NK = "nk"
"""Arm of all cells under the control rule `nk`."""
KINDS = {"drug": "compound", "CRISPR": "gene", "cytokine": "cytokine"}
"""Type of perturbation → what error messages call one."""


@dataclass(frozen=True)
class Chosen:
    """Cells of a run in its space, and their data set with warnings for the user."""

    dataset: Dataset
    cells: CellTable
    space: str
    scope: Scope
    data: DataSource
    """Which of the suite's data sets it is: under this choice the same one is found again."""


def choose(question: Question, suite: Suite, data_dir: Path | None = None, session: Session = EMPTY) -> Chosen:
    """Load the data of a suite, or of a user's own, and select cells and conditions.

    Raises `BenchmarkError` for data that are missing or not usable, and for a perturbation or context that is not in them.
    """
    own = question.own
    source = own_source(own, session.cells, session.store) if own else _choose_data(question, suite, data_dir)
    dataset = load_dataset(source, data_dir=data_dir, annotation=question.annotation)
    notes, cells, card = [], dataset.cells, dataset.card
    if suite.real and card.source == "simulated":
        own_files = f" (files in its form that {STAND_INS} beside them lists)" if source == suite.real else ""
        notes.append(
            f"Simulated cells{own_files}, not {suite.real}: for the real ones run python -m benchmarks.data fetch "
            f"{suite.real}; docs/suites.md has the steps."
        )
    if question.control_rule == "nk":
        cells, text = exposed(cells, suite.arm or NO_ARM)
        card = replace(card, name=f"{card.name}_nk", control_rule="unexposed cells of the same knock-out")
        dataset = replace(dataset, card=card, expectation=None)
        notes.append(text)
    else:
        cells = _of_arm(dataset, suite.arm)
    if question.measured_only:
        cells, text = measured_only(cells)
        notes.append(text)
    cells, space = to_space(cells, card.space, question.space)
    scope, missing = scope_of(question, suite, dataset, cells.obs)
    notes.append(missing)
    if question.preset == "quick" and suite.quick_size:
        cells, text = reduce(cells, suite.quick_size, scope.perturbations or ())
        notes.append(text)
    dataset = replace(dataset, warnings=(*dataset.warnings, *filter(None, notes)))
    data = card.source if question.own else "real" if source == suite.real else "simulated"
    return Chosen(dataset, held(cells), space, scope, data)


def scope_of(question: Question, suite: Suite, dataset: Dataset, obs: pd.DataFrame) -> tuple[Scope, str]:
    """Select the conditions that are tested, with a note that lists members of a named set that are not in the data, or "".

    Raises `UnknownName` for a perturbation or context that is not in the data, `DataError` where no member of a set is.
    """
    card = dataset.card
    known = {kind: set(obs[kind].astype(str)) - {CONTROL} for kind in ("perturbation", "context")}
    wanted = question.perturbations or ((suite.tests,) if suite.tests in card.sets else ())
    contexts, text = question.contexts, ""
    if len(wanted) == 1 and wanted[0] in card.sets:
        named = card.sets[wanted[0]]
        absent = [p for p in named.perturbations if p not in known["perturbation"]]
        wanted = tuple(p for p in named.perturbations if p not in absent)
        contexts = contexts or named.contexts
        text = f"Not in these data and not tested: {', '.join(absent)}." if absent else ""
        if not wanted:
            raise DataError(f"{card.name} has none of {', '.join(absent)}; name others with --perturbations.")
    kind = KINDS.get(card.perturbation_type, "perturbation")
    for what, names, there, sets in (
        (kind, wanted, known["perturbation"], card.sets),
        ("context", contexts, known["context"], ()),
    ):
        for name in names:
            if name not in there:
                raise UnknownName(f"{what} of {card.name}", name, {*there, *sets})
    tested = tuple(sorted(wanted)) or None, tuple(sorted(contexts)) or None
    return Scope(suite.contexts_held_out, suite.one_context, *tested), text


def exposed(cells: CellTable, start_arm: str) -> tuple[View, str]:
    """Label NK-exposed knock-out cells as perturbed, and unexposed cells of the same knock-out as their controls.

    Cells without a knock-out are left out, and so are knock-outs with fewer than `MIN_CELLS` unexposed cells in a context.
    Exposed and unexposed cells were sequenced separately, so batch and exposure are confounded: each context is one batch.
    Raises `DataError` without exposed or without unexposed cells.

    Source: section 2.1 of the CycSeq paper, single-cell expressions of noNK cells as the control group.
    """
    obs = cells.obs
    group = obs["context"].astype(str) + "|" + obs["perturbation"].astype(str)
    start, knocked = (obs["arm"] == start_arm).to_numpy(), ~obs["is_control"].to_numpy()
    enough = group.map(group[start & knocked].value_counts()).fillna(0).to_numpy() >= MIN_CELLS
    kept = knocked & enough
    if not (kept & start).any() or not (kept & ~start).any():
        raise DataError(
            f"--control-rule nk needs knock-out cells of arm '{start_arm}' and of others, {MIN_CELLS} or more of the first; "
            f"the arms are {', '.join(sorted(set(obs['arm'].astype(str))))}."
        )
    chosen, start = select(cells, kept), start[kept]
    labels = chosen.obs.assign(
        perturbation=np.where(start, CONTROL, chosen.obs["perturbation"].astype(str)),
        control_group=group[kept].to_numpy(),
        arm=NK,
        batch=chosen.obs["context"].astype(str),
        is_control=start,
    )
    text = (
        f"Control rule nk: {int((~start).sum())} NK-exposed knock-out cells against {int(start.sum())} unexposed cells of the "
        "same knock-out. Scores are about the effect of exposure to NK cells more than that of the knock-out. Left out: "
        f"{int((~knocked).sum())} cells without a knock-out, {int((knocked & ~enough).sum())} of knock-outs with fewer than "
        f"{MIN_CELLS} unexposed cells in a context."
    )
    return replace(chosen, obs=labels), text


def reduce(cells: CellTable, size: Size, keep: tuple[str, ...] = ()) -> tuple[View, str]:
    """Reduce cells to a quick size by labels and names, the same for every model; also returns a note for the user.

    Chosen are the perturbations to `keep` and others spread evenly over the sorted names, random cells of each condition, and
    perturbed genes and others spread evenly over the genes.
    """
    names = sorted(set(cells.obs["perturbation"].astype(str)) - {CONTROL, *keep})
    kept = {*keep, *_spread(names, size.perturbations - len(keep))}
    rows = []
    for condition, where in groups_of(cells.obs).items():
        if condition.perturbation == CONTROL or condition.perturbation in kept:
            most = size.controls if condition.perturbation == CONTROL else size.cells
            generator = np.random.default_rng(derive(0, "quick", *condition))
            rows.append(generator.permutation(where)[:most])
    targeted = cells.var_names.isin([part for name in kept for part in name.split("+")])
    others = _spread(list(cells.var_names[~targeted]), size.genes - int(targeted.sum()))
    columns = np.flatnonzero(targeted | cells.var_names.isin(others))
    chosen = replace(select(cells, np.sort(np.concatenate(rows))), columns=columns)
    text = (
        f"Preset quick: {len(kept)} of {len(names) + len(keep)} perturbations, {chosen.n_obs:,} of {len(cells.obs):,} cells "
        f"(at most {size.cells} a condition, {size.controls} controls a context), {chosen.n_vars:,} of "
        f"{len(cells.var_names):,} genes, "
        "chosen by name, the same for all models; --preset paper takes all."
    )
    return chosen, text


def _spread(names: list[str], most: int) -> list[str]:
    """Select at most so many names at even distances."""
    if most >= len(names):
        return names
    return [names[i] for i in np.linspace(0, len(names) - 1, max(0, most)).astype(int)]


def _of_arm(dataset: Dataset, arm: str | None) -> CellTable:
    """Select the cells of an arm; data without arms stay whole."""
    arms = set(dataset.cells.obs["arm"].astype(str))
    if arm is None or arms == {NO_ARM}:
        return dataset.cells
    if arm not in arms:
        raise DataError(f"{dataset.card.name} has no cell of arm '{arm}'; it has {', '.join(sorted(arms))}.")
    return select(dataset.cells, (dataset.cells.obs["arm"] == arm).to_numpy())


def measured_only(cells: CellTable) -> tuple[View, str]:
    """Leave out perturbations of which not all genes are measured: the filter g_k ∩ g_i of section 2.2.

    It is off by default: a perturbation can be predicted whether or not its own gene is measured. Raises `DataError` where no
    perturbed cell is left.
    """
    labels, known = cells.obs["perturbation"].astype(str), set(cells.var_names)
    names = set(labels.unique()) - {CONTROL}
    kept = {p for p in names if known.issuperset(p.split("+"))}
    if not kept:
        raise DataError(
            f"None of the {len(names)} perturbations is of measured genes only, so the filter leaves nothing to predict; "
            "leave it off (it is for reproducing the paper)."
        )
    left_out = f"{len(names - kept)} of {len(names)} perturbations left out"
    text = f"{left_out}: not all of their genes are measured (--measured-only)."
    return select(cells, labels.isin({CONTROL, *kept}).to_numpy()), text


def _choose_data(question: Question, suite: Suite, data_dir: Path | None) -> str:
    """Return the name of the data set: the real one, or its simulated twin if the real one is not present."""
    real = question.data == "real" or (
        question.data == "auto" and suite.real and (suite.simulated is None or present(suite.real, data_dir))
    )
    chosen = suite.real if real else suite.simulated
    if chosen is None:
        raise BenchmarkError(f"Suite '{suite.name}' has no {question.data} data; use --data auto.")
    return chosen
