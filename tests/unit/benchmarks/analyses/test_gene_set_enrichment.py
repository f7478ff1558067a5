"""Enrichment: sets from files, known sets found in known changes, agreement by hand, a whole run."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.analyses.gene_set_enrichment.prerank import (
    agree,
    annotation_sets,
    enrich,
    read_gene_sets,
    usable_sets,
)
from benchmarks.cli.app import application
from benchmarks.errors import DataError

pytest.importorskip("gseapy")
GENES = [f"G{n}" for n in range(120)]
SETS = {f"S{n}": tuple(GENES[12 * n : 12 * n + 12]) for n in range(10)}
FEW = 200


def test_read_gene_sets(tmp_path):
    text = "UP\tdescription\tG2\tG1\tG2\t\nDOWN\t\tG3\n"
    (tmp_path / "a.gmt").write_text(text)
    with gzip.open(tmp_path / "a.gmt.gz", "wt") as handle:
        handle.write(text)
    expected = {"DOWN": ("G3",), "UP": ("G1", "G2")}
    assert read_gene_sets(tmp_path / "a.gmt") == read_gene_sets(tmp_path / "a.gmt.gz") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [("UP\tx\tG1\nUP\tx\tG2\n", "line 2: the set 'UP' is given twice"), ("UP\tx\n", "line 1: expected a name")],
)
def test_bad_gene_sets_raise(tmp_path, text, words):
    (tmp_path / "a.gmt").write_text(text)
    with pytest.raises(DataError, match=words):
        read_gene_sets(tmp_path / "a.gmt")
    with pytest.raises(DataError, match="expected an existing file"):
        read_gene_sets(tmp_path / "none.gmt")


def test_annotation_sets_and_usable_sets():
    sets = annotation_sets({"G1": frozenset({"a", "b"}), "G2": frozenset({"a"}), "X": frozenset({"a"})})
    assert sets == {"a": ("G1", "G2", "X"), "b": ("G1",)}
    assert usable_sets(sets, ["G1", "G2"], 2, 5) == {"a": ("G1", "G2")}
    with pytest.raises(DataError, match="None of 2 gene sets has 3 to 5 of the 2 measured genes"):
        usable_sets(sets, ["G1", "G2"], 3, 5)


def test_enrich_finds_rising_and_falling_sets():
    change = np.random.default_rng(0).normal(0, 0.1, len(GENES))
    change[:12] += 1.0
    change[12:24] -= 1.0
    found = enrich(change, GENES, SETS, permutations=FEW, seed=1)
    table = found.table.set_index("gene_set")
    assert table["nes"].idxmax() == "S0"
    assert table["nes"].idxmin() == "S1"
    assert table.loc[["S0", "S1"], "fdr"].max() < 0.05 < table.loc[["S4", "S5", "S6"], "fdr"].min()
    sums = found.running[found.running["gene_set"] == "S0"]
    assert sums["running"].abs().max() == pytest.approx(abs(table.loc["S0", "es"]))
    assert sums["hit"].sum() == 12
    again = enrich(change, GENES, SETS, permutations=FEW, seed=1)
    pd.testing.assert_frame_equal(found.table, again.table)


def test_enrich_constant_change():
    assert enrich(np.full(len(GENES), 0.3), GENES, SETS, permutations=FEW).table.empty


def table(nes, fdr=None):
    names = [f"S{n}" for n in range(len(nes))]
    return pd.DataFrame({"gene_set": names, "nes": nes, "fdr": fdr or [1.0] * len(nes)})


def test_agreement_by_hand():
    true = table([2.0, -1.8, 1.0, 0.5], fdr=[0.01, 0.02, 0.5, 0.9])
    found = agree(true, table([1.9, 1.7, 0.4, 0.2], fdr=[0.01, 0.01, 0.9, 0.9]), top=2)
    assert found["spearman_nes"] == pytest.approx(0.4)  # ranks 4, 1, 3, 2 against 4, 3, 2, 1: 1 − 6 · 6 / 60
    assert found["top_overlap"] == 0.5  # S0 with its sign, S1 without
    assert found["top_chance"] == 0.25
    assert (found["n_significant_true"], found["sign_share"], found["found_share"]) == (2, 0.5, 0.5)


def test_agreement_extremes():
    true = table([2.0, -1.8, 1.0, 0.5, -0.4, 0.1], fdr=[0.01, 0.02, 0.5, 0.9, 0.9, 0.9])
    same, opposite, nothing = (agree(true, t) for t in (true, true.assign(nes=-true["nes"]), true.iloc[:0]))
    assert (same["spearman_nes"], same["top_overlap"], same["sign_share"]) == (pytest.approx(1), 1, 1)
    assert (opposite["spearman_nes"], opposite["top_overlap"], opposite["sign_share"]) == (pytest.approx(-1), 0, 0)
    assert (nothing["spearman_nes"], nothing["top_overlap"], nothing["sign_share"]) == (0, 0, 0)


def test_enrichment_command(small_run, tmp_path):
    lines = [f"BLOCK{n}\t\t" + "\t".join(f"G{g}" for g in range(14 * n, min(60, 14 * n + 14))) for n in range(4)]
    (tmp_path / "blocks.gmt").write_text("\n".join(lines) + "\n")
    options = ["--gene-sets", str(tmp_path / "blocks.gmt"), "--permutations", "100", "--condition", "A/G1"]
    result = CliRunner().invoke(application("enrichment"), [str(small_run), *options])
    assert result.exit_code == 0, result.output
    folder = small_run / "enrichment"
    agreement = pd.read_csv(folder / "agreement.csv").set_index("model")
    assert agreement.loc["context_transfer", "sign_share"] == 1
    assert agreement.loc["no_change", "spearman_nes"] == 0
    found = pd.read_csv(folder / "enrichment.csv")
    true = found[found["model"] == "truth"].set_index("gene_set")["nes"]
    assert true.idxmax() == "BLOCK1"  # G1's own genes are 14 to 27
    assert (folder / "n2p-A_G1.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--condition", "G9"], "Unknown condition 'G9'"),
        (["--min-size", "20"], "lower --min-size"),
        (["--show", "blok1"], "Did you mean 'block1'"),
    ],
)
def test_enrichment_command_errors(small_run, options, words):
    result = CliRunner().invoke(application("enrichment"), [str(small_run), *options])
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
