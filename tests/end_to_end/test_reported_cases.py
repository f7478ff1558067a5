"""Trouble that users of such data report in public, as `score` meets it: the right number, or an error that says what helps."""

from __future__ import annotations

from collections.abc import Callable
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

    def run(self, prediction: Path, truth: Path, *options: str) -> dict[str, dict[str, float]]:
        """Score; returns model → metric → mean over conditions, and keeps what was printed; {} for a refused file."""
        out = self.folder / f"out{len(list(self.folder.glob('out*')))}"
        plain = ("--no-figures", "--no-calibrate", "--out", str(out))
        done = CliRunner().invoke(application("score"), [str(prediction), "--truth", str(truth), *plain, *options])
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
def test_entries_stored_twice_are_summed(scorer: Scorer, which: str) -> None:
    cells = screen()
    files = {"truth": scorer.write("truth", cells), "prediction": scorer.write("mine", perturbed(cells))}
    expected = scorer.run(files["prediction"], files["truth"], *LINE)
    changed = split_entries(cells if which == "truth" else perturbed(cells))
    files[which] = scorer.write("truth" if which == "truth" else "mine", changed)
    found = scorer.run(files["prediction"], files["truth"], *LINE)
    assert found["mine"]["pearson_delta"] == pytest.approx(expected["mine"]["pearson_delta"], abs=1e-6)
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


@pytest.mark.parametrize("label", ["nan", "None", "NA", "*", None])
def test_missing_labels_are_left_out_and_counted(scorer: Scorer, label: str | None) -> None:
    cells = ln(screen())
    expected = scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells), *LINE)
    names = cells.obs["perturbation"].astype(object).to_numpy().copy()
    extra = cells[np.flatnonzero(names == "GENE3")[:9]].copy()
    extra.obs["perturbation"] = pd.Categorical([label] * 9, categories=["x"] if label is None else [label])
    extra.X = extra.X * 0.5
    more = ad.concat([cells, extra], index_unique="-")
    found = scorer.run(scorer.folder / "mine.h5ad", scorer.write("truth", more), *LINE)
    assert found["mine"]["pearson_delta"] == pytest.approx(expected["mine"]["pearson_delta"])
    assert "9 of" in scorer.output


def relabelled(cells: ad.AnnData, names: list[str]) -> ad.AnnData:
    """Give the controls several labels."""
    made, rng = cells.copy(), np.random.default_rng(0)
    labels = made.obs["perturbation"].astype(object).to_numpy().copy()
    controls = np.flatnonzero(labels == "control")
    labels[controls] = rng.choice(names, len(controls))
    made.obs["perturbation"] = labels
    return made


def test_several_control_labels_and_patterns(scorer: Scorer) -> None:
    cells = ln(screen())
    mine = scorer.write("mine", perturbed(cells))
    expected = scorer.run(mine, scorer.write("truth", cells), *LINE)["mine"]["pearson_delta"]
    truth = scorer.write("truth", relabelled(cells, ["INTERGENIC1", "INTERGENIC2", "safe-targeting"]))
    assert scorer.run(mine, truth, *LINE) == {}
    assert "--control" in scorer.output
    found = scorer.run(mine, truth, *LINE, "--control", "intergenic*", "--control", "safe-targeting")
    assert found["mine"]["pearson_delta"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("NT1", "controls"), ("NTC_g1", "controls"), ("safe-targeting", "controls"), ("INTERGENIC1144056", "controls"),
        ("AAVS1", "controls"), ("negative", "controls"), ("no_guide", "without"), ("unassigned", "without"),
        ("multiplet", "without"), ("GENE3_GENE7", "combinations"), ("NT5E", ""), ("NTRK1", ""),
    ],
)  # fmt: skip
def test_doubtful_labels_are_named(scorer: Scorer, label: str, kind: str) -> None:
    cells = ln(screen(contexts=("K562",)))
    names = cells.obs["perturbation"].astype(object).to_numpy().copy()
    names[np.flatnonzero(names == "GENE19")] = label
    cells.obs["perturbation"] = names
    assert scorer.run(scorer.write("mine", perturbed(cells)), scorer.write("truth", cells))
    told = [line for line in scorer.output.splitlines() if "look like" in line]
    assert bool(told) == bool(kind)
    assert all(label in line and kind in line for line in told)


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


def test_layers_are_read_and_suggested(scorer: Scorer) -> None:
    counts = screen()
    cells = ln(counts)
    expected = scorer.run(scorer.write("mine", perturbed(counts)), scorer.write("truth", counts), *LINE)
    x = cells.X.toarray()
    cells.X = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    cells.layers["counts"] = counts.X
    files = scorer.write("mine", perturbed(cells)), scorer.write("truth", cells)
    scorer.run(*files, *LINE)
    assert "--layer counts" in scorer.output
    found = scorer.run(*files, *LINE, "--layer", "counts")
    assert found["no_change"]["mse"] == pytest.approx(expected["no_change"]["mse"])


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


@pytest.mark.parametrize("change", [future_column, future_uns, half])
def test_what_is_not_needed_may_be_unreadable(scorer: Scorer, change: Callable[[h5py.File], None]) -> None:
    cells = ln(screen())
    truth, mine = scorer.write("truth", cells), scorer.write("mine", cells)
    with h5py.File(mine, "r+") as file:
        change(file)
    assert scorer.run(mine, truth, *LINE)["mine"]["mse"] == pytest.approx(0, abs=1e-6)


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
