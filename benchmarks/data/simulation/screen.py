"""A large simulated screen: cells as a stream of blocks, the noise-free truth, the annotation.

Nothing grows with the number of cells but what the caller keeps: one context's model and one block are held at a time.
Every context and every block has a random stream of its own, so a block is the same whether or not others were made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float, Int

from benchmarks.contract import CONTROL
from benchmarks.data.schema import Reading
from benchmarks.data.simulation.design import Design
from benchmarks.data.simulation.perturbed_states import SimulatedState
from benchmarks.data.simulation.sparse_counts import draw_sparse_counts
from benchmarks.data.simulation.truth import annotate, expect_conditions
from benchmarks.data.simulation.world import Context, World, draw_context, draw_world

ARM = "none"
BLOCK_VALUES = 8_000_000
"""Cells × genes of the largest block."""
_WORLD, _ANNOTATION, _CONTEXT, _SIZES, _CELLS = range(5)


@dataclass(frozen=True)
class Screen:
    """A design and a seed: all cells, the truth behind them and the annotation follow from these two."""

    design: Design
    seed: int

    @cached_property
    def world(self) -> World:
        """What all contexts share: for tests and references, never for a predictor."""
        return draw_world(self._stream(_WORLD), self.design)

    @cached_property
    def annotation(self) -> dict[str, frozenset[str]]:
        """Gene → modules, with missing and false terms; no effect sizes."""
        return annotate(self.world.genes, self.world.members, self._stream(_ANNOTATION), self.design.annotation_noise)

    @cached_property
    def sizes(self) -> Int[np.ndarray, "context condition"]:
        """Cells of each condition in each context, controls left out."""
        shape = len(self.design.contexts), len(self.design.conditions)
        spread = np.exp(self.design.cells_sd * self._stream(_SIZES).standard_normal(shape))
        return np.maximum(self.design.least_cells, np.rint(self.design.cells * spread)).astype(int)

    @property
    def n_cells(self) -> int:
        """Cells of the whole screen, controls included."""
        return int(self.sizes.sum()) + self.design.control_cells * len(self.design.contexts)

    def context(self, number: int) -> Context:
        """Draw one context's model."""
        return draw_context(self._stream(_CONTEXT, number), number, self.world, self.design)

    def reading(self, *, truth: bool = True) -> Reading:
        """Give what a data set's `read.py` returns; without `truth` for screens too large to integrate it."""
        return Reading(self.blocks(), self.annotation, self.expectation() if truth else None)

    def blocks(self) -> Iterator[AnnData]:
        """Draw the cells in canonical form, context by context, controls first."""
        for number in range(len(self.design.contexts)):
            model = self.context(number)
            done = 0
            for block, conditions in enumerate(self._chunks(number)):
                cells = self._draw(model, number, conditions, self._stream(_CELLS, number, block))
                cells.obs_names = [f"{self.design.contexts[number]}-{done + i + 1:07d}" for i in range(cells.n_obs)]
                done += cells.n_obs
                yield cells

    def expectation(self) -> pd.DataFrame:
        """Work out the expected log2(CP10k + 1) of every condition, noise-free.

        Returns
        -------
        pandas.DataFrame
            [condition, gene], indexed by (context, arm, perturbation), and by dose (nM) where conditions have one.
        """
        tables = [self._expect(number) for number in range(len(self.design.contexts))]
        table = pd.concat(tables).set_axis(pd.Index(self.world.genes, dtype=object), axis=1)
        dosed = any(not math.isnan(condition.dose) for condition in self.design.conditions)
        return (table if dosed else table.droplevel("dose")).sort_index()

    def _stream(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))

    def _chunks(self, number: int) -> Iterator[list[tuple[int, int]]]:
        """Divide a context's cells into blocks: lists of (condition, cells), −1 being control."""
        room = max(1, BLOCK_VALUES // self.design.n_genes)
        left, chunk = room, []
        for condition, size in enumerate([self.design.control_cells, *self.sizes[number]], start=-1):
            while size:
                part = min(size, left)
                chunk.append((condition, int(part)))
                size, left = size - part, left - part
                if not left:
                    yield chunk
                    left, chunk = room, []
        if chunk:
            yield chunk

    def _draw(self, model: Context, number: int, chunk: Sequence[tuple[int, int]], rng: np.random.Generator) -> AnnData:
        """Draw one block of cells."""
        design, context = self.design, self.design.contexts[number]
        conditions = [design.conditions[c] for c, _ in chunk if c >= 0]
        states = self._profiles(model, conditions)
        escape = np.array([0.0, *(self._escape(c) for c in conditions)])
        perturbed, sizes = np.array([c >= 0 for c, _ in chunk]), [size for _, size in chunk]
        # 0 is control, then the block's conditions
        which = np.repeat(np.where(perturbed, np.cumsum(perturbed), 0), sizes)
        escaped = (which > 0) & (rng.random(len(which)) < escape[which])
        state = np.where(which == 0, 0, np.where(escaped, 1, which + 1))
        replicate = (np.arange(len(which)) + rng.integers(design.replicates)) % design.replicates
        depth = model.depth * np.exp(design.depth_sd * rng.standard_normal(len(which)))
        counts = draw_sparse_counts(
            states.reshape(-1, design.n_genes), state * design.replicates + replicate, depth, model.dispersion, rng
        )
        names = np.array([CONTROL, *(c.perturbation for c in conditions)], dtype=object)
        obs = pd.DataFrame(
            {
                "perturbation": names[which],
                "context": context,
                "arm": ARM,
                "batch": np.array([f"rep{r + 1}" for r in range(design.replicates)], dtype=object)[replicate],
                "control_group": context,
                "dose": np.array([np.nan, *(c.dose for c in conditions)])[which],
                "is_control": which == 0,
            },
            index=[str(i) for i in range(len(which))],
        )
        return AnnData(X=counts, obs=obs, var=pd.DataFrame(index=pd.Index(self.world.genes, dtype=object)))

    def _profiles(
        self, model: Context, conditions: Sequence[SimulatedState]
    ) -> Float[np.ndarray, "state replicate gene"]:
        """Expected shares of the counts: of controls, of escaped cells, then of each condition."""
        shift = np.zeros((2 + len(conditions), 1, self.design.n_genes))
        shift[1:] += model.stress
        if conditions:
            shift[2:, 0] += model.responses(conditions, self.world, self.design)
        share = model.control * np.exp(shift)
        return share / share.sum(axis=-1, keepdims=True)

    def _escape(self, condition: SimulatedState) -> float:
        """Share of a condition's cells that escape: the mean of its parts'."""
        return float(np.mean([self.world.escape[number] for number, _ in condition.parts]))

    def _expect(self, number: int) -> pd.DataFrame:
        design, model = self.design, self.context(number)
        escape = np.array([self._escape(c) for c in design.conditions])
        profiles = self._profiles(model, design.conditions)
        rows = [(CONTROL, np.nan), *((c.perturbation, c.dose) for c in design.conditions)]
        index = pd.MultiIndex.from_tuples(
            [(design.contexts[number], ARM, *row) for row in rows], names=["context", "arm", "perturbation", "dose"]
        )
        expected = expect_conditions(profiles, escape, model.dispersion, model.depth, design.depth_sd)
        return pd.DataFrame(expected, index=index)


def simulated(design: Callable[[], Design], seed: int) -> Callable[[Mapping[str, Path]], Reading]:
    """Make the `read` of a simulated data set, which has no files."""
    return lambda files: Screen(design(), seed).reading()
