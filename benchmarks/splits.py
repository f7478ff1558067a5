"""Protocols: who is trained on, who is asked about, and who is the truth.

Every test condition gets four disjoint groups of cells: two of controls (A, B) and two of perturbed cells (A, B).
n2p starts from controls A, is referred to controls B, and its truth is all perturbed test cells; p2n starts from perturbed
cells A, is referred to perturbed B, and its truth is all test controls. So one training serves both directions, and input,
reference, truth and training never share a cell (except under `resampled`, the paper's protocol, which is marked leaky).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL, Direction
from benchmarks.errors import DataError, UnknownName
from benchmarks.seeds import derive

MIN_CELLS = 20
"""A condition with fewer cells is trained on but never tested."""
DRAW_CELLS = 50
"""Cells in one draw of the paper (c_s), used by `resampled`."""
MOST_FOLDS = 5
Index = np.ndarray


@dataclass(frozen=True)
class TestCondition:
    """One condition to be predicted; the arrays are positions in the data set's cells."""

    __test__ = False

    context: str
    perturbation: str
    control_a: Index
    control_b: Index
    perturbed_a: Index
    perturbed_b: Index

    def input(self, direction: Direction) -> Index:
        """Cells the prediction starts from."""
        return self.control_a if direction == "n2p" else self.perturbed_a

    def reference(self, direction: Direction) -> Index:
        """Cells of the input's population, withheld from `fit` and `Query`."""
        return self.control_b if direction == "n2p" else self.perturbed_b

    def truth(self, direction: Direction) -> Index:
        """Cells that a prediction is held against."""
        parts = (self.perturbed_a, self.perturbed_b) if direction == "n2p" else (self.control_a, self.control_b)
        return np.sort(np.concatenate(parts))


@dataclass(frozen=True)
class Split:
    """One fold of one protocol."""

    protocol: str
    fold: int
    leaky: bool
    train: Index
    conditions: tuple[TestCondition, ...]
    held_out: frozenset[tuple[str, str]]
    """(context, perturbation) pairs that may not occur in training."""

    def roles(self, names: pd.Index) -> pd.DataFrame:
        """List every cell's role, one row per cell, role and condition."""
        rows = [pd.DataFrame({"cell": names[self.train], "role": "train", "context": "", "perturbation": ""})]
        for condition in self.conditions:
            for role in ("control_a", "control_b", "perturbed_a", "perturbed_b"):
                rows.append(
                    pd.DataFrame(
                        {
                            "cell": names[getattr(condition, role)],
                            "role": role,
                            "context": condition.context,
                            "perturbation": condition.perturbation,
                        }
                    )
                )
        return pd.concat(rows, ignore_index=True)

    def digest(self, names: pd.Index) -> str:
        """Hash who is where, whatever the order of the cells in the file."""
        table = self.roles(names).sort_values(["role", "context", "perturbation", "cell"])
        return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


@dataclass(frozen=True)
class Protocol:
    """How conditions are held out."""

    name: str
    summary: str
    leaky: bool
    max_folds: Callable[[pd.DataFrame, int], int]
    hold_out: Callable[[pd.DataFrame, int, int, np.random.Generator], frozenset[tuple[str, str]]]
    """(conditions, fold, contexts held out, generator) → pairs tested in this fold."""
    needs: str = "conditions"
    """What the data must have for it, for the error message."""


def split(obs: pd.DataFrame, protocol: str, fold: int, *, seed: int = 0, contexts_held_out: int = 1) -> Split:
    """Divide cells into training cells and test conditions.

    Parameters
    ----------
    obs
        Canonical obs of the data set's cells.
    protocol, fold
        Which protocol, and which of its folds (from 0).
    seed
        Base seed; the same for every model of a run.
    contexts_held_out
        `unseen_context` only: in how many contexts each perturbation is held out at once.

    Raises
    ------
    UnknownName, DataError
        No such protocol or fold, or nothing is left to test or to train on.
    """
    kind = find_protocol(protocol)
    table = conditions(obs)
    folds = n_folds(obs, protocol, contexts_held_out)
    if not 0 <= fold < folds:
        raise DataError(f"Protocol '{protocol}' has folds 0 to {folds - 1} on these data; fold {fold} was asked for.")
    # the order of perturbations is the same in every fold of a protocol, so that folds do not overlap
    held_out = kind.hold_out(table, fold, contexts_held_out, np.random.default_rng(derive(seed, protocol)))
    generator = np.random.default_rng(derive(seed, protocol, fold))
    if protocol == "resampled":
        return _resampled(obs, held_out, fold, generator)
    if protocol == "held_out_cells":
        return _held_out_cells(obs, held_out, fold, generator)
    excluded = np.array(
        [_touches(c, p, held_out, protocol) for c, p in zip(obs["context"], obs["perturbation"], strict=True)]
    )
    tested = {c for c, _ in held_out}
    train, pools = _share_controls(obs, tested, generator)
    keep = ~obs["is_control"].to_numpy() & ~excluded
    train = np.sort(np.concatenate([train, np.flatnonzero(keep)]))
    found = [_condition(c, p, pools[c], _positions(obs, c, p), generator) for c, p in sorted(held_out)]
    return Split(protocol, fold, False, train, tuple(found), held_out)


def find_protocol(name: str) -> Protocol:
    """Look a protocol up by name; raises `UnknownName`."""
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def n_folds(obs: pd.DataFrame, protocol: str, contexts_held_out: int = 1) -> int:
    """Count the folds a protocol has on these cells; raises `DataError` if there is nothing it can test."""
    kind = find_protocol(protocol)
    folds = kind.max_folds(conditions(obs), contexts_held_out)
    if not folds:
        raise DataError(
            f"Protocol '{protocol}' finds no condition to test: it needs {kind.needs} with at least "
            f"{MIN_CELLS} cells each."
        )
    return folds


def conditions(obs: pd.DataFrame) -> pd.DataFrame:
    """List testable perturbed conditions (context, perturbation, cells), contexts by falling number of cells."""
    sizes = obs["context"].value_counts()
    order = {c: i for i, c in enumerate(sorted(sizes.index, key=lambda c: (-sizes[c], c)))}
    table = (
        obs.loc[~obs["is_control"]]
        .groupby(["context", "perturbation"], observed=True)
        .size()
        .rename("cells")
        .reset_index()
    )
    table = table[table["cells"] >= MIN_CELLS].assign(rank=lambda t: t["context"].map(order))
    return table.sort_values(["rank", "perturbation"], ignore_index=True)


# --- which conditions a fold tests -----------------------------------------------------------------------------------


def _contexts_of(table: pd.DataFrame) -> dict[str, list[str]]:
    return {str(p): list(g.sort_values("rank")["context"]) for p, g in table.groupby("perturbation", sort=True)}


def _unseen_context(
    table: pd.DataFrame, fold: int, n_out: int, generator: np.random.Generator
) -> frozenset[tuple[str, str]]:
    """Hold each perturbation out in `n_out` contexts, another set of them in each fold; it stays in at least one."""
    shared = {p: c for p, c in _contexts_of(table).items() if len(c) > n_out}
    order = generator.permutation(sorted(shared)) if len(shared) > 1 else sorted(shared)
    return frozenset(
        (shared[p][(i + fold * n_out + j) % len(shared[p])], str(p))
        for i, p in enumerate(order)
        for j in range(n_out)
        if fold * n_out + j < len(shared[p])
    )


def _unseen_perturbation(
    table: pd.DataFrame, fold: int, n_out: int, generator: np.random.Generator
) -> frozenset[tuple[str, str]]:
    """Hold a fifth of the single perturbations out in every context."""
    names = generator.permutation(_singles(table))
    chosen = set(names[fold :: _perturbation_folds(table, n_out)])
    return frozenset(pair for pair in _pairs(table) if pair[1] in chosen)


def _every_condition(
    table: pd.DataFrame, fold: int, n_out: int, generator: np.random.Generator
) -> frozenset[tuple[str, str]]:
    return frozenset(_pairs(table))


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(c), str(p)) for c, p in zip(table["context"], table["perturbation"], strict=True)]


def _singles(table: pd.DataFrame) -> list[str]:
    return sorted({p for _, p in _pairs(table) if "+" not in p})


def _context_folds(table: pd.DataFrame, n_out: int) -> int:
    widest = max((len(c) for c in _contexts_of(table).values() if len(c) > n_out), default=0)
    return -(-widest // n_out)


def _perturbation_folds(table: pd.DataFrame, n_out: int) -> int:
    singles = len(_singles(table))
    return min(MOST_FOLDS, singles) if singles > 1 else 0


def _five_folds(table: pd.DataFrame, n_out: int) -> int:
    return MOST_FOLDS if len(table) else 0


def _touches(context: str, perturbation: str, held_out: frozenset[tuple[str, str]], protocol: str) -> bool:
    """Say whether a cell's condition may not be trained on: held out itself, or a combination with a part held out."""
    if (context, perturbation) in held_out:
        return True
    return any((context, part) in held_out for part in perturbation.split("+")) and protocol == "unseen_perturbation"


# --- who is who inside a fold ----------------------------------------------------------------------------------------


def _positions(obs: pd.DataFrame, context: str, perturbation: str) -> Index:
    return np.flatnonzero((obs["context"] == context).to_numpy() & (obs["perturbation"] == perturbation).to_numpy())


def _share_controls(
    obs: pd.DataFrame, tested: set[str], generator: np.random.Generator
) -> tuple[Index, dict[str, tuple[Index, Index]]]:
    """Give a third of a tested context's controls to training, a third each to A and B; other contexts train on all."""
    train, pools = [], {}
    for context in sorted(set(obs["context"])):
        cells = _positions(obs, context, CONTROL)
        if context not in tested:
            train.append(cells)
            continue
        if len(cells) < 6:
            raise DataError(
                f"Context {context} has {len(cells)} controls; at least 6 are needed to keep training, input "
                "and reference apart."
            )
        parts = np.array_split(generator.permutation(cells), 3)
        train.append(parts[0])
        pools[context] = (np.sort(parts[1]), np.sort(parts[2]))
    return np.concatenate(train), pools


def _condition(
    context: str, perturbation: str, controls: tuple[Index, Index], cells: Index, generator: np.random.Generator
) -> TestCondition:
    half_a, half_b = (np.sort(h) for h in np.array_split(generator.permutation(cells), 2))
    return TestCondition(context, perturbation, *controls, half_a, half_b)


def _held_out_cells(
    obs: pd.DataFrame, tested: frozenset[tuple[str, str]], fold: int, generator: np.random.Generator
) -> Split:
    """Test on half of every condition's cells, train on the other half."""
    train, pools = _share_controls(obs, {c for c, _ in tested}, generator)
    used, found = [], []
    for context, perturbation in sorted(tested):
        cells = generator.permutation(_positions(obs, context, perturbation))
        test = cells[: len(cells) // 2]
        used.append(test)
        found.append(_condition(context, perturbation, pools[context], test, generator))
    keep = ~obs["is_control"].to_numpy()
    keep[np.concatenate(used)] = False
    train = np.sort(np.concatenate([train, np.flatnonzero(keep)]))
    return Split("held_out_cells", fold, False, train, tuple(found), frozenset())


def _resampled(
    obs: pd.DataFrame, tested: frozenset[tuple[str, str]], fold: int, generator: np.random.Generator
) -> Split:
    """Test on draws of the very cells that are trained on, as the CycSeq paper's leave-one-draw-out does (2.2)."""

    def draw(cells: Index) -> Index:
        return np.sort(generator.choice(cells, min(DRAW_CELLS, len(cells)), replace=False))

    found = []
    for context, perturbation in sorted(tested):
        controls, cells = _positions(obs, context, CONTROL), _positions(obs, context, perturbation)
        found.append(_condition(context, perturbation, (draw(controls), draw(controls)), draw(cells), generator))
    return Split("resampled", fold, True, np.arange(len(obs)), tuple(found), frozenset())


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(
            "unseen_context",
            "a perturbation held out in one context, seen in others",
            False,
            _context_folds,
            _unseen_context,
            "perturbations in two contexts or more",
        ),
        Protocol(
            "unseen_perturbation",
            "perturbations held out in every context",
            False,
            _perturbation_folds,
            _unseen_perturbation,
            "two single perturbations or more",
        ),
        Protocol("held_out_cells", "half of each condition's cells held out", False, _five_folds, _every_condition),
        Protocol(
            "resampled", "the paper's: draws of the cells trained on (leaky)", True, _five_folds, _every_condition
        ),
    )
}
