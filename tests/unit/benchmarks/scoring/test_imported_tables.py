"""Tables of cell-eval and scPerturBench, written by hand: their ranks come out, and what is not known is asked for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.errors import DataError, UnknownName
from benchmarks.scoring.external.imported_tables import Import, ResultFile, find_importer, import_tables
from benchmarks.scoring.external.score_files import write
from reports import read_leaderboard

# perturbation: pearson_delta (more is better), mae (less is better), de_nsig_counts_real (neither)
MODELS = {
    "alpha": {"P1": (0.9, 0.2, 5), "P2": (0.7, 0.4, 7)},
    "beta": {"P1": (0.5, 0.1, 5), "P2": (0.6, 0.1, 7)},
    "gamma": {"P1": (0.6, 0.9, 5), "P2": (0.6, 0.3, 7)},
}
RANKS = {
    "pearson_delta": {"alpha": 1, "gamma": 2, "beta": 3},  # means 0.8, 0.6, 0.55
    "mae": {"beta": 1, "alpha": 2, "gamma": 3},  # means 0.1, 0.3, 0.6
}


@pytest.fixture
def wide(tmp_path: Path) -> list[ResultFile]:
    files = []
    for model, rows in MODELS.items():
        path = tmp_path / model / "results.csv"
        path.parent.mkdir()
        lines = ["perturbation,pearson_delta,mae,de_nsig_counts_real"]
        lines += [f"{name},{','.join(map(str, values))}" for name, values in rows.items()]
        path.write_text("\n".join(lines) + "\n")
        files.append(ResultFile(path))
    return files


def ranks(folder: Path) -> dict[str, dict[str, int]]:
    board = read_leaderboard(folder / "leaderboard.csv").query("level == 'suite' and rank == rank")
    return {metric: dict(zip(rows["model"], rows["rank"], strict=True)) for metric, rows in board.groupby("metric")}


def imported(name: str, files: list[ResultFile], folder: Path, **more: object) -> Path:
    write(import_tables(Import(find_importer(name), tuple(files), **more)), folder, figures=False)
    return folder


def test_ranks_of_cell_eval_tables(wide: list[ResultFile], tmp_path: Path) -> None:
    folder = imported("cell-eval", wide, tmp_path / "out")
    assert ranks(folder) == RANKS
    scores = pd.read_csv(folder / "scores.csv")
    assert scores.query("model == 'beta' and perturbation == 'P2' and metric == 'mae'")["value"].tolist() == [0.1]
    assert set(scores["context"]) == {"all"}
    metrics = pd.read_csv(folder / "metrics.csv").set_index("metric")
    assert not metrics.loc["de_nsig_counts_real", "scored"]
    assert not metrics.loc["mae", "higher_is_better"]
    assert (folder / "SHA256SUMS").is_file()


def test_aggregated_tables_rank_by_their_means(tmp_path: Path) -> None:
    files = []
    for model, rows in MODELS.items():
        means = [sum(column) / len(column) for column in zip(*rows.values(), strict=True)]
        path = tmp_path / model / "agg_results.csv"
        path.parent.mkdir()
        path.write_text(f"statistic,pearson_delta,mae\ncount,2,2\nmean,{means[0]},{means[1]}\nstd,1,1\n")
        files.append(ResultFile(path))
    assert ranks(imported("cell-eval", files, tmp_path / "out")) == RANKS
    other = tmp_path / "results.csv"
    other.write_text("perturbation,mae\nP1,1\n")
    with pytest.raises(DataError, match="one kind"):
        import_tables(Import(find_importer("cell-eval"), (*files, ResultFile(other))))


def test_files_split_by_cell_type_are_contexts(wide: list[ResultFile], tmp_path: Path) -> None:
    for file in wide:
        for context in ("K562", "RPE1"):
            (file.path.parent / f"{context}_results.csv").write_text(file.path.read_text())
    files = [ResultFile(file.path.parent / f"{c}_results.csv") for file in wide for c in ("K562", "RPE1")]
    folder = imported("cell-eval", files, tmp_path / "out")
    assert ranks(folder) == RANKS
    assert set(pd.read_csv(folder / "scores.csv")["context"]) == {"K562", "RPE1"}


def test_a_metric_without_a_direction_is_asked_for(wide: list[ResultFile], tmp_path: Path) -> None:
    for file in wide:
        lines = file.path.read_text().splitlines()
        values = ["novelty", *(str(number) for number in (len(file.path.parent.name), 1))]
        file.path.write_text("\n".join(f"{line},{value}" for line, value in zip(lines, values, strict=True)) + "\n")
    with pytest.raises(DataError, match=r"novelty.*--lower-is-better novelty"):
        import_tables(Import(find_importer("cell-eval"), tuple(wide)))
    lower = imported("cell-eval", wide, tmp_path / "lower", lower=("novelty",))
    assert ranks(lower)["novelty"] == {"beta": 1, "alpha": 2, "gamma": 2}
    assert "novelty" not in ranks(imported("cell-eval", wide, tmp_path / "none", not_ranked=("novelty",)))
    with pytest.raises(DataError, match="more than one"):
        import_tables(Import(find_importer("cell-eval"), tuple(wide), higher=("novelty",), lower=("novelty",)))
    with pytest.raises(UnknownName, match="novelty"):
        import_tables(Import(find_importer("cell-eval"), tuple(wide), lower=("novelti",)))


def test_missing_values_are_failures_and_those_of_all_are_left_out(wide: list[ResultFile], tmp_path: Path) -> None:
    text = wide[0].path.read_text()
    wide[0].path.write_text(text.replace("P2,0.7,0.4,7", "P2,,0.4,7"))
    for file in wide:
        file.path.write_text(file.path.read_text().replace("de_nsig_counts_real", "roc_auc").replace(",7\n", ",\n"))
    found = import_tables(Import(find_importer("cell-eval"), tuple(wide), rename={"gamma": "no_change"}))
    missing = found.scores.query("status == 'failed'")
    assert missing[["model", "perturbation", "metric"]].to_numpy().tolist() == [["alpha", "P2", "pearson_delta"]]
    assert not ((found.scores["metric"] == "roc_auc") & (found.scores["perturbation"] == "P2")).any()
    assert any("roc_auc" in note for note in found.notes)
    write(found, tmp_path / "out", figures=False)
    board = read_leaderboard(tmp_path / "out" / "leaderboard.csv").query(
        "metric == 'pearson_delta' and level == 'suite'"
    )
    assert board.set_index("model").loc["alpha", "mean"] == pytest.approx((0.9 + 0.6) / 2), "no_change stands in"


def test_damaged_tables_are_refused(wide: list[ResultFile]) -> None:
    importer, path = find_importer("cell-eval"), wide[0].path
    for content, named in (
        ("a,b\n1,2\n", "perturbation"),
        ("perturbation,mae\n", "no row"),
        ("perturbation,mae\nP1,x\n", "'x'"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=named):
            import_tables(Import(importer, (wide[0],)))
    path.write_text("perturbation,mae\nP1,1\nP1,2\n")
    with pytest.raises(DataError, match="given twice"):
        import_tables(Import(importer, (wide[0],)))
    with pytest.raises(DataError, match="MODEL=FILE"):
        import_tables(Import(importer, (wide[1], wide[1])))
    with pytest.raises(UnknownName, match="scperturbench"):
        find_importer("scperturb")


HEADER = "performance\tmetric\tDataSet\tmethod\toutSample\tperturb\tDEG\tNstimulated\tseed\n"


def test_ranks_of_scperturbench_tables(tmp_path: Path) -> None:
    values = {"scGen": (0.1, 0.3), "trainMean": (0.2, 0.1), "controlMean": (0.4, 0.4)}
    lines = [
        f"{value + seed / 100}\tmse\tKang\t{method}\t{line}\tIFNb\t{genes}\t50\t{seed}"
        for method, own in values.items()
        for line, value in zip(("B", "NK"), own, strict=True)
        for genes in (100, 5000)
        for seed in (1, 2)
    ]
    (tmp_path / "performance.tsv").write_text(HEADER + "\n".join(lines) + "\n")
    names = {"controlMean": "no_change", "trainMean": "train_mean"}
    folder = imported("scperturbench", [ResultFile(tmp_path / "performance.tsv")], tmp_path / "out", rename=names)
    expected = {"train_mean": 1, "scGen": 2, "no_change": 3}
    assert ranks(folder) == {"mse_deg100": expected, "mse_deg5000": expected}
    scores = pd.read_csv(folder / "scores.csv")
    assert set(scores["context"]) == {"B", "NK"}
    assert set(scores["seed"]) == {1, 2}
    assert set(scores["n_truth_cells"]) == {50}


def test_command_writes_a_folder_and_its_statuses(wide: list[ResultFile], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "results"), "--no-figures"]
    files = [f"{file.path.parent.name}={file.path}" for file in wide]
    done = CliRunner().invoke(app, ["import", "cell-eval", *files, *out, "--name", "mine"])
    assert done.exit_code == 0, done.output
    assert ranks(tmp_path / "results" / "cell-eval" / "latest") == RANKS
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "results" / "cell-eval" / "mine")]).exit_code == 0
    assert CliRunner().invoke(app, ["import", "cell-eval", *files, *out, "--name", "mine"]).exit_code == 2
    wide[0].path.write_text(wide[0].path.read_text().replace("P2,0.7", "P2,"))
    assert CliRunner().invoke(app, ["import", "cell-eval", *files, *out]).exit_code == 1
