"""The fidelity report: counts come back whole, statistics are right, and the twins' counts stay in their bands."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from benchmarks.analyses.simulation_fidelity.count_statistics import (
    Counts,
    control_counts,
    gene_table,
    outside_bands,
    restore,
    summary,
)
from benchmarks.analyses.simulation_fidelity.effect_sizes import effect_table, permuted_e_distances
from benchmarks.analyses.simulation_fidelity.fidelity_report import DIFFERENCES, default_twins, page_text
from benchmarks.cli.app import application
from benchmarks.cli.console import EXIT_USAGE
from benchmarks.data.cards import read_card
from benchmarks.data.dataset import Dataset
from benchmarks.data.simulation import network
from benchmarks.data.simulation.screen import Screen
from benchmarks.data.simulation.two_arms import FROZEN, draw_counts
from benchmarks.data.sources import load_reader
from benchmarks.errors import DataError
from benchmarks.scoring.metrics.distribution import e_distance
from tests.conftest import make_cells

LARGE = ("norman_simulated", "replogle_simulated", "sciplex_simulated", "triangular_simulated")


def whole(matrix):
    matrix = sp.csr_matrix(matrix)
    return Counts(matrix, np.asarray(matrix.sum(axis=1)).ravel(), 0)


def frozen_controls(n=400):
    """Control cells of cropseq_simulated's first context, from its own network."""
    stream = np.random.SeedSequence(load_reader("cropseq_simulated").BENCHMARK_SEED).spawn(3)[0]
    model = network.build_network(np.random.Generator(np.random.PCG64(stream)), FROZEN)
    none = np.zeros(n, int)
    rows = np.stack([none, none, np.full(n, network.CONTROL_STATE), np.arange(n) % FROZEN.replicates])
    return whole(draw_counts(model, rows, np.random.default_rng(0), FROZEN.depth_sd))


@pytest.mark.parametrize("name", ["cropseq_simulated", *LARGE])
def test_count_statistics_in_bands(name):
    if name == "cropseq_simulated":
        counts = frozen_controls()
    else:
        reader = load_reader(name)
        block = next(Screen(reader.design(), reader.SEED).blocks())
        counts = whole(block.X[block.obs["is_control"].to_numpy()])
    assert outside_bands(summary(counts)) == []


def test_unrealistic_cells_leave_bands():
    """Poisson counts of one depth are too regular, and are told from real ones."""
    rng = np.random.default_rng(0)
    counts = whole(rng.poisson(np.exp(rng.normal(-1, 1.5, 1000)), (400, 1000)))
    assert {"sd_ln_depth", "dispersion_1_3", "variance_by_mean_1_3"} <= set(outside_bands(summary(counts)))


def test_intended_differences_are_listed():
    assert any(text.startswith("Effects:") for text in DIFFERENCES)
    assert any(text.startswith("Sign:") for text in DIFFERENCES)


def test_restore_counts():
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.6, (50, 80))
    library = counts.sum(axis=1) + rng.integers(500, 5000, 50)  # the panel is part of the library
    counts[7] *= 2  # no gene has one count: unless each has an even one, the cell cannot be restored
    counts[7, 3] = 3
    library[7] = 4000
    values = sp.csr_matrix(np.log1p(1e4 * counts / library[:, None])).astype(np.float32)
    back = restore(values)
    kept = np.arange(50) != 7
    assert back.left_out == 1
    np.testing.assert_array_equal(back.matrix.toarray(), counts[kept])
    np.testing.assert_allclose(back.depth, library[kept], rtol=1e-4)
    np.testing.assert_array_equal(restore(values / np.float32(np.log(2)), base=2.0).matrix.toarray(), counts[kept])


def test_dispersion_of_simulated_counts():
    rng = np.random.default_rng(2)
    depth = np.exp(0.4 * rng.standard_normal(20_000))
    mean, dispersion = np.array([0.5, 2.0, 8.0]), np.array([1.0, 0.4, 0.2])
    x = rng.poisson(depth[:, None] * mean * dispersion * rng.standard_gamma(1 / dispersion, (20_000, 3)))
    genes = gene_table(Counts(sp.csr_matrix(x), depth, 0))
    np.testing.assert_allclose(genes.dispersion, dispersion, rtol=0.12)
    np.testing.assert_allclose(genes.mean, x.mean(axis=0))
    np.testing.assert_allclose(genes.variance, x.var(axis=0, ddof=1))
    np.testing.assert_allclose(genes.detected, (x > 0).mean(axis=0))


def test_z_scores_raise(smoke):
    zscored = replace(smoke, card=replace(smoke.card, space="zscore"))
    with pytest.raises(DataError, match="comes as 'zscore'"):
        control_counts(zscored, "sim_A")


def test_permuted_distances_match_metric():
    rng = np.random.default_rng(3)
    one, other = rng.normal(0, 1, (30, 4)), rng.normal(0, 1, (40, 4))
    null = permuted_e_distances(one, other, np.random.default_rng(0))
    side = np.zeros((199, 70))
    np.put_along_axis(side, np.argsort(np.random.default_rng(0).random(side.shape), axis=1)[:, :30], 1.0, axis=1)
    everything = np.concatenate([one, other])
    expected = [e_distance(everything[s == 1], everything[s == 0]) for s in side[:20]]
    np.testing.assert_allclose(null[:20], expected)
    assert abs(null.mean()) < 0.02
    assert e_distance(one + 1, other) > null.max()


@pytest.fixture(scope="module")
def two_effects():
    """One context, 200 genes: `strong` moves 40 of them, `none` nothing."""
    cells = make_cells({("x", "control"): 160, ("x", "none"): 80, ("x", "strong"): 80, ("x", "few"): 10}, n_genes=200)
    x = cells.X.toarray() * (1 + np.arange(200) % 7)  # genes differ in expression
    x[(cells.obs["perturbation"] == "strong").to_numpy(), :40] *= 3
    cells.X = sp.csr_matrix(x)
    return Dataset(read_card("smoke_simulated"), cells, {}, None, "")


def test_effects_are_separated_from_none(two_effects):
    table = effect_table(two_effects).set_index("condition")
    assert list(table.index) == ["none", "strong"]  # `few` has fewer cells than are ever tested
    assert table.loc["strong", "e_significant"]
    assert not table.loc["none", "e_significant"]
    assert table.loc["strong", "e_distance"] > 10 * abs(table.loc["none", "e_distance"])
    assert table.loc["strong", "delta_halves"] > 0.7
    assert abs(table.loc["none", "delta_halves"]) < 0.25
    assert abs(table.loc["none", "delta_mean"]) < 0.25
    assert table.loc["none", "r2_copy"] > table.loc["strong", "r2_copy"]
    assert effect_table(two_effects).equals(effect_table(two_effects))


def test_shared_control_inflates(two_effects):
    """The reason for disjoint controls: of no effect at all, the shared value is well above 0."""
    values = []
    for seed in range(8):
        cells = make_cells({("x", "control"): 40} | {("x", f"p{i}"): 40 for i in range(4)}, n_genes=200, seed=seed)
        values.append(effect_table(Dataset(two_effects.card, cells, {}, None, "")))
    table = pd.concat(values)
    assert table["delta_mean_shared"].mean() > 0.4
    assert abs(table["delta_mean"].mean()) < 0.12


def test_page_lists_values_outside_bands():
    good, bad = summary(frozen_controls()), summary(whole(np.random.default_rng(0).poisson(1.5, (300, 300))))
    labels = [{"source": "simulated", "dataset": f"{n}_simulated", "context": n} for n in ("good", "bad")]
    statistics = pd.DataFrame([{**label, **s} for label, s in zip(labels, (good, bad), strict=True)])
    effects = pd.DataFrame(
        {
            "source": "simulated",
            "dataset": "good_simulated",
            "context": "good",
            "e_distance": [1.0, 2.0],
            "e_significant": True,
        }
        | dict.fromkeys(("r2_copy", "delta_mean", "delta_mean_shared", "delta_halves"), 0.5)
    )
    page = page_text(statistics, effects, ["effects.png"])
    outside = page.split("outside a band: ")[1].split("\n")[0]
    assert "bad (bad_simulated): sd_ln_depth" in outside
    assert "good (good_simulated)" not in outside
    assert "| good_simulated | good | 2 | 1.50 | 1.00 |" in page
    assert "![simulated data beside real data: effects.png](effects.png)" in page


def test_command_writes_page_tables_and_figures(tmp_path):
    args = ["--real", "smoke_simulated", "--twin", "smoke_simulated", "--out", str(tmp_path)]
    result = CliRunner().invoke(application("fidelity"), args)
    assert result.exit_code == 0, result.output
    found = {p.name for p in tmp_path.iterdir()}
    assert found == {"fidelity.md", "counts.csv", "effects.csv", "effects.png", "counts_smoke_simulated.png"}


def test_command_unknown_data_set(tmp_path):
    result = CliRunner().invoke(application("fidelity"), ["--real", "nothing_simulated", "--out", str(tmp_path)])
    assert result.exit_code == EXIT_USAGE
    assert "Unknown data set 'nothing_simulated'" in result.output


def test_default_twins():
    assert set(default_twins()) == {"cropseq_simulated", *LARGE}
