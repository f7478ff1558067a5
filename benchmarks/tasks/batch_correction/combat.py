"""ComBat to a reference batch: parametric empirical Bayes, estimated from moments of groups of cells.

Everything ComBat estimates follows from the number, mean and variance of every batch (and covariate level) in it, so
one pass over blocks of cells is enough and the cells are never held together. Variances are divided by n throughout, as
inmoose's `pycombat_norm` does, which the tests hold these estimates against (R's sva divides by n − 1 in all but the
pooled variance). Three rules go beyond both: a gene that does not vary in the reference cannot be standardised and is left as it
comes; a batch without any variance (one cell, say) is shifted and not scaled; a covariate that cannot be told from the
batches is an error.

| paper | here |
| --- | --- |
| α + Xβ | `mean` + covariate effects `slopes`: what the reference expects of a cell |
| σ² | `variance` of the reference |
| γ*, δ²* | `shift`, `scale` of a batch, in units of σ and σ² |

Source: Johnson, Li & Rabinovic 2007, doi:10.1093/biostatistics/kxj037, section 3; reference batch: Zhang, Jenkins,
Manimaran & Johnson 2018, doi:10.1186/s12859-018-2263-6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from anndata import AnnData

from benchmarks.errors import DataError, UnknownName
from benchmarks.tasks.batch_correction.moments import GroupMoments, Moments
from benchmarks.tasks.batch_correction.parameters import Combat, Design

Array = np.ndarray
TOLERANCE = 1e-4
"""Relative change from one round to the next at which the estimates of a batch have settled, as in sva and inmoose."""
MOST_ROUNDS = 10_000
ROUNDING = 1e-14
"""Share of a gene's variance in the reference that rounding leaves where covariates explain all of it."""


def fit(
    blocks: Iterable[tuple[AnnData, Sequence[str]]],
    reference: str,
    *,
    covariates: Sequence[str] = (),
    tolerance: float = TOLERANCE,
) -> Combat:
    """Estimate ComBat's parameters from training and control cells.

    Parameters
    ----------
    blocks
        Cells [cell, gene] and the batch of each; iterated once. Only cells that may be learnt from.
    reference
        The batch that all others are brought to.
    covariates
        Columns of obs whose effects are kept: categories, each value a level.
    tolerance
        Relative change at which a batch's estimates have settled.

    Raises
    ------
    UnknownName
        No cell is in the reference batch.
    DataError
        No cells, blocks that do not fit each other, values that are not finite, or covariates that cannot be told from
        the batches.
    """
    moments: GroupMoments | None = None
    for cells, batches in blocks:
        moments = moments or GroupMoments(cells.var_names)
        if tuple(cells.var_names) != moments.genes:
            raise DataError("Blocks of cells have different genes; bring them to the same genes in the same order.")
        levels = [cells.obs[c].astype(str) for c in covariates]
        moments.add(cells.X, list(zip(map(str, batches), *levels, strict=True)), cells.obs_names)
    if moments is None:
        raise DataError("There are no cells to estimate batch effects from; give the training and control cells.")
    return estimate(moments, reference, covariates=covariates, tolerance=tolerance)


def estimate(
    moments: GroupMoments, reference: str, *, covariates: Sequence[str] = (), tolerance: float = TOLERANCE
) -> Combat:
    """Estimate the parameters from moments gathered before; groups are (batch, level of each covariate).

    Parameters and errors are those of `fit`.
    """
    groups: dict[str, dict[tuple[str, ...], Moments]] = {}
    for group, found in moments.groups.items():
        groups.setdefault(group[0], {})[group[1:]] = found
    if reference not in groups:
        raise UnknownName("reference batch", reference, groups)
    design = Design.of(covariates, {levels for parts in groups.values() for levels in parts})
    slopes = _slopes(groups, design, len(moments.genes))
    centre = _without_covariates(groups[reference], design, slopes)
    raw = _joined(groups[reference].values())
    varies = centre.squares > ROUNDING * raw.squares
    variance = np.where(varies, centre.squares / centre.n, 0.0)
    batches = sorted(groups)
    shift = np.zeros((len(batches), len(moments.genes)))
    scale = np.ones_like(shift)
    sd = np.sqrt(variance[varies])
    for place, batch in enumerate(batches):
        if batch != reference and varies.any():
            found = _without_covariates(groups[batch], design, slopes)
            means = (found.mean[varies] - centre.mean[varies]) / sd
            squares = found.squares[varies] / variance[varies]
            shift[place, varies], scale[place, varies] = shrink(Moments(found.n, means, squares), tolerance)
    return Combat(
        genes=moments.genes,
        batches=tuple(batches),
        reference=reference,
        n_cells=np.array([sum(part.n for part in groups[b].values()) for b in batches]),
        mean=centre.mean,
        variance=variance,
        shift=shift,
        scale=scale,
        design=design,
        slopes=slopes,
        cells_digest=moments.cells_digest,
    )


def shrink(found: Moments, tolerance: float = TOLERANCE) -> tuple[Array, Array]:
    """Empirical Bayes estimates of one batch: its genes lend each other strength.

    Parameters
    ----------
    found
        Moments of the batch in standardised units.
    tolerance
        Relative change at which the estimates have settled.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Shift γ* [gene] and scale δ²* [gene]: conditional posterior means under a normal prior for the shift and an
        inverse gamma prior for the scale, both with moments taken over genes.

    Raises
    ------
    DataError
        The estimates have not settled after `MOST_ROUNDS` rounds.
    """
    n, shift_hat, scale_hat = found.n, found.mean, found.squares / found.n
    centre, width = shift_hat.mean(), shift_hat.var()
    typical, spread = scale_hat.mean(), scale_hat.var()

    def shifted(scale: Array) -> Array:
        weight = n * width + scale
        top = n * width * shift_hat + scale * centre
        return np.divide(top, weight, out=np.full_like(top, centre), where=weight > 0)

    if spread == 0:  # one value for all genes: nothing to weigh; 0 says that the batch has no variance to scale
        scale = np.full_like(scale_hat, typical or 1.0)
        return shifted(scale), scale
    shape = 2 + typical**2 / spread
    rate = typical + typical**3 / spread
    shift, scale = shift_hat, scale_hat
    for _ in range(MOST_ROUNDS):
        old_shift, old_scale = shift, scale
        shift = shifted(old_scale)
        residual = found.squares + n * np.square(shift_hat - shift)
        scale = (residual / 2 + rate) / (n / 2 + shape - 1)
        if max(_change(shift, old_shift), _change(scale, old_scale)) <= tolerance:
            return shift, scale
    raise DataError(
        f"ComBat's estimates of a batch of {n} cells have not settled after {MOST_ROUNDS} rounds; are its values sound?"
    )


def _change(new: Array, old: Array) -> float:
    """Largest change in units of the old value; from 0 to anything else is infinite.

    A negative old value makes its change negative, so that it never counts: so it is in sva and inmoose, and to stop in
    the same round is to give the same estimates. Nothing is missed in the end, for a shift follows from its scale, and
    scales are positive.
    """
    step = np.abs(new - old)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(step == 0, 0.0, step / old).max())


def _slopes(groups: dict[str, dict[tuple[str, ...], Moments]], design: Design, n_genes: int) -> Array:
    """Covariate effects [column, gene] by least squares within batches: batch means are projected out first."""
    k = len(design.columns)
    inner, outer = np.zeros((k, k)), np.zeros((k, n_genes))
    if not k:
        return outer
    for parts in groups.values():
        n = np.array([part.n for part in parts.values()], dtype=np.float64)
        rows = np.stack([design.row(levels) for levels in parts])
        rows = rows - n @ rows / n.sum()
        inner += (rows.T * n) @ rows
        for row, weight, part in zip(rows, n, parts.values(), strict=True):
            outer += np.outer(weight * row, part.mean)
    if np.linalg.matrix_rank(inner, hermitian=True) < k:
        raise DataError(
            f"The covariate levels {', '.join(design.columns)} cannot all be told from the batches: some occur in whole "
            "batches only. Leave the covariate out, or use batches that hold several levels each."
        )
    return np.linalg.solve(inner, outer)


def _without_covariates(parts: dict[tuple[str, ...], Moments], design: Design, slopes: Array) -> Moments:
    """Moments of a batch after the covariates' effects are taken off."""
    return _joined(Moments(p.n, p.mean - design.row(levels) @ slopes, p.squares) for levels, p in parts.items())


def _joined(parts: Iterable[Moments]) -> Moments:
    first, *others = parts
    for other in others:
        first = first.joined(other)
    return first
