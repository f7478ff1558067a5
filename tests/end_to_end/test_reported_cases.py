"""Trouble that users of such data report in public, as `score` meets it: the right number, or an error that says what helps."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from benchmarks.cli.app import application

GENES = [f"GENE{i}" for i in range(60)]
TARGETS = ("GENE3", "GENE7", "GENE11", "GENE19")


def screen(
    seed: int = 0, contexts: tuple[str, ...] = ("K562", "RPE1"), targets: tuple[str, ...] = TARGETS
) -> ad.AnnData:
    """Make counts of 40 cells a knock-down and 80 controls a line, with obs perturbation and line."""
    rng = np.random.default_rng(seed)
    effects = {t: np.where(rng.random(60) < 0.3, rng.normal(0, 1, 60), 0) for t in targets} | {"control": np.zeros(60)}
    rows, labels = [], []
    for context in contexts:
        base = rng.gamma(0.7, 1.0, 60) + 0.02
        for target, effect in effects.items():
            n = 80 if target == "control" else 40
            rate = base * np.exp(effect)
            depth = rng.lognormal(np.log(2000), 0.3, (n, 1))
            rows.append(rng.poisson(depth * rate / rate.sum()))
            labels += [(target, context)] * n
    obs = pd.DataFrame(labels, columns=["perturbation", "line"], index=[f"cell{i}" for i in range(len(labels))])
    return ad.AnnData(sp.csr_matrix(np.vstack(rows), dtype=np.float32), obs, pd.DataFrame(index=GENES))


def scaled(cells: ad.AnnData, change: Callable[[np.ndarray], np.ndarray], total: float = 1e4) -> ad.AnnData:
    """Scale every cell to one sum and change the values."""
    x = cells.X.toarray().astype(float)
    made = cells.copy()
    made.X = sp.csr_matrix(change(x / x.sum(axis=1, keepdims=True) * total).astype(np.float32))
    return made


def ln(cells: ad.AnnData) -> ad.AnnData:
    """Make natural logarithms of counts per 10,000."""
    return scaled(cells, np.log1p)


def perturbed(cells: ad.AnnData) -> ad.AnnData:
    """Take the perturbed cells: a perfect prediction."""
    return cells[(cells.obs["perturbation"].astype(str) != "control").to_numpy()].copy()


class Scorer:
    """Writes files and scores one against another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = ""

    def write(self, name: str, cells: ad.AnnData) -> Path:
        """Write a file."""
        path = self.folder / f"{name}.h5ad"
        cells.write_h5ad(path)
        return path

    def run(self, predictions: Path | Sequence[Path], truth: Path, *options: str) -> dict[str, dict[str, float]]:
        """Score; returns model → metric → mean over conditions, and keeps what was printed; {} for a refused file."""
        files = [predictions] if isinstance(predictions, Path) else predictions
        out = self.folder / f"out{len(list(self.folder.glob('out*')))}"
        plain = ("--no-figures", "--no-calibrate", "--out", str(out))
        done = CliRunner().invoke(application("score"), [*map(str, files), "--truth", str(truth), *plain, *options])
        self.output = done.output
        assert done.exit_code in (0, 1, 2), done.exception
        if done.exit_code == 2:
            return {}
        table = pd.read_csv(next(out.glob("*/scores.csv")))
        assert (table["status"] != "failed").all() or done.exit_code == 1
        means = table.groupby(["model", "metric"])["value"].mean().unstack()
        return {str(model): dict(row) for model, row in means.iterrows()}


@pytest.fixture
def scorer(tmp_path: Path) -> Scorer:
    return Scorer(tmp_path)


LINE = ("--context-key", "line")


@pytest.fixture(scope="module")
def of_counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Scores of a perfect prediction of the screen as counts."""
    scorer, cells = Scorer(tmp_path_factory.mktemp("counts")), screen()
    return scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells), *LINE)


@pytest.fixture(scope="module")
def of_logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Scores of a perfect prediction of the screen as natural logarithms."""
    scorer, cells = Scorer(tmp_path_factory.mktemp("logs")), ln(screen())
    return scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells), *LINE)


def split_entries(cells: ad.AnnData) -> ad.AnnData:
    """Store every count above 1 as two entries of the same cell and gene."""
    x = sp.csr_matrix(cells.X)
    parts = [(v,) if v < 2 else (1, v - 1) for v in x.data]
    ends = np.append(0, np.cumsum([len(p) for p in parts]))[x.indptr]
    indices = np.repeat(x.indices, [len(p) for p in parts])
    made = cells.copy()
    made.X = sp.csr_matrix((np.concatenate(parts).astype(np.float32), indices, ends), shape=x.shape)
    return made


@pytest.mark.parametrize("which", ["truth", "prediction"])
def test_entries_stored_twice_are_summed(scorer: Scorer, of_counts: dict, which: str) -> None:
    cells = screen()
    files = {"truth": scorer.write("truth", cells), "prediction": scorer.write("mine", perturbed(cells))}
    changed = split_entries(cells if which == "truth" else perturbed(cells))
    files[which] = scorer.write("truth" if which == "truth" else "mine", changed)
    found = scorer.run(files["prediction"], files["truth"], *LINE)
    assert found["mine"]["pearson_delta"] == pytest.approx(of_counts["mine"]["pearson_delta"], abs=1e-6)
    assert found["mine"]["mse"] == pytest.approx(0, abs=1e-9)


def test_space_is_found_and_said(scorer: Scorer) -> None:
    cells = screen()
    log2 = scaled(cells, lambda x: np.log2(1 + x))
    noted = ad.AnnData(log2.X[:, :50], log2.obs, log2.var[:50])
    noted.uns["log1p"] = {"base": 2}
    natural = ln(cells)[:, :50].copy()
    values = []
    for name, made in (("sums", log2), ("noted", noted), ("assumed", natural)):
        truth, mine = scorer.write(f"{name}_truth", made), scorer.write(name, perturbed(made))
        values.append(scorer.run(mine, truth, *LINE)["no_change"]["mse"])
        assert ("holds ln" if name == "assumed" else "holds log2") in " ".join(scorer.output.split())
    assert values[1] == pytest.approx(values[2], rel=1e-5)


def test_normalised_values_that_were_never_logged_are_refused(scorer: Scorer) -> None:
    cells = scaled(screen(), lambda x: x, total=50)
    assert scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells), *LINE) == {}
    assert "log1p" in scorer.output


def test_counts_among_logarithms_fail_their_condition(scorer: Scorer) -> None:
    cells = ln(screen())
    mine = perturbed(cells)
    x = mine.X.toarray()
    rows = np.flatnonzero((mine.obs["perturbation"] == "GENE7").to_numpy())[:2]
    x[rows] = np.expm1(x[rows])
    mine.X = x
    truth = scorer.write("truth", cells)
    scorer.run(scorer.write("mine", mine), truth, *LINE)
    table = pd.read_csv(sorted(scorer.folder.glob("out*/*/scores.csv"))[-1])
    failed = table[(table["model"] == "mine") & (table["status"] == "failed")]
    assert set(failed["perturbation"]) == {"GENE7"}
    cells.X = np.vstack([np.expm1(cells.X.toarray()[:2]), cells.X.toarray()[2:]])
    assert scorer.run(scorer.write("good", perturbed(ln(screen()))), scorer.write("truth", cells), *LINE) == {}


def test_missing_labels_are_left_out_and_counted(scorer: Scorer, of_logs: dict) -> None:
    cells = ln(screen())
    more, others = [cells], np.flatnonzero((cells.obs["perturbation"] == "GENE3").to_numpy())
    for n, label in enumerate(("nan", "None", "NA", "*", None), start=5):
        extra = cells[others[:n]].copy()
        extra.obs["perturbation"] = pd.Categorical([label] * n, categories=["x"] if label is None else [label])
        extra.X = extra.X * 0.5
        more.append(extra)
    truth = scorer.write("truth", ad.concat(more, index_unique="-"))
    found = scorer.run(scorer.write("mine", perturbed(cells)), truth, *LINE)
    assert found["mine"]["pearson_delta"] == pytest.approx(of_logs["mine"]["pearson_delta"])
    assert f"{5 + 6 + 7 + 8 + 9} of" in scorer.output


def relabelled(cells: ad.AnnData, names: list[str]) -> ad.AnnData:
    """Give the controls several labels."""
    made, rng = cells.copy(), np.random.default_rng(0)
    labels = made.obs["perturbation"].astype(object).to_numpy().copy()
    controls = np.flatnonzero(labels == "control")
    labels[controls] = rng.choice(names, len(controls))
    made.obs["perturbation"] = labels
    return made


def test_several_control_labels_and_patterns(scorer: Scorer, of_logs: dict) -> None:
    cells = ln(screen())
    mine = scorer.write("mine", perturbed(cells))
    truth = scorer.write("truth", relabelled(cells, ["INTERGENIC1", "INTERGENIC2", "safe-targeting"]))
    assert scorer.run(mine, truth, *LINE) == {}
    assert "--control" in scorer.output
    found = scorer.run(mine, truth, *LINE, "--control", "intergenic*", "--control", "safe-targeting")
    assert found["mine"]["pearson_delta"] == pytest.approx(of_logs["mine"]["pearson_delta"])


DOUBTFUL = {
    "controls": ("NT1", "NTC_g1", "safe-targeting", "INTERGENIC1144056", "AAVS1", "negative"),
    "cells without": ("no_guide", "unassigned", "multiplet"),
    "combinations": ("GENE3_GENE7",),
}
"""What labels look like → labels."""
GENES_LIKE_CONTROLS = ("NT5E", "NTRK1")


def test_doubtful_labels_are_named(scorer: Scorer) -> None:
    targets = ("GENE3", "GENE7", *(label for labels in DOUBTFUL.values() for label in labels), *GENES_LIKE_CONTROLS)
    cells = ln(screen(contexts=("K562",), targets=targets))
    assert scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells))
    told = [line for line in scorer.output.splitlines() if "look like" in line]
    for kind, labels in DOUBTFUL.items():
        own = [line for line in told if f"look like {kind}" in line]
        assert own
        assert all(f"{len(labels)} perturbations" in line and label in line for line in own for label in labels)
    assert not any(gene in line for line in told for gene in GENES_LIKE_CONTROLS)


def test_part_that_is_a_control_is_no_part(scorer: Scorer) -> None:
    cells = ln(screen())
    mine = perturbed(cells)
    mine.obs["perturbation"] = [f"{name}+ctrl" for name in mine.obs["perturbation"]]
    found = scorer.run(scorer.write("mine", mine), scorer.write("truth", cells), *LINE)
    assert found["mine"]["mse"] == pytest.approx(0, abs=1e-9)


def test_training_cells_are_read_from_their_own_file(scorer: Scorer) -> None:
    everything = ln(screen(contexts=("K562", "RPE1", "H1")))
    truth = everything[(everything.obs["line"] == "H1").to_numpy()].copy()
    train = everything[(everything.obs["line"] != "H1").to_numpy()].copy()
    files = scorer.write("mine", perturbed(truth)), scorer.write("truth", truth)
    good = scorer.run(*files, *LINE, "--calibrate", "--train", str(scorer.write("train", train)))
    assert good["train_mean"]["pearson_delta"] > 0.1
    few = train[::3].copy()
    assert (
        scorer.run(*files, *LINE, "--calibrate", "--train", str(scorer.write("few", few)))["train_mean"][
            "pearson_delta"
        ]
        > 0.1
    )


@pytest.mark.parametrize("fault", ["no controls", "truth's cells", "other case"])
def test_training_cells_that_lower_or_leak_are_refused(scorer: Scorer, fault: str) -> None:
    everything = ln(screen(contexts=("K562", "RPE1", "H1")))
    truth = everything[(everything.obs["line"] == "H1").to_numpy()].copy()
    train = {
        "no controls": perturbed(everything[(everything.obs["line"] != "H1").to_numpy()]),
        "truth's cells": everything[
            (everything.obs["line"] != "H1").to_numpy() | (everything.obs["perturbation"] == "GENE3").to_numpy()
        ],
        "other case": everything[(everything.obs["line"] != "H1").to_numpy()],
    }[fault].copy()
    if fault == "other case":
        train.obs["line"] = train.obs["line"].astype(str).replace("K562", "h1")
    found = scorer.run(
        scorer.write("mine", perturbed(truth)),
        scorer.write("truth", truth),
        *LINE,
        "--train",
        str(scorer.write("train", train)),
    )
    assert found == {}


@pytest.mark.parametrize("label", ["ctrl", "Control", "non-targeting"])
def test_controls_of_training_cells_may_have_another_usual_label(scorer: Scorer, label: str) -> None:
    everything = ln(screen(contexts=("K562", "RPE1", "H1")))
    truth = everything[(everything.obs["line"] == "H1").to_numpy()].copy()
    train = relabelled(everything[(everything.obs["line"] != "H1").to_numpy()].copy(), [label])
    files = scorer.write("mine", perturbed(truth)), scorer.write("truth", truth)
    assert scorer.run(*files, *LINE, "--train", str(scorer.write("train", train)))["train_mean"]["pearson_delta"] > 0.1


def test_gene_key_and_note_on_perturbed_genes(scorer: Scorer) -> None:
    cells = ln(screen(contexts=("K562",)))
    expected = scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells))["no_change"]["pds"]
    cells.var["symbol"] = GENES
    cells.var_names = [f"ENSG{i:011d}" for i in range(60)]
    files = scorer.write("mine", perturbed(cells)), scorer.write("truth", cells)
    scorer.run(*files)
    assert "--gene-key" in scorer.output
    assert scorer.run(*files, "--gene-key", "symbol")["no_change"]["pds"] == pytest.approx(expected)
    assert "not among the genes" not in scorer.output


def test_swapped_doses_score_low(scorer: Scorer) -> None:
    cells = ln(screen(targets=tuple(f"JQ1@{dose}" for dose in (10, 100, 1000))))
    names = cells.obs["perturbation"].astype(str)
    cells.obs["dose"] = [0.0 if n == "control" else float(n.split("@")[1]) for n in names]
    cells.obs["perturbation"] = ["DMSO" if n == "control" else "JQ1" for n in names]
    mine = cells[(cells.obs["perturbation"] != "DMSO").to_numpy()].copy()
    truth = scorer.write("truth", cells)
    right = scorer.run(scorer.write("mine", mine), truth, *LINE, "--dose-key", "dose")["mine"]["pearson_delta"]
    mine.obs["dose"] = mine.obs["dose"].map({10.0: 1000.0, 100.0: 100.0, 1000.0: 10.0})
    swapped = scorer.run(scorer.write("mine", mine), truth, *LINE, "--dose-key", "dose")["mine"]["pearson_delta"]
    assert right > 0.9
    assert swapped < 0.7


def test_layers_are_read_and_suggested(scorer: Scorer, of_counts: dict) -> None:
    counts = screen()
    cells = ln(counts)
    x = cells.X.toarray()
    cells.X = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    cells.layers["counts"] = counts.X
    files = scorer.write("mine", perturbed(cells)), scorer.write("truth", cells)
    scorer.run(*files, *LINE)
    assert "--layer counts" in scorer.output
    found = scorer.run(*files, *LINE, "--layer", "counts")
    assert found["no_change"]["mse"] == pytest.approx(of_counts["no_change"]["mse"])


def logs(rate: float) -> Callable[[np.ndarray], np.ndarray]:
    """Logarithms to base e^rate of x + 1; x itself where the rate is 0."""
    return lambda x: np.log1p(x) / rate if rate else x / 400


@pytest.mark.parametrize("genes", [60, 45])
@pytest.mark.parametrize(
    ("rate", "expected"), [(1.0, "ln"), (np.log(2), "log2"), (np.log(10), ""), (0.0, ""), (1 / np.log(2), "")]
)
def test_base_is_found_from_values_and_others_are_refused(
    scorer: Scorer, genes: int, rate: float, expected: str
) -> None:
    cells = scaled(screen(), logs(rate))[:, :genes].copy()
    found = scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells), *LINE)
    assert bool(found) == bool(expected)
    if expected:
        assert f"truth.h5ad holds {expected}:" in " ".join(scorer.output.split())
        right = scorer.run(scorer.folder / "mine.h5ad", scorer.folder / "truth.h5ad", *LINE, "--space", expected)
        assert found["no_change"]["mse"] == pytest.approx(right["no_change"]["mse"])


def test_logarithms_of_logarithms_and_scaled_values_are_refused(scorer: Scorer) -> None:
    twice = ln(screen())
    twice.X = twice.X.log1p()
    assert scorer.run(scorer.write("mine", perturbed(twice)), scorer.write("truth", twice), *LINE) == {}
    unit = ln(screen())
    unit.X = unit.X.toarray() / unit.X.toarray().std(axis=0)
    assert scorer.run(scorer.write("mine", perturbed(unit)), scorer.write("truth", unit), *LINE) == {}
    assert "--layer" in scorer.output


@pytest.mark.parametrize(("change", "doubt"), [(np.sign, "0 and 1"), (lambda x: np.rint(np.log1p(x)), "rounded")])
def test_whole_numbers_that_are_hardly_counts_are_doubted(
    scorer: Scorer, change: Callable[[np.ndarray], np.ndarray], doubt: str
) -> None:
    cells = screen()
    cells.X = change(cells.X.toarray()).astype(np.float32)
    assert scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells), *LINE)
    assert doubt in " ".join(scorer.output.split())


def test_prediction_with_empty_cells_in_nearly_all_places_is_read(scorer: Scorer) -> None:
    cells = ln(screen(contexts=("K562",)))
    mine = perturbed(cells)
    more = ad.AnnData(sp.csr_matrix((6000, 60), dtype=np.float32), var=cells.var)
    more.obs["perturbation"] = "control"
    truth = scorer.write("truth", cells)
    expected = scorer.run(scorer.write("mine", mine), truth)["mine"]["pearson_delta"]
    joined = scorer.write("mine", ad.concat([more[:3001], mine, more[3001:]], index_unique="-"))
    assert scorer.run(joined, truth, "--start", "truth")["mine"]["pearson_delta"] == pytest.approx(expected)


def test_scale_of_model_outputs_is_compared_with_the_truth(scorer: Scorer) -> None:
    cells = ln(screen())
    truth, files = scorer.write("truth", cells), []
    for name, factor in {"lower": np.log(2), "higher": 1 / np.log(2), "weak": 0.1}.items():
        mine = perturbed(cells)
        noise = np.random.default_rng(0).normal(0, 0.1, mine.shape)
        mine.X = (np.maximum(mine.X.toarray() + noise, 0.01) * factor).astype(np.float32)
        files.append(scorer.write(name, mine))
        assert (scorer.run(files[-1], truth, *LINE) == {}) == (name != "weak"), name
        assert "times those of truth.h5ad" in " ".join(scorer.output.split()), name
    assert scorer.run(files, truth, *LINE, "--space", "ln").keys() >= {"lower", "higher", "weak"}


def test_training_cells_on_another_scale_are_refused(scorer: Scorer) -> None:
    everything = ln(screen(contexts=("K562", "RPE1", "H1")))
    truth = everything[(everything.obs["line"] == "H1").to_numpy()].copy()
    train = everything[(everything.obs["line"] != "H1").to_numpy()].copy()
    train.X = train.X * np.float32(0.69)
    files = scorer.write("mine", perturbed(truth)), scorer.write("truth", truth)
    assert scorer.run(*files, *LINE, "--train", str(scorer.write("train", train))) == {}


def test_columns_that_may_have_been_meant_are_named(scorer: Scorer) -> None:
    cells = ln(screen())
    cells.obs["dose_nM"] = np.where(np.arange(cells.n_obs) % 2, 10.0, 100.0)
    cells.obs["phase"] = np.where(np.arange(cells.n_obs) % 2, "S", "G1")
    files = scorer.write("mine", perturbed(cells)), scorer.write("truth", cells)
    assert scorer.run(*files)
    told = " ".join(scorer.output.split())
    assert "line (K562 240, RPE1 240)" in told
    assert "--context-key" in told
    assert "dose_nM (2 values)" in told
    assert "--dose-key" in told
    assert "phase" not in told
    scorer.run(*files, *LINE, "--dose-key", "dose_nM")
    assert "--context-key" not in scorer.output
    assert "--dose-key" not in scorer.output
    done = CliRunner().invoke(application("data"), ["prepare", "--h5ad", str(files[1])])
    assert done.exit_code == 0
    assert "line (K562 240, RPE1 240)" in " ".join(done.output.split())


def test_perturbed_genes_under_another_name_are_left_out_all_the_same(scorer: Scorer) -> None:
    cells = ln(screen(contexts=("K562",)))
    expected = scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells))["no_change"]["pds"]
    lower, version, guide = cells.copy(), cells.copy(), cells.copy()
    lower.var_names = [gene.lower() for gene in cells.var_names]
    version.var_names = [f"{gene}.7" for gene in cells.var_names]
    names = cells.obs["perturbation"].astype(str)
    guide.obs["perturbation"] = [n if n == "control" else f"{n}_P1P2" for n in names]
    for renamed in (lower, version, guide):
        found = scorer.run(scorer.write("mine", perturbed(renamed)), scorer.write("truth", renamed))
        assert found["no_change"]["pds"] == pytest.approx(expected)
        assert "another name" in " ".join(scorer.output.split())


def test_names_spelled_otherwise_in_a_prediction_are_named(scorer: Scorer) -> None:
    cells = ln(screen(contexts=("RPE1", "HEK")))
    files = []
    for column in ("perturbation", "line"):
        for how, other in {"case": str.lower, "dash": lambda n: n.replace("E", "E-")}.items():
            mine = perturbed(cells)
            mine.obs[column] = [other(name) for name in mine.obs[column].astype(str)]
            files.append(scorer.write(f"{column}_{how}", mine))
    found = scorer.run(files, scorer.write("truth", cells), *LINE)
    assert all(np.isnan(found[path.stem]["mse"]) for path in files)
    told = [line for line in scorer.output.splitlines() if "write both alike" in line]
    assert all(any(path.name in line for line in told) for path in files)


def test_numbers_as_labels_are_the_same_whatever_their_type(scorer: Scorer) -> None:
    cells = ln(screen())
    numbers = [0 if n == "control" else int(n[4:]) for n in cells.obs["perturbation"].astype(str)]
    cells.obs["perturbation"] = numbers
    mine = cells[np.array(numbers) != 0].copy()
    mine.obs["perturbation"] = mine.obs["perturbation"].astype(float)
    found = scorer.run(scorer.write("mine", mine), scorer.write("truth", cells), *LINE, "--control", "0")
    assert found["mine"]["mse"] == pytest.approx(0, abs=1e-9)


def test_doses_of_one_size_in_two_units_are_one(scorer: Scorer) -> None:
    cells = ln(screen())
    mine = perturbed(cells)
    cells.obs["dose"], mine.obs["dose"] = "70 nM", "0.07 µM"
    found = scorer.run(scorer.write("mine", mine), scorer.write("truth", cells), *LINE, "--dose-key", "dose")
    assert found["mine"]["mse"] == pytest.approx(0, abs=1e-9)


def test_cells_without_a_dose_or_with_none_are_counted(scorer: Scorer) -> None:
    cells = ln(screen())
    doses = np.full(cells.n_obs, 10.0)
    where = np.flatnonzero((cells.obs["perturbation"] == "GENE3").to_numpy())
    doses[where[:7]], doses[where[7:12]] = np.nan, 0.0
    cells.obs["dose"] = doses
    files = scorer.write("mine", perturbed(cells)), scorer.write("truth", cells)
    scorer.run(*files, *LINE, "--dose-key", "dose")
    told = " ".join(scorer.output.split())
    assert "7 of 320 perturbed cells" in told
    assert "5 perturbed cells have dose 0" in told


@pytest.mark.parametrize(("missing", "number"), [(None, "44076"), ("#N/A", "9/2/2020")])
def test_names_that_a_spreadsheet_broke(scorer: Scorer, missing: str | None, number: str) -> None:
    cells = ln(screen())
    cells.var["symbol"] = [*GENES[:-2], missing, number]
    cells.var_names = [f"ENSG{i}" for i in range(60)]
    files = scorer.write("mine", perturbed(cells)), scorer.write("truth", cells)
    assert scorer.run(*files, *LINE, "--gene-key", "symbol")
    told = " ".join(scorer.output.split())
    assert "1 genes have no symbol" in told
    assert "SEPTIN2" in told


def test_controls_under_an_unusual_label_are_named_first(scorer: Scorer) -> None:
    labels = ["Scramble", "DMSO_0.1%", "siLuc", "empty_vector", "wild-type", "0", "unstimulated"]
    cells = ln(screen(contexts=("K562",), targets=tuple(f"GENE{i}" for i in range(1, 13))))
    for label in labels:
        unusual = relabelled(cells, [label])
        assert scorer.run(scorer.write("mine", unusual), scorer.write("truth", unusual), *LINE) == {}
        assert f"such as {label}" in " ".join(scorer.output.split())
    every = relabelled(cells, labels)
    given = [word for label in labels for word in ("--control", label)]
    assert scorer.run(scorer.write("mine", every), scorer.write("truth", every), *LINE, *given)
    table = pd.read_csv(sorted(scorer.folder.glob("out*/*/scores.csv"))[-1])
    assert not set(table["perturbation"].astype(str)) & set(labels)


def test_missing_labels_are_counted_by_every_command(scorer: Scorer) -> None:
    cells = ln(screen())
    names = cells.obs["perturbation"].astype(object).to_numpy().copy()
    names[np.flatnonzero(names == "GENE3")[:9]] = "nan"
    cells.obs["perturbation"] = names
    path = str(scorer.write("truth", cells))
    out = str(scorer.folder / "data")
    commands = (
        ("data", "prepare"), ("data", "summary", "--out", out),
        ("run", "--models", "no_change", "--executor", "inline", "--no-figures", "--out", out),
    )  # fmt: skip
    for command, *options in commands:
        done = CliRunner().invoke(application(command), [*options, "--h5ad", path, *LINE])
        assert done.exit_code == 0
        assert "9 of 480 cells" in " ".join(done.output.split())
    assert "9 of 480 cells" in next(scorer.folder.glob("data/own_truth/*/leaderboard.md")).read_text("utf-8")


def test_other_controls_have_no_value_without_controls_of_the_context(scorer: Scorer) -> None:
    everything = ln(screen(contexts=("K562", "RPE1", "H1")))
    truth = everything[(everything.obs["line"] != "RPE1").to_numpy()].copy()
    train = screen(7, contexts=("K562", "RPE1"))
    files = scorer.write("mine", perturbed(truth)), scorer.write("truth", truth)
    scorer.run(*files, *LINE, "--calibrate", "--train", str(scorer.write("train", ln(train))))
    table = pd.read_csv(sorted(scorer.folder.glob("out*/*/scores.csv"))[-1])
    rows = table[(table["model"] == "other_controls") & (table["metric"] == "mse")].set_index("context")
    assert rows.loc["K562", "value"].notna().all()
    assert rows.loc["H1", "value"].isna().all()
    assert set(rows.loc["H1", "status"]) == {"unsupported"}


# --- containers ------------------------------------------------------------------------------------------------------


def no_x(file: h5py.File) -> None:
    del file["X"]


def future_column(file: h5py.File) -> None:
    column = file["obs"].create_dataset("note", data=np.arange(400))
    column.attrs["encoding-type"] = "ragged-array"
    file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], "note"]


def future_uns(file: h5py.File) -> None:
    file["uns"].create_dataset("new", data=np.arange(3)).attrs["encoding-type"] = "ragged-array"


def future_labels(file: h5py.File) -> None:
    file["obs/perturbation"].attrs["encoding-type"] = "ragged-array"


def half(file: h5py.File) -> None:
    data = file["X/data"][:].astype(np.float16)
    del file["X/data"]
    file["X"].create_dataset("data", data=data)


def outside(file: h5py.File) -> None:
    file["X/indices"][5] = 10_000


def negative(file: h5py.File) -> None:
    file["X/indices"][5] = -1


def short_ends(file: h5py.File) -> None:
    ends = file["X/indptr"][:-3]
    del file["X/indptr"]
    file["X"].create_dataset("indptr", data=ends)


def falling_ends(file: h5py.File) -> None:
    file["X/indptr"][3] = 10**9


def missing_filter(file: h5py.File) -> None:
    data = file["X/data"][:]
    del file["X/data"]
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_chunk((len(data),))
    create.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple((len(data),))
    h5py.h5d.create(file["X"].id, b"data", h5py.h5t.IEEE_F32LE, space, create).write_direct_chunk(
        (0,), data.tobytes(), 0
    )


def test_what_is_not_needed_may_be_unreadable(scorer: Scorer) -> None:
    cells, files = ln(screen()), []
    for change in (future_column, future_uns, half):
        files.append(scorer.write(change.__name__, cells))
        with h5py.File(files[-1], "r+") as file:
            change(file)
    found = scorer.run(files, scorer.write("truth", cells), *LINE)
    assert [found[path.stem]["mse"] for path in files] == pytest.approx([0.0] * 3, abs=1e-6)


@pytest.mark.parametrize("change", [no_x, future_labels, outside, negative, short_ends, falling_ends, missing_filter])
@pytest.mark.parametrize("which", ["truth", "mine"])
def test_damaged_files_are_refused(scorer: Scorer, change: Callable[[h5py.File], None], which: str) -> None:
    cells = ln(screen())
    files = {"truth": scorer.write("truth", cells), "mine": scorer.write("mine", cells)}
    with h5py.File(files[which], "r+") as file:
        change(file)
    assert scorer.run(files["mine"], files["truth"], *LINE) == {}
    assert "DataError" in scorer.output


def test_zarr_folder_and_missing_file_are_refused(scorer: Scorer) -> None:
    truth = scorer.write("truth", ln(screen()))
    (scorer.folder / "store.zarr").mkdir()
    assert scorer.run(scorer.folder / "store.zarr", truth, *LINE) == {}
    assert "zarr" in scorer.output
    assert scorer.run(scorer.folder / "none.h5ad", truth, *LINE) == {}


@pytest.mark.parametrize(("pack", "remedy"), [(gzip.compress, "gunzip"), (lambda b: b"PK\x03\x04" + b, "unzip")])
def test_packed_files_are_refused_with_what_unpacks_them(
    scorer: Scorer, pack: Callable[[bytes], bytes], remedy: str
) -> None:
    truth = scorer.write("truth", ln(screen()))
    packed = scorer.folder / "mine.h5ad"
    packed.write_bytes(pack(truth.read_bytes()))
    assert scorer.run(packed, truth, *LINE) == {}
    assert remedy in scorer.output
