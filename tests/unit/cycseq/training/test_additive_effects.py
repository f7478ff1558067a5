"""The additive estimate: exact without noise, shrunk with it, silent where there is nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from cycseq.data import vocabulary
from cycseq.data.cell_reader import AnnDataReader, Values
from cycseq.training import additive_effects

RNG = np.random.default_rng(3)
GENES, CONTEXTS, NAMES = 40, tuple("ABCDEF"), tuple("PQRSTUVW")
MEAN = RNG.normal(size=GENES)
CONTEXT = {name: 0.5 * RNG.normal(size=GENES) for name in CONTEXTS}
OWN = {name: RNG.normal(size=GENES) for name in NAMES}
BASE = {name: 5 + 0.3 * RNG.normal(size=GENES) for name in CONTEXTS}


def screen(n_cells, noise, *, scale=1.0, left_out=(), shift=0.0):
    """Cells with additive effects; `shift` moves batch "two", in which perturbed cells are three times as many."""
    rng = np.random.default_rng(0)
    rows, parts = [], []
    for context in CONTEXTS:
        for name in ("control", *NAMES):
            if (context, name) in left_out:
                continue
            control = name == "control"
            change = 0.0 if control else scale * (MEAN + CONTEXT[context] + OWN[name])
            for batch, n, offset in (("one", n_cells, 0.0), ("two", n_cells * (1 if control else 3), shift)):
                parts.append(BASE[context] + offset + change + noise * rng.standard_normal((n, GENES)))
                rows += [(context, name, batch)] * n
    obs = pd.DataFrame(rows, columns=["context", "perturbation", "batch"]).astype(str)
    obs.index = obs.index.astype(str)
    adata = AnnData(sp.csr_matrix(np.concatenate(parts).astype(np.float32)), obs=obs)
    known = vocabulary.from_adata(adata)
    return vocabulary.encode(adata, known), known


def estimate(n_cells, noise, **changes):
    cells, known = screen(n_cells, noise, **changes)
    found = additive_effects.estimate(cells, known, np.ones(len(cells.batch), dtype=bool))
    return lambda context, name: (
        found.batch[known.batches_of(context)[0], 0] + found.perturbation[known.perturbations.index(name), 0]
    )


def size(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_without_noise_a_condition_never_seen_is_nearly_the_sum_of_its_parts():
    found, true = estimate(3, 0.001, left_out=[("A", "P")])("A", "P"), MEAN + CONTEXT["A"] + OWN["P"]
    assert size(found - true) < 0.2 * size(true)


def test_changes_are_measured_within_batches():
    """Perturbed cells are more in batch two, whose shift would else look like a change."""
    assert estimate(3, 0.001, shift=2.0)("B", "Q") == pytest.approx(estimate(3, 0.001)("B", "Q"), abs=0.01)


def test_noise_alone_is_shrunk_to_a_small_part_of_itself():
    raw = np.sqrt(1 / 40 + 1 / 20)  # noise of one measured change: 10 + 30 perturbed cells, 10 + 10 controls
    assert size(estimate(10, 1.0, scale=0.0)("A", "P")) < 0.3 * raw


def test_one_perturbation_in_several_contexts_is_about_their_mean():
    """Seven of eight perturbations gone: no context has a second one to tell its own share from."""
    others = [(context, name) for context in CONTEXTS for name in NAMES[1:]]
    found = estimate(20, 0.01, left_out=[*others, ("F", "P")])("F", "P")
    mean = MEAN + OWN["P"] + np.mean([CONTEXT[name] for name in CONTEXTS[:-1]], axis=0)
    assert size(found - mean) < 0.2 * size(mean)


def test_shrink_by_hand():
    """Two values 3 and 5 of noise variance 2 under a prior of variance 1: (1.5 + 2.5) / (0.5 + 0.5 + 1) = 2."""
    found = additive_effects._shrink(np.array([3 / 2 + 5 / 2]), np.array([1 / 2 + 1 / 2]), np.array([1.0]))
    assert found == pytest.approx([2.0])


def test_variances_by_hand():
    """Two contexts × two perturbations, one gene: changes 3, 1 and 1, −1 without noise."""
    values = np.array([[3.0], [1.0], [1.0], [-1.0]])
    none = np.zeros(4)
    changes = additive_effects._Changes(
        values, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), none, none, np.zeros(1), np.ones((4, 1))
    )
    # shared context: (3·1 + 1·−1)/2 = 1; shared perturbation: (3·1 + 1·−1)/2 = 1; neither: (3·−1 + 1·1)/2 = −1 → 0
    # mean square (9 + 1 + 1 + 1)/4 = 3, of which 1 is the contexts' and 1 the perturbations'
    assert additive_effects._variances(changes, (2, 2)) == (
        pytest.approx([0]),
        pytest.approx([1]),
        pytest.approx([1]),
        pytest.approx(1),
    )


def test_variances_of_intercepts_and_slopes_by_hand():
    """One gene, two contexts × two perturbations × two doses at ±1; change = perturbation's own slope × dose, ±2."""
    label = np.array([(c, p, d) for c in (0, 1) for p in (0, 1) for d in (-1.0, 1.0)])
    slope = np.where(label[:, 1] == 0, 2.0, -2.0)
    none, terms = np.zeros(8), np.stack([np.ones(8), label[:, 2]], axis=1)
    contexts, perturbations = (label[:, column].astype(int) for column in (0, 1))
    changes = additive_effects._Changes(
        (slope * label[:, 2])[:, None], contexts, perturbations, none, none, np.zeros(1), terms
    )
    found = additive_effects._variances(changes, (2, 2))
    assert found.perturbation == pytest.approx([0.0, 4.0])
    assert found.mean == pytest.approx([0.0, 0.0])
    assert found.context == pytest.approx([0.0, 0.0])
    assert found.rest == pytest.approx(0.0)


def test_doses_scale_what_a_perturbation_does():
    """Effects of half size at 10 nM and of full size at 1 µM, in cells almost without noise."""
    cells, known = screen(3, 0.001)
    low, _ = screen(3, 0.001, scale=0.5)
    both = vocabulary.Cells(
        Values(AnnDataReader(AnnData(sp.vstack([*cells.x.blocks(), *low.x.blocks()], format="csr")))),
        np.concatenate([cells.perturbation, low.perturbation]),
        np.concatenate([cells.batch, low.batch]),
        np.concatenate([np.where(c.perturbation < 0, 0.0, d) for c, d in ((cells, 3.0), (low, 1.0))]),
    )
    found = additive_effects.estimate(both, replace(known, doses=(1.0, 100.0)), np.ones(len(both.batch), dtype=bool))
    line = found.batch[known.batches_of("A")[0]] + found.perturbation[known.perturbations.index("P")]
    true = MEAN + CONTEXT["A"] + OWN["P"]
    for dose, share in ((3.0, 1.0), (1.0, 0.5)):
        assert size(line[0] + (dose - found.centre) * line[1] - share * true) < 0.1 * size(true)
