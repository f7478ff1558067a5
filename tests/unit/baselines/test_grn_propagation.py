"""The gene network: its coefficients are ridge regression's, and a linear network's knock-out is recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from baselines.grn_propagation import GrnPropagation, Network, own_gene_raised
from benchmarks.contract import CONTROL, Query
from benchmarks.errors import ContractError, Unsupported
from tests.unit.baselines.planted import cells_of, query_of, train_of

BASE = 6.0
EDGES = {(1, 0): 0.9, (2, 0): -0.8, (3, 1): 0.9, (4, 2): 0.7, (6, 5): 0.9}
"""(gene, regulator) → strength: 0 drives 1 and 2, these drive 3 and 4; 5 drives 6; 7 is alone."""


def linear_controls(n_cells: int = 3000) -> AnnData:
    """Cells of x = A x + noise, at stationarity, around 6."""
    a = np.zeros((8, 8))
    for (gene, regulator), strength in EDGES.items():
        a[gene, regulator] = strength
    noise = np.random.default_rng(0).normal(0, 0.7, (n_cells, 8))
    cells = cells_of({("x", CONTROL): np.full(8, BASE)}, n_cells=n_cells, genes=tuple(f"G{i}" for i in range(8)))
    return AnnData(
        sp.csr_matrix((BASE + noise @ np.linalg.inv(np.eye(8) - a).T).astype(np.float32)), cells.obs, cells.var
    )


def knock_out(gene: int) -> np.ndarray:
    """What the network itself answers when a gene is held at 0."""
    a = np.zeros((8, 8))
    for (target, regulator), strength in EDGES.items():
        a[target, regulator] = strength
    a[gene] = 0
    held = np.zeros(8)
    held[gene] = -BASE
    return np.linalg.solve(np.eye(8) - a, held)


def test_knock_out_of_linear_network():
    model = GrnPropagation(ridge=0.01, n_components=8)
    cells = linear_controls()
    model.fit(train_of(cells), seed=0)
    for gene in (0, 5):
        query = Query("x", f"G{gene}", "n2p", cells[:50], seed=0)
        start = np.asarray(cells[:50].X.mean(axis=0)).ravel()
        found = model.predict(query).mean() - start
        truth = np.maximum(knock_out(gene), -BASE)
        assert found[gene] == pytest.approx(-min(BASE, start[gene]), abs=0.05)  # no mean below 0
        others = np.arange(8) != gene
        assert np.corrcoef(found[others], truth[others])[0, 1] > 0.95
        touched = np.abs(truth) > 0.5
        assert (np.sign(found[touched]) == np.sign(truth[touched])).all()
        assert np.abs(found[truth == 0]).max() < 0.7  # sampling error of 512 controls, the most that a fit gets


def test_step_is_ridge_regression():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    x -= x.mean(axis=0)
    covariance, penalty = x.T @ x / 199, 0.7
    values, vectors = np.linalg.eigh(covariance)
    network = Network(vectors, values / (values + penalty), np.full(5, 9.0))  # all components: nothing is left over
    coefficients = np.zeros((5, 5))
    for gene in range(5):
        rest = np.arange(5) != gene
        normal = covariance[np.ix_(rest, rest)] + penalty * np.eye(4)
        coefficients[gene, rest] = np.linalg.solve(normal, covariance[rest, gene])
    change = rng.normal(size=5)
    assert network.step(change) == pytest.approx(coefficients @ change)
    held = network.spread([2], [-9.0], 1)
    expected = np.maximum(coefficients[:, 2] * -9.0, -9.0)
    expected[2] = -9.0
    assert held == pytest.approx(expected)


def test_no_gene_falls_below_zero():
    strong = Network(np.array([[1.0], [1.0]]) / np.sqrt(2), np.array([0.999]), np.array([8.0, 0.5]))
    assert strong.spread([0], [-8.0], 3) == pytest.approx([-8.0, -0.5])


def test_unsupported_queries():
    model = GrnPropagation()
    model.fit(train_of(linear_controls(50)), seed=0)
    query = query_of(np.full(8, BASE), "x", "TP53", genes=tuple(f"G{i}" for i in range(8)))
    with pytest.raises(Unsupported, match="TP53"):
        model.predict(query)
    with pytest.raises(Unsupported, match="controls in y"):
        model.predict(replace(query, perturbation="G1", context="y"))
    with pytest.raises(Unsupported, match="drug"):
        GrnPropagation().fit(train_of(linear_controls(50), kind="drug"), seed=0)
    with pytest.raises(Unsupported, match="no context"):
        GrnPropagation().fit(train_of(linear_controls(5)), seed=0)
    with pytest.raises(ContractError, match="n_steps"):
        GrnPropagation(n_steps=0)


def test_activation_raises_own_gene():
    genes = {"A": 0, "B": 1, "C": 2}

    def table(own: list[float]) -> pd.DataFrame:
        index = pd.MultiIndex.from_tuples([("x", name) for name in genes], names=["context", "perturbation"])
        return pd.DataFrame(np.diag(own), index=index, columns=list(genes))

    assert own_gene_raised(table([1.0, 1.2, 1.4])) == pytest.approx(1.2)
    assert own_gene_raised(table([-1.0, -1.2, -1.4])) == 0.0
    assert own_gene_raised(table([3.0, -2.0, 0.1])) == 0.0, "not clearly"
    assert own_gene_raised(table([1.0, 1.2, 1.4])[:2]) == 0.0, "too few to tell"
