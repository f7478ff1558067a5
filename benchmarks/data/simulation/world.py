"""The model behind a large screen: what its contexts share, and each context on its own, so that one is held at a time.

It is the regulation of `network.py`, in a form that does not grow with perturbations × genes: ln expression answers
x = A x + b, where A (of the context) holds modules, hubs and a few edges of no module, and b is what the targets push.
A target of activity a pushes a × its edges; its effect on others is (I − A)⁻¹ b. The equation is linear, so a dose scales
a response and a combination adds responses. A has no edge that starts at a target: a change that one perturbation makes in
another's target goes no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.linalg import splu

from benchmarks.data.simulation import network
from benchmarks.data.simulation.design import Design
from benchmarks.data.simulation.perturbed_states import SimulatedState


@dataclass(frozen=True)
class World:
    """What all contexts of a screen share: for tests and references, never for a predictor."""

    genes: tuple[str, ...]
    """Names of the genes, targets among them."""
    targets: Int[np.ndarray, "target"]
    """Column of each target."""
    members: np.ndarray
    """Gene in module, the truth behind the annotation, bool [gene, module]."""
    hubs: Int[np.ndarray, "module"]
    """Column of each module's hub."""
    loads: Float[np.ndarray, "gene module"]
    """What a hub does to its module's genes, the part that all contexts share."""
    background: sp.csr_matrix
    """Edges of no module [gene, gene]."""
    strength: Float[np.ndarray, "target"]
    """Weight of each target's edges."""
    shared: Float[np.ndarray, "target"]
    """Degree to which contexts share a target's edges to hubs, 0.4 to 1."""
    to_hubs: Float[np.ndarray, "target module"]
    """Edges to the hubs of a target's modules, before strength."""
    direct: sp.csr_matrix
    """Edges to genes of no common module, before strength [target, gene]."""
    escape: Float[np.ndarray, "target"]
    """Share of a target's cells that escape."""
    stress: Float[np.ndarray, "context gene"]
    """ln fold change of every perturbed cell."""
    baseline: Float[np.ndarray, "gene"]
    """ln expression before a context adds its own."""
    gene_noise: Float[np.ndarray, "gene"]
    """Factor of each gene's dispersion."""


@dataclass(frozen=True)
class Context:
    """One context's model."""

    control: Float[np.ndarray, "replicate gene"]
    """Expected share of a control cell's counts."""
    stress: Float[np.ndarray, "gene"]
    """ln fold change of every perturbed cell."""
    dispersion: Float[np.ndarray, "gene"]
    """Negative binomial dispersion."""
    depth: float
    """Median counts of a cell."""
    edges: sp.csr_matrix
    """What one unit of a target's activity pushes [target, gene]."""
    regulation: sp.csr_matrix
    """A [gene, gene]: what one unit of a column's gene does to a row's gene."""
    solver: Any
    """Factors of I − A (SuperLU)."""

    def responses(
        self, conditions: Sequence[SimulatedState], world: World, design: Design
    ) -> Float[np.ndarray, "n gene"]:
        """Work out the ln fold change of cells that do not escape, stress left out, for some conditions."""
        weights = np.zeros((len(conditions), len(world.targets)))
        pushed = np.zeros((len(conditions), len(world.genes)))
        for row, condition in enumerate(conditions):
            for number, weight in condition.parts:
                weights[row, number] += weight
            if condition.push is not None:
                pushed[row, world.hubs[condition.push[0]]] += condition.push[1]
        source = design.activity * (sp.csr_matrix(weights) @ self.edges).toarray() + pushed
        response: np.ndarray = self.solver.solve(source.T).T
        if design.holds_target:
            rows, numbers = np.nonzero(weights)
            response[rows, world.targets[numbers]] = design.activity
        return response


def draw_world(rng: np.random.Generator, design: Design) -> World:
    """Draw what all contexts share."""
    n_genes, n_targets = design.n_genes, len(design.targets)
    targets = np.sort(rng.choice(n_genes, n_targets, replace=False))
    members = network.draw_modules(rng, targets, n_genes, design.n_modules)
    candidates = members.copy()
    candidates[targets] = False
    free = np.setdiff1d(np.arange(n_genes), targets)
    hubs = np.array([rng.choice(np.flatnonzero(c) if c.any() else free) for c in candidates.T])
    to_hubs = network.draw_to_hubs(rng, members[targets])
    baseline = rng.normal(0, 1.25, n_genes)
    baseline[targets] = 0.3 + np.abs(baseline[targets])  # what is perturbed is expressed
    names = np.array([f"SIMG{i + 1:05d}" for i in range(n_genes)], dtype=object)
    names[targets] = design.targets
    return World(
        genes=tuple(names),
        targets=targets,
        members=members,
        hubs=hubs,
        loads=network.draw_loads(rng, members),
        background=_drop_columns(_sparse(rng, (n_genes, n_genes), 1 / n_genes, 0.15), targets),
        strength=_strengths(rng, design),
        shared=rng.uniform(0.4, 1.0, n_targets),
        to_hubs=to_hubs,
        direct=_sparse(rng, (n_targets, n_genes), 0.012, 0.25),
        escape=rng.uniform(*design.escape, n_targets),
        stress=network.draw_programme(
            rng, targets, design.stress, share=0.06, n_contexts=len(design.contexts), n_genes=n_genes
        ),
        baseline=baseline,
        gene_noise=np.exp(rng.normal(0, 0.3, n_genes)),
    )


def draw_context(rng: np.random.Generator, number: int, world: World, design: Design) -> Context:
    """Draw a context's own part of regulation, baseline, depth and batches."""
    n_genes, n_targets = len(world.genes), len(world.targets)
    fixed = np.array([name in design.strengths for name in design.targets])
    active = world.strength * ((rng.random(n_targets) >= design.inactive) | fixed)
    to_hubs = network.draw_own_hubs(rng, world.to_hubs, world.shared)
    placed = sp.csr_matrix(
        (np.ones(design.n_modules), (np.arange(design.n_modules), world.hubs)), (design.n_modules, n_genes)
    )
    edges = sp.diags(active) @ (sp.csr_matrix(to_hubs) @ placed + world.direct)
    loads = np.sqrt(0.8) * world.loads + np.sqrt(0.2) * network.draw_loads(rng, world.members)
    a = (world.background + sp.csr_matrix(loads) @ placed).tolil()
    a.setdiag(0)
    a = network.limit_radius(a.tocsr())
    log_mean = world.baseline + rng.normal(0, 1.0, n_genes) * np.where(
        np.isin(np.arange(n_genes), world.targets), 0.25, 1
    )
    control = np.exp(log_mean + rng.normal(0, design.batch_sd, (design.replicates, n_genes)))
    depth = design.counts_per_gene * n_genes * np.exp(rng.normal(0, 0.15))
    floor, slope = design.dispersion
    mean_count = depth * np.exp(log_mean) / np.exp(log_mean).sum()
    return Context(
        control=control / control.sum(axis=1, keepdims=True),
        stress=world.stress[number],
        dispersion=(floor + slope / np.sqrt(mean_count)) * world.gene_noise,
        depth=float(depth),
        edges=edges.tocsr(),
        regulation=a,
        solver=splu(sp.identity(n_genes, format="csc") - a.tocsc()),
    )


def _strengths(rng: np.random.Generator, design: Design) -> np.ndarray:
    """Weights from 0 to `reach`, evenly in their cube root, in random order; those that are set take their place."""
    n = len(design.targets)
    strength = design.reach * rng.permutation((np.arange(n) / max(1, n - 1)) ** 3)
    for number, name in enumerate(design.targets):
        strength[number] = design.strengths.get(name, strength[number])
    return strength


def _sparse(rng: np.random.Generator, shape: tuple[int, int], density: float, sd: float) -> sp.csr_matrix:
    """Normal values at random places, never dense: places are drawn with replacement, values at one place add up."""
    n = rng.poisson(density * shape[0] * shape[1])
    places = rng.integers(shape[0], size=n), rng.integers(shape[1], size=n)
    return sp.csr_matrix((rng.normal(0, sd, n), places), shape)


def _drop_columns(matrix: sp.csr_matrix, columns: np.ndarray) -> sp.csr_matrix:
    kept = np.ones(matrix.shape[1])
    kept[columns] = 0
    return (matrix @ sp.diags(kept)).tocsr()
