"""Scoring prediction files: bad input raises or gives a status, never a wrong number."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from benchmarks.cli.app import application
from benchmarks.data.readers.h5ad import Keys
from benchmarks.data.readers.labels import Labelling
from benchmarks.errors import DataError
from benchmarks.scoring.external.prediction_files import read_cells
from benchmarks.scoring.external.score_files import ScoringRequest, score_files
from tests.unit.benchmarks.scoring.screens import PERTURBATIONS, screen

KEYS = Keys("perturbation", context="context", labelling=Labelling("+"))


def natural(cells: ad.AnnData) -> ad.AnnData:
    """The same cells as scanpy leaves them: natural logarithms."""
    return ad.AnnData(X=cells.X * np.log(2), obs=cells.obs[["context", "perturbation"]].copy(), var=cells.var.copy())


@pytest.fixture
def files(tmp_path):
    """Truth, a prediction (another draw of the same conditions, no controls) and training cells."""
    whole = natural(screen(seed=0))
    truth = whole[(whole.obs["context"] == "A").to_numpy()].copy()
    other = natural(screen(seed=1))
    predicted = other[((other.obs["context"] == "A") & (other.obs["perturbation"] != "control")).to_numpy()].copy()
    train = whole[(whole.obs["context"] == "B").to_numpy()].copy()
    return {
        name: _write(tmp_path / f"{name}.h5ad", a)
        for name, a in (("truth", truth), ("mine", predicted), ("train", train))
    }


def _write(path, cells):
    cells.write_h5ad(path)
    return path


def change(path, edit):
    """Rewrite a file after an edit that returns the new AnnData or changes it in place."""
    cells = ad.read_h5ad(path)
    edited = edit(cells)
    (edited if isinstance(edited, ad.AnnData) else cells).write_h5ad(path)


def rows(files, model="mine", **request):
    scored = score_files(ScoringRequest((files["mine"],), files["truth"], keys=KEYS, calibrate=False, **request))
    table = scored.scores[scored.scores["model"] == model]
    return table.pivot(index="perturbation", columns="metric", values="value"), table


def test_good_prediction_scores_high(files):
    mine, table = rows(files)
    assert set(table["status"]) == {"ok", "unsupported", "too_few_genes"}
    assert (mine["pearson_delta"] > 0.8).all()
    assert (mine["pds"] == 1).all()
    copied, _ = rows(files, "no_change")
    assert copied["pearson_delta"].to_numpy() == pytest.approx(0.0)


def test_train_file_enables_its_metrics(files):
    _, without = rows(files)
    _, with_train = rows(files, train=files["train"])
    needs = {"pearson_delta_centroid", "e_distance", "mmd_rbf"}
    assert set(without.loc[without["status"] == "unsupported", "metric"]) == needs
    assert not (with_train["status"] == "unsupported").any()
    mean_effect, _ = rows(files, "train_mean", train=files["train"])
    assert np.isfinite(mean_effect["pearson_delta"]).all()


def test_mean_effect_moves_few_cells_and_keeps_the_mean_of_all(files, monkeypatch):
    every, _ = rows(files, "train_mean", train=files["train"])
    monkeypatch.setattr("benchmarks.scoring.references.REFERENCE_CELLS", 5)
    some, _ = rows(files, "train_mean", train=files["train"])
    means = ["mse", "pearson_delta", "r2_pearson"]
    pd.testing.assert_frame_equal(some[means], every[means], rtol=1e-6)
    assert not np.allclose(some["e_distance"], every["e_distance"])


def test_gene_order_of_file_does_not_matter(files):
    before, _ = rows(files)
    change(files["mine"], lambda a: a[:, np.random.default_rng(0).permutation(a.n_vars)].copy())
    after, _ = rows(files)
    pd.testing.assert_frame_equal(before, after)


def test_missing_genes_raise_without_shared(files):
    change(files["mine"], lambda a: a[:, 5:].copy())
    with pytest.raises(DataError, match=r"mine\.h5ad.*'G0'.*--genes shared"):
        rows(files)
    shared, _ = rows(files, genes="shared")
    assert np.isfinite(shared["pearson_delta"]).all()


def test_no_shared_gene_raises(files):
    change(files["mine"], _renamed)
    with pytest.raises(DataError, match="0 genes"):
        rows(files, genes="shared")


def _renamed(cells):
    cells.var_names = [f"ENSG{i}" for i in range(cells.n_vars)]
    return cells


def test_missing_label_column_raises(files):
    change(files["mine"], lambda a: a.obs.pop("perturbation") is None)
    with pytest.raises(DataError, match="--perturbation-key"):
        rows(files)


def test_cells_without_a_label_are_left_out_and_counted(files):
    def blank(cells):
        cells.obs["perturbation"] = cells.obs["perturbation"].astype(object)
        cells.obs.iloc[:3, cells.obs.columns.get_loc("perturbation")] = ""

    change(files["mine"], blank)
    scored = score_files(ScoringRequest((files["mine"],), files["truth"], keys=KEYS, calibrate=False))
    assert any(note.startswith(f"{files['mine'].name}: 3 of ") for note in scored.notes)


def test_condition_without_prediction_fails(files):
    whole, _ = rows(files)
    change(files["mine"], lambda a: a[(a.obs["perturbation"] != "G1").to_numpy()].copy())
    some, table = rows(files)
    missing = table[table["perturbation"] == "G1"]
    assert set(missing["status"]) == {"failed"}
    assert missing["reason"].str.contains("mine.h5ad", regex=False).all()
    assert missing["value"].isna().all()
    kept = [p for p in PERTURBATIONS if p != "G1"]
    assert some.loc[kept, "pearson_delta"].to_numpy() == pytest.approx(whole.loc[kept, "pearson_delta"].to_numpy())


def test_nan_in_prediction_fails_one_condition(files):
    def spoil(cells):
        dense = cells.X.toarray()
        dense[np.flatnonzero(cells.obs["perturbation"] == "G2")[0], 3] = np.nan
        cells.X = sp.csr_matrix(dense)

    change(files["mine"], spoil)
    _, table = rows(files)
    bad = table[table["status"] == "failed"]
    assert set(bad["perturbation"]) == {"G2"}
    assert "NaN" in bad["reason"].iloc[0]


def test_nan_in_truth_raises(files):
    def spoil(cells):
        cells.X.data[:] = np.where(np.arange(cells.X.nnz) == 7, np.nan, cells.X.data)

    change(files["truth"], spoil)
    with pytest.raises(DataError, match=r"truth\.h5ad"):
        rows(files)


def test_counts_and_logarithms_raise(files):
    change(files["mine"], lambda a: setattr(a, "X", sp.csr_matrix(np.rint(a.X.toarray() * 10))))
    with pytest.raises(DataError, match=r"mine\.h5ad.*counts.*truth\.h5ad"):
        rows(files)


def test_normalised_values_without_logarithm_raise(files):
    change(files["mine"], lambda a: setattr(a, "X", a.X * 40.0))
    with pytest.raises(DataError, match="h5ad"):
        rows(files)


def test_counts_on_both_sides_are_normalised(files):
    rng = np.random.default_rng(0)
    before, _ = rows(files)
    for name in ("truth", "mine"):
        change(
            files[name], lambda a: setattr(a, "X", sp.csr_matrix(rng.poisson(np.expm1(a.X.toarray())).astype(float)))
        )
    after, _ = rows(files)
    assert (after["pearson_delta"] > 0.7).all()
    assert not np.allclose(after["mse"], before["mse"])


def test_counts_are_scaled_over_compared_genes(files):
    """A prediction with fewer or more genes has other totals; scaled over all its genes it would not be comparable."""
    for name in ("truth", "mine"):
        change(files[name], lambda a: setattr(a, "X", sp.csr_matrix(np.rint(np.expm1(a.X.toarray())))))
    change(files["mine"], lambda a: a[:, 20:].copy())
    shared, _ = rows(files, genes="shared")
    change(files["truth"], lambda a: a[:, 20:].copy())
    cut, _ = rows(files)
    pd.testing.assert_frame_equal(shared, cut)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_large_files_are_read_by_row(files, monkeypatch, form):
    before, _ = rows(files)
    for name in ("truth", "mine"):
        change(files[name], lambda a: setattr(a, "X", form(a.X.toarray())))
    monkeypatch.setattr("benchmarks.scoring.external.prediction_files.IN_MEMORY", 0)
    after, _ = rows(files, threads=2)
    pd.testing.assert_frame_equal(before, after)


def test_reserved_names_raise(files):
    for name in ("no_change", "oracle"):
        taken = files["mine"].rename(files["mine"].with_name(f"{name}.h5ad"))
        with pytest.raises(DataError, match=name):
            score_files(ScoringRequest((taken,), files["truth"], keys=KEYS))
        taken.rename(files["mine"])


def test_start_prediction_needs_n2p(files):
    with pytest.raises(DataError, match="--direction n2p"):
        rows(files, start="prediction", direction="p2n")


def test_single_row_is_mean_profile(files):
    def average(cells):
        names = sorted(set(cells.obs["perturbation"]))
        x = np.vstack([cells.X[np.flatnonzero(cells.obs["perturbation"] == n)].mean(axis=0) for n in names])
        return ad.AnnData(
            X=np.asarray(x), obs=pd.DataFrame({"context": "A", "perturbation": names}, index=names), var=cells.var
        )

    cells_table, _ = rows(files)
    change(files["mine"], average)
    mean_table, table = rows(files)
    assert set(table.loc[table["status"] == "needs_cells", "metric"]) >= {"des", "wasserstein", "de_auroc"}
    assert mean_table["pearson_delta"].to_numpy() == pytest.approx(cells_table["pearson_delta"].to_numpy(), abs=1e-5)


def test_different_controls_need_start_option(files):
    other = natural(screen(seed=5))
    strangers = other[((other.obs["context"] == "A") & (other.obs["perturbation"] == "control")).to_numpy()].copy()
    strangers.obs_names = [f"x{i}" for i in range(strangers.n_obs)]
    change(files["mine"], lambda a: ad.concat([a, strangers]))
    with pytest.raises(DataError, match=r"truth\.h5ad.*--start"):
        rows(files)
    from_truth, _ = rows(files, start="truth")
    from_own, _ = rows(files, start="prediction")
    assert not np.allclose(from_truth["pearson_delta"], from_own["pearson_delta"])


def test_same_controls_in_both_files(files):
    before, _ = rows(files)
    truth = ad.read_h5ad(files["truth"])
    controls = truth[(truth.obs["perturbation"] == "control").to_numpy()].copy()
    change(files["mine"], lambda a: ad.concat([a, controls]))
    after, _ = rows(files)
    pd.testing.assert_frame_equal(before, after)


def test_wrong_control_label_raises(files):
    for control in ("non-targeting", "G9"):
        with pytest.raises(DataError, match="--control"):
            score_files(
                ScoringRequest(
                    (files["mine"],),
                    files["truth"],
                    keys=Keys("perturbation", context="context", labelling=Labelling("+", (control,))),
                )
            )


def test_context_without_controls_raises(files):
    change(files["truth"], lambda a: a[(a.obs["perturbation"] != "control").to_numpy()].copy())
    with pytest.raises(DataError, match=r"context A.*--control"):
        rows(files)


def test_conditions_with_few_cells_are_left_out(files):
    def thin(cells):
        few = np.flatnonzero(cells.obs["perturbation"] == "G0")[3:]
        return cells[np.setdiff1d(np.arange(cells.n_obs), few)].copy()

    change(files["truth"], thin)
    scored = score_files(ScoringRequest((files["mine"],), files["truth"], keys=KEYS, calibrate=False))
    assert "G0" not in set(scored.scores["perturbation"])
    assert any("A/G0" in note for note in scored.notes)
    assert any("predicts 1 conditions" in note for note in scored.notes)


def test_input_and_reference_controls_are_disjoint_and_listed(files):
    scored = score_files(ScoringRequest((files["mine"],), files["truth"], keys=KEYS, calibrate=False))
    roles = scored.controls.groupby("role")["cell"].agg(set)
    assert not roles["input"] & roles["reference"]
    assert len(roles["input"]) == len(roles["reference"]) == 60


def test_seed_decides_controls(files):
    one, two, again = (rows(files, seed=s)[0]["pearson_delta"] for s in (0, 1, 0))
    assert not np.allclose(one, two)
    pd.testing.assert_series_equal(one, again)


def test_unreadable_file_raises(tmp_path):
    (tmp_path / "x.h5ad").write_text("no")
    with pytest.raises(DataError, match=r"x\.h5ad"):
        read_cells(tmp_path / "x.h5ad", KEYS)
    with pytest.raises(DataError, match=r"y\.h5ad"):
        read_cells(tmp_path / "y.h5ad", KEYS)


def test_csc_file_equals_csr_file(files):
    before, _ = rows(files)
    change(files["mine"], lambda a: setattr(a, "X", sp.csc_matrix(a.X)))
    after, _ = rows(files)
    pd.testing.assert_frame_equal(before, after)


@pytest.mark.parametrize("bad", [("--space", "tpm"), ("--genes", "some"), ("--direction", "up"), ("--start", "mid")])
def test_command_line_rejects_unknown_choices(files, bad):
    result = CliRunner().invoke(application("score"), [str(files["mine"]), "--truth", str(files["truth"]), *bad])
    assert result.exit_code == 2
    assert "expected one of" in result.output


def test_command_line_writes_tables(files, tmp_path):
    arguments = [str(files["mine"]), "--truth", str(files["truth"]), "--train", str(files["train"])]
    result = CliRunner().invoke(
        application("score"),
        [*arguments, "--context-key", "context", "--no-figures", "--out", str(tmp_path / "o")],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "o").glob("2*")
    for name in ("scores.csv", "planted.csv", "conditions.csv", "controls.csv", "leaderboard.csv", "leaderboard.md"):
        assert (folder / name).is_file(), name
    board = pd.read_csv(folder / "leaderboard.csv")
    lead = board[(board["level"] == "suite") & (board["metric"] == "pearson_delta")].set_index("model")
    assert lead.loc["mine", "rank"] == 1
    assert lead.loc["mine", "budget"] == "unknown", "how a prediction file was trained is not known"
    assert lead.loc["split_half", "mean"] > 0.5


def test_single_condition(files, tmp_path):
    change(files["truth"], lambda a: a[a.obs["perturbation"].isin(["control", "G0"]).to_numpy()].copy())
    arguments = [str(files["mine"]), "--truth", str(files["truth"]), "--context-key", "context", "--out", str(tmp_path)]
    result = CliRunner().invoke(application("score"), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
