"""The additive estimate of every change: mean + context + perturbation, each shrunk by what its noise explains.

Per gene, the change of perturbation p in context c is T_cp = m + w_c + v_p + ε_cp, with normal m, w, v and ε: a mixed
model. Its variances are h_g · (m², u, v, e) plus the sampling noise of the cells; a context's controls are shared by all
its changes, so their noise is part of w_c and is taken out again. The estimate is the best linear predictor of m + u_c +
v_p: it says something of pairs never seen together, and says less the less there is to go by.

With doses the model is of the changes pooled over a perturbation's doses, and every change is multiplied by a response to
the dose, the same for all perturbations: r(d) = a + b · log10(d), not below 0, with a and b by least squares.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from cycseq.sampling import Condition, conditions
from cycseq.vocabulary import NO_PERTURBATION, Cells, Vocabulary

POOLED = 0.2
"""Weight of the mean over genes in a gene's own signal variance; chosen on simulated screens."""
SWEEPS = 30
"""Most rounds of the block solution; each takes the largest error down severalfold."""
TOLERANCE = 1e-4
"""The solution is done when no value moves by more than this, in log2 units."""
LEAST_VARIANCE = 1e-6
"""Floor of a gene's noise variance, in (log2 units)²: a gene that never varies has no signal either."""


@dataclass(frozen=True)
class Effects:
    """Expected change of each (context, batch) and perturbation: the sum of a row of each table."""

    batch: Float[np.ndarray, "batch gene"]
    """Mean change in the batch's context, shrunk towards the mean over contexts, log2 units."""
    perturbation: Float[np.ndarray, "perturbation gene"]
    """What a perturbation adds to it in every context, shrunk towards 0, log2 units."""
    response: tuple[float, float] = (1.0, 0.0)
    """a and b: the sum is multiplied by a + b · log10(dose in nM), not below 0; by 1 without doses."""


class _Changes(NamedTuple):
    """Measured changes, one row for each trained (context, perturbation), or for each of its doses."""

    values: Float[np.ndarray, "change gene"]
    context: Int[np.ndarray, " change"]
    p: Int[np.ndarray, " change"]
    own: Float[np.ndarray, " change"]
    """Noise of the perturbed cells, as a share of one cell's variance: 1 / cells."""
    control: Float[np.ndarray, " change"]
    """The same of the controls."""
    noise: Float[np.ndarray, " gene"]
    """Variance of one cell within its condition."""
    dose: Float[np.ndarray, " change"]
    """log10 of the dose in nM; 0 where doses are pooled or there are none."""


class _Variances(NamedTuple):
    """Mean over genes of the variances of m, u, v and e."""

    mean: float
    context: float
    perturbation: float
    rest: float


def estimate(cells: Cells, vocabulary: Vocabulary, keep: Bool[np.ndarray, " cell"]) -> Effects:
    """Estimate the additive effects from the kept cells.

    Parameters
    ----------
    cells, vocabulary
        Training cells; every context with perturbed cells has controls.
    keep
        Cells to use.
    """
    of_batch = np.array([vocabulary.contexts.index(context) for context, _ in vocabulary.batches])
    changes = _changes(cells, of_batch, keep)
    sizes = len(vocabulary.contexts), len(vocabulary.perturbations)
    mean, own, common = _solve(changes, _variances(changes, sizes), _signal(changes), sizes)
    of_context, response = mean + own, (1.0, 0.0)
    if vocabulary.dosed:
        dosed = _changes(cells, of_batch, keep, by_dose=True)
        response = _response(dosed, of_context[dosed.context] + common[dosed.p])
    return Effects(of_context[of_batch].astype(np.float32), common.astype(np.float32), response)


def _response(changes: _Changes, expected: Float[np.ndarray, "change gene"]) -> tuple[float, float]:
    """Fit changes by (a + b · log10 dose) × what is expected of all doses; (1, 0) where one dose cannot tell."""
    weight = 1 / ((changes.own + changes.control)[:, None] * changes.noise)
    size, along = ((weight * expected * other).sum(axis=1) for other in (expected, changes.values))
    powers = np.stack([np.ones_like(changes.dose), changes.dose])  # [2, change]
    normal = (powers * size) @ powers.T
    if np.linalg.matrix_rank(normal) < 2:
        return 1.0, 0.0
    a, b = np.linalg.solve(normal, powers @ along)
    return float(a), float(b)


def _changes(
    cells: Cells, of_batch: Int[np.ndarray, " batch"], keep: Bool[np.ndarray, " cell"], *, by_dose: bool = False
) -> _Changes:
    """Measure changes within batches, and average them over a context's batches (and doses) by perturbed cells."""
    groups = conditions(cells, keep)
    b, p = (np.array([getattr(group, name) for group in groups]) for name in ("batch", "perturbation"))
    size = np.array([len(group.members) for group in groups], dtype=np.float64)
    means, noise = _moments(cells.x, groups)
    control, context = p == NO_PERTURBATION, of_batch[b]
    rows: defaultdict[tuple[int, int, float], list[int]] = defaultdict(list)
    for row in np.flatnonzero(~control):
        rows[int(context[row]), int(p[row]), groups[row].dose if by_dose else 0.0].append(int(row))
    measured = []
    for (c, _, _), own in rows.items():
        pools = [control & (b == b[row]) for row in own]  # a batch without controls takes all of its context
        pools = [np.flatnonzero(pool if pool.any() else control & (context == c)) for pool in pools]
        share = size[own] / size[own].sum()
        against = np.stack([size[pool] @ means[pool] / size[pool].sum() for pool in pools])
        shared = np.square(share) @ np.array([1 / size[pool].sum() for pool in pools])
        measured.append((share @ (means[own] - against), 1 / size[own].sum(), shared))
    values, own_noise, control_noise = (np.array(part) for part in zip(*measured, strict=True))
    contexts, perturbations, doses = (np.array(part) for part in zip(*rows, strict=True))
    return _Changes(values, contexts, perturbations, own_noise, control_noise, noise, doses)


def _moments(
    x: sp.csr_matrix, groups: list[Condition]
) -> tuple[Float[np.ndarray, "condition gene"], Float[np.ndarray, " gene"]]:
    """Mean of each condition, and the variance of a cell within its condition, pooled over conditions."""
    size = np.array([len(group.members) for group in groups])
    members = np.concatenate([group.members for group in groups])
    starts = np.concatenate([[0], np.cumsum(size)])
    own = x[members].astype(np.float64)
    sums = sp.csr_matrix((np.ones(len(members)), np.arange(len(members)), starts), shape=(len(groups), len(members)))
    means = (sums @ own).toarray() / size[:, None]
    squares = np.asarray(own.multiply(own).sum(axis=0)).ravel()
    variance = (squares - size @ np.square(means)) / max(len(members) - len(groups), 1)
    return means, np.maximum(variance, LEAST_VARIANCE)


def _signal(changes: _Changes) -> Float[np.ndarray, " gene"]:
    """Variance of a gene's true changes over their mean over genes: mean 1, all 1 where there is no signal at all."""
    sampling = (changes.own + changes.control).mean() * changes.noise
    raw = np.maximum(np.square(changes.values).mean(axis=0) - sampling, 0)
    pooled = (1 - POOLED) * raw + POOLED * raw.mean()
    return pooled / pooled.mean() if pooled.any() else np.ones_like(pooled)


def _variances(changes: _Changes, sizes: tuple[int, int]) -> _Variances:
    """Variances by the method of moments: mean products of changes that share a context, a perturbation, or neither."""
    values, n_genes = changes.values, changes.values.shape[1]
    total = np.square(values).sum() / n_genes

    def products(label: Int[np.ndarray, " change"], size: int) -> tuple[float, int]:
        """Sum and number of products of different changes with the same label."""
        sums = np.zeros((size, n_genes))
        np.add.at(sums, label, values)
        counts = np.bincount(label, minlength=size)
        return np.square(sums).sum() / n_genes - total, int((counts * (counts - 1)).sum())

    within, n_within = products(changes.context, sizes[0])
    across, n_across = products(changes.p, sizes[1])
    every, n_every = products(np.zeros_like(changes.p), 1)
    n_neither = n_every - n_within - n_across
    noise = changes.noise.mean()
    control, own = noise * changes.control.mean(), noise * changes.own.mean()
    same_p = max(across / n_across, 0) if n_across else 0.0
    same_c = max(within / n_within - control, 0) if n_within else 0.0
    neither = (every - within - across) / n_neither if n_neither else same_p if n_across else same_c
    mean = max(neither, 0)
    context, perturbation = max(same_c - mean, 0), max(same_p - mean, 0)
    rest = max(total / len(values) - mean - context - perturbation - control - own, 0)
    if n_across:
        return _Variances(mean, context, perturbation, rest)
    return _Variances(mean, context, rest, 0.0)  # one context each: what is a perturbation's own cannot be told apart


def _solve(
    changes: _Changes, parts: _Variances, signal: Float[np.ndarray, " gene"], sizes: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict m [gene], u [context, gene] and v [perturbation, gene], by turns, each given the others."""
    values, (n_contexts, n_perturbations) = changes.values, sizes
    precision = 1 / (parts.rest * signal + changes.own[:, None] * changes.noise)  # [change, gene]
    total_c, total_p = (
        _sums(precision, label, size) for label, size in ((changes.context, n_contexts), (changes.p, n_perturbations))
    )
    # controls' noise of each context, the mean over its changes; it is shared by them
    counts = np.maximum(np.bincount(changes.context, minlength=n_contexts), 1)
    control = np.bincount(changes.context, changes.control, n_contexts) / counts
    true_c = np.broadcast_to(parts.context * signal, (n_contexts, len(signal)))
    spread_c = true_c + control[:, None] * changes.noise  # prior variance of w = u + noise of the controls
    mean, w, v = np.zeros(len(signal)), np.zeros_like(total_c), np.zeros_like(total_p)
    for _ in range(SWEEPS):
        before = mean + w[changes.context] + v[changes.p]
        rest = precision * (values - w[changes.context] - v[changes.p])
        mean = _shrink(rest.sum(axis=0), precision.sum(axis=0), parts.mean * signal)
        rest = precision * (values - mean - v[changes.p])
        w = _shrink(_sums(rest, changes.context, n_contexts), total_c, spread_c)
        rest = precision * (values - mean - w[changes.context])
        v = _shrink(_sums(rest, changes.p, n_perturbations), total_p, parts.perturbation * signal)
        if np.abs(mean + w[changes.context] + v[changes.p] - before).max() < TOLERANCE:
            break
    return mean, w * np.divide(true_c, spread_c, out=np.zeros_like(w), where=spread_c > 0), v


def _shrink(weighted: np.ndarray, precision: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Posterior mean under a normal prior of mean 0: Σ w y / (Σ w + 1 / variance), 0 where the variance is 0."""
    return variance * weighted / (variance * precision + 1)


def _sums(values: np.ndarray, label: Int[np.ndarray, " change"], size: int) -> Float[np.ndarray, "label gene"]:
    out = np.zeros((size, values.shape[1]))
    np.add.at(out, label, values)
    return out
