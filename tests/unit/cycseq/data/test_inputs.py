"""Input that cannot be used: each mistake has an error of its own that says what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

from cycseq import (
    CheckpointError,
    ConfigError,
    CycSeq,
    DataError,
    UnknownBatch,
    UnknownContext,
    UnknownPerturbation,
    lone_cells,
)


def only(cells, **labels):
    keep = np.ones(cells.n_obs, dtype=bool)
    for column, value in labels.items():
        keep &= (cells.obs[column] == value).to_numpy()
    return np.flatnonzero(keep)


# --- genes ---------------------------------------------------------------------------------------------------------


def test_genes_in_another_order(model, screen, controls):
    turned = controls[:, ::-1]
    for call in (
        lambda: model.predict(turned, perturbation="G1"),
        lambda: model.fine_tune(screen[:, ::-1], context="lineA"),
    ):
        with pytest.raises(DataError, match=r"in another order; expected the same genes in the same order\. Select"):
            call()
    fixed = model.predict(turned[:, list(model.vocabulary.genes)], perturbation="G1")
    assert np.array_equal(fixed.X, model.predict(controls, perturbation="G1").X)


def test_genes_missing_or_too_many(model, controls):
    with pytest.raises(DataError, match=r"2 of the model's 40 genes: SIM0, SIM1"):
        model.predict(controls[:, 2:], perturbation="G1")
    more = AnnData(
        sp.hstack([controls.X, controls.X[:, :1]], format="csr"),
        obs=controls.obs,
        var=pd.DataFrame(index=[*controls.var_names, "EXTRA"]),
    )
    with pytest.raises(DataError, match=r"40 genes are there, among 41 columns; .*Select them: adata\[:, "):
        model.predict(more, perturbation="G1")


def test_genes_twice(model, cells, config):
    cells.var_names = ["SIM1", *cells.var_names[1:]]
    for call in (
        lambda: CycSeq(config).pretrain(cells),
        lambda: model.predict(cells[:10], perturbation="G1", context="lineA"),
    ):
        with pytest.raises(DataError, match=r"1 genes are there more than once: SIM1; .*var_names_make_unique"):
            call()


# --- values ----------------------------------------------------------------------------------------------------------


def test_nan_and_infinite_values(model, cells, controls, config):
    controls.X.data[3] = np.nan
    with pytest.raises(DataError, match="1 NaN"):
        model.predict(controls, perturbation="G1")
    cells.X.data[[1, 2]] = np.inf
    with pytest.raises(DataError, match="2 NaN"):
        CycSeq(config).pretrain(cells)


def test_negative_values_need_a_linear_output(model, cells, controls, config):
    controls.X.data[3] = -0.25
    with pytest.raises(DataError, match=r'lowest -0\.25.*output="linear"'):
        model.predict(controls, perturbation="G1")
    cells.X = sp.csr_matrix(cells.X.toarray() - 1)
    with pytest.raises(DataError, match="values below 0"):
        CycSeq(config).pretrain(cells)
    linear = CycSeq(replace(config, model=replace(config.model, output="linear")))
    linear.pretrain(cells)
    assert linear.predict(cells[only(cells, context="lineA", perturbation="control")], perturbation="G1").X.min() < 0


def test_counts_instead_of_logarithms(model, cells, controls, config):
    counts = np.random.default_rng(0).poisson(20, cells.shape).astype(np.float32)
    cells.X = sp.csr_matrix(counts)
    with pytest.raises(DataError, match=r"whole numbers up to \d+: counts; expected log2 .*log1p\(adata, base=2\)"):
        CycSeq(config).pretrain(cells)
    per_10k = cells.copy()
    per_10k.X = sp.csr_matrix(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    with pytest.raises(DataError, match=r"values up to \d+.*no logarithms"):
        CycSeq(config).pretrain(per_10k)
    controls.X = sp.csr_matrix(counts[: controls.n_obs])
    with pytest.raises(DataError, match="counts"):
        model.predict(controls, perturbation="G1")


def test_few_whole_log_values_are_no_counts(model, controls):
    """log2(count + 1) of cells with 0, 1, 3 and 7 counts is whole, and right."""
    controls.X = sp.csr_matrix(np.tile([0.0, 1.0, 2.0, 3.0], (controls.n_obs, 10)).astype(np.float32))
    assert model.predict(controls, perturbation="G1").shape == (12, 40)


def test_no_cells_and_no_genes(model, screen, config):
    with pytest.raises(DataError, match="no cells"):
        model.predict(screen[:0], perturbation="G1", context="lineA")
    for empty in (screen[:0], screen[:, :0]):
        with pytest.raises(DataError, match="genes"):
            CycSeq(config).pretrain(empty)


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["perturbation", "context", "batch"])
def test_missing_columns_and_labels(cells, config, column):
    broken = cells.copy()
    del broken.obs[column]
    with pytest.raises(DataError, match=column):
        CycSeq(config).pretrain(broken)
    for nothing in (np.nan, ""):
        spoilt = cells.copy()
        spoilt.obs[column] = spoilt.obs[column].astype(object)
        spoilt.obs.iloc[[5, 9], spoilt.obs.columns.get_loc(column)] = nothing
        with pytest.raises(DataError, match=rf"obs\['{column}'\] has no label for 2 of 1224 cells"):
            CycSeq(config).pretrain(spoilt)


def test_only_controls(controls, config):
    with pytest.raises(DataError, match=r"All 120 cells are labelled 'control'.*expected perturbed cells"):
        CycSeq(config).pretrain(controls)


def test_a_context_without_or_with_few_controls(cells, config):
    of_a = only(cells, context="lineA", perturbation="control")
    none = cells[np.setdiff1d(np.arange(cells.n_obs), of_a)]
    with pytest.raises(DataError, match=r"Context 'lineA' has 0 control cells .*at least 4 .*leave the context out"):
        CycSeq(config).pretrain(none)
    few = cells[np.setdiff1d(np.arange(cells.n_obs), of_a[:-3])]
    with pytest.raises(DataError, match="Context 'lineA' has 3 control cells"):
        CycSeq(config).pretrain(few)


def test_one_cell_conditions(cells, config):
    own = only(cells, context="lineB", batch="rep2", perturbation="G4")
    lonely = cells[np.setdiff1d(np.arange(cells.n_obs), own[1:])]
    with pytest.raises(DataError, match=r"1 condition\(s\) have one cell.*G4 in lineB / rep2.*lone_cells"):
        CycSeq(config).pretrain(lonely)
    mask = lone_cells(lonely)
    assert lonely.obs_names[mask].tolist() == [cells.obs_names[own[0]]]
    assert CycSeq(config).pretrain(lonely[~mask]).best_epoch in (0, 1)
    assert CycSeq(replace(config, unit="cell")).pretrain(lonely).best_epoch in (0, 1)


def test_lone_cells_are_counted_by_dose(cells):
    cells.obs["dose"] = np.where(cells.obs["perturbation"] == "control", np.nan, 10.0)
    assert not lone_cells(cells).any()
    cells.obs.iloc[only(cells, perturbation="G1")[0], cells.obs.columns.get_loc("dose")] = 100.0
    assert lone_cells(cells).sum() == 1


# --- names the model does not know -----------------------------------------------------------------------------------


def test_unknown_names_in_fine_tuning(model, cells):
    with pytest.raises(UnknownContext, match=r"Unknown context 'lineX'.*Known: lineA, lineB, lineC\. Pre-train"):
        model.fine_tune(cells, context="lineX")
    with pytest.raises(DataError, match=r"lineA.*lineB, lineC"):
        model.fine_tune(
            cells[only(cells, context="lineB").tolist() + only(cells, context="lineC").tolist()], context="lineA"
        )
    other = cells.copy()
    other.obs["batch"] = "rep7"
    with pytest.raises(UnknownBatch, match=r"Unknown batch 'rep7'.*Known: rep1, rep2\. Pre-train with cells of it"):
        model.fine_tune(other, context="lineA")
    other = cells.copy()
    other.obs["perturbation"] = other.obs["perturbation"].replace("G4", "G9")
    with pytest.raises(UnknownPerturbation, match=r"'G9'.*leave them out of fine-tuning"):
        model.fine_tune(other, context="lineA")


def test_unknown_perturbation_suggests_and_explains(model, controls):
    with pytest.raises(
        UnknownPerturbation, match=r"Unknown perturbation 'G11'\. Did you mean 'G1'.*no embedding.*Unseen"
    ):
        model.predict(controls, perturbation="G11")
    assert issubclass(UnknownPerturbation, KeyError)


def test_cells_of_several_contexts_or_of_the_wrong_state(model, cells, controls):
    every = cells[only(cells, perturbation="control")]
    with pytest.raises(DataError, match=r"3 contexts \(lineA, lineB, lineC\)"):
        model.predict(every, perturbation="G1")
    of_a = cells[only(cells, context="lineA")]
    with pytest.raises(DataError, match=r"288 of 408 cells.*n2p.*control"):
        model.predict(of_a, perturbation="G1")
    with pytest.raises(DataError, match=r"120 of 120 cells.*G1"):
        model.predict(controls, perturbation="G1", direction="p2n")
    del of_a.obs["perturbation"]
    assert model.predict(of_a, perturbation="G1").obs["n_cells"].sum() == 408


def test_a_dose_where_there_are_none(model, controls):
    with pytest.raises(DataError, match=r"perturbation is \('G1', 10\.0\); expected a name"):
        model.predict(controls, perturbation=("G1", 10.0))


def test_latents_of_what_has_no_label(model, controls):
    with pytest.raises(ConfigError, match="perturbation is None with direction 'n2p'"):
        model.latent(controls, direction="n2p")
    with pytest.raises(DataError, match="All cells are controls"):
        model.latent(controls)


# --- files -----------------------------------------------------------------------------------------------------------


def test_checkpoints_that_are_missing_or_of_another_version(model, tmp_path):
    path = tmp_path / "model.pt"
    model.save(path)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"version": 999}, path)
    with pytest.raises(CheckpointError, match=r"'model\.pt' has format version 999; this release reads"):
        CycSeq.load(path)
    with pytest.raises(CheckpointError, match=r"nothing\.pt' does not exist; expected a checkpoint"):
        CycSeq.load(tmp_path / "nothing.pt")
