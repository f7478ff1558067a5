"""The files of a results folder: complete, labelled, the same twice."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from result_tables import metrics_table, run_costs, run_planted, run_scores
from rich.console import Console

from reports import ReportError, load, read_leaderboard, write_reports
from reports.__main__ import main
from reports.figures.style import model_colours, new_figure, place_labels
from reports.pages.console import print_summary
from reports.tables import MODEL_COLUMNS

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Return a results folder that was reported on once, and what was written."""
    folder = tmp_path_factory.mktemp("results")
    pd.concat([run_scores("n2p"), run_scores("p2n")]).to_csv(folder / "scores.csv", index=False)
    metrics_table().to_csv(folder / "metrics.csv", index=False)
    run_costs().to_csv(folder / "costs.csv", index=False)
    pd.concat([run_planted("n2p"), run_planted("p2n")]).to_csv(folder / "planted.csv", index=False)
    return folder, write_reports(folder, n_boot=100)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder of real data under a leaky protocol, reported on once."""
    folder = tmp_path_factory.mktemp("leaky")
    scores = run_scores("n2p", source="real", audit="leaky: 60 conditions share cells")
    scores.to_csv(folder / "scores.csv", index=False)
    metrics_table().to_csv(folder / "metrics.csv", index=False)
    run_costs().to_csv(folder / "costs.csv", index=False)
    write_reports(folder, n_boot=10)
    return folder


def page(written: tuple[Path, list[Path]]) -> tuple[str, str]:
    """Return the n2p and p2n parts of leaderboard.md."""
    text = (written[0] / "leaderboard.md").read_text(encoding="utf-8")
    _, n2p, p2n, *_ = text.split("\n## ")
    return n2p, p2n


def test_figures_of_scores_are_png_and_svg_those_of_statistics_png(written: tuple[Path, list[Path]]) -> None:
    folder, paths = written
    figures = [path for path in paths if path.parent == folder / "figures"]
    kinds = {(path.name.split("-")[0], path.stem.rsplit("-", 1)[1], path.suffix) for path in figures}
    scores = {(name, suffix) for name in ("ranking", "contexts", "copying", "time") for suffix in MAGIC}
    statistics = {(name, ".png") for name in ("ranks", "sensitivity", "calibration")}
    assert kinds == {(name, way, suffix) for name, suffix in scores | statistics for way in ("n2p", "p2n")}
    for path in figures:
        assert path.stat().st_size > 10_000
        assert path.read_bytes().startswith(MAGIC[path.suffix])


def test_a_second_run_gives_the_same_bytes_and_leaves_settings_alone(leaky: Path) -> None:
    before = {path: path.read_bytes() for path in leaky.rglob("*.*")}
    settings = {name: value for name, value in mpl.rcParams.copy().items() if name != "backend"}
    paths = write_reports(leaky, n_boot=10)
    assert {path.suffix for path in paths} == {".csv", ".md", *MAGIC}
    assert [path.name for path in paths if path.read_bytes() != before[path]] == []
    assert {name: mpl.rcParams[name] for name in settings} == settings


def test_the_page_says_what_is_simulated_and_how_models_compare(written: tuple[Path, list[Path]]) -> None:
    n2p, p2n = page(written)
    title = "cropseq_simulated, protocol unseen_perturbation, control → perturbed (n2p) — SIMULATED data\n"
    assert n2p.startswith(title)
    assert "better than `train_mean`" in n2p
    assert "better than `train_control` (" in p2n
    assert "**no model**" in p2n
    assert "Copying the control (`no_change`) scores 0.9" in n2p
    assert "LEAKY" not in n2p + p2n


def test_the_page_ranks_by_the_headline_and_marks_brackets_and_references(written: tuple[Path, list[Path]]) -> None:
    n2p, _ = page(written)
    rows = [
        [cell.strip() for cell in line.split("|")[1:4]]
        for line in n2p.split("\n| --:")[0].splitlines()
        if line.startswith("| ") and not line.startswith("| :") and line.split("|")[1].strip()[:1] in (*"1234567", "–")
    ]
    board = read_leaderboard(written[0] / "leaderboard.csv")
    best = board[(board["level"] == "suite") & (board["direction"] == "n2p") & (board["metric"] == "pearson_delta")]
    best = best.sort_values("rank")["model"].head(7).tolist()
    assert [row[1].split(" ")[0] for row in rows[:7]] == best
    assert ["–", "*oracle*"] in [row[:2] for row in rows]
    assert "train_mean (*bracket*)" in [row[1] for row in rows]


def test_the_page_says_who_failed_and_who_declined(written: tuple[Path, list[Path]]) -> None:
    n2p, p2n = page(written)
    assert (
        "- `scgen` (13 of 14 metrics): 2 of 60 conditions failed, first LP1/GENE03: ValueError: the loss is not finite"
        in n2p
    )
    assert "- `gears` (13 of 14 metrics): 12 of 60 conditions declined" in n2p
    assert "- `gears`: unsupported: gears predicts perturbed cells from controls only (n2p)." in p2n
    assert "(e_distance): needs_cells" in n2p
    assert "\\|" not in n2p.split("- `scgen` (")[0].split("| rank")[1]


def test_the_page_marks_and_explains_metrics_that_cannot_order_planted_predictors(
    written: tuple[Path, list[Path]],
) -> None:
    n2p, _ = page(written)
    header = next(line for line in n2p.splitlines() if line.startswith("| rank"))
    assert "| r2_pearson ↑ ³ |" in header
    assert header.count("³") == 1
    assert (
        "³ does not put planted predictors of known quality in order (an interval of τ reaches 0): r2_pearson.\n" in n2p
    )
    calibration = n2p.split("### Calibration")[1].split("###")[0]
    row = next(line for line in calibration.splitlines() if line.startswith("| mse"))
    assert row.endswith("| 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] |")


def test_the_page_says_in_words_what_a_shared_control_is_worth(written: tuple[Path, list[Path]]) -> None:
    n2p, _ = page(written)
    board = read_leaderboard(written[0] / "leaderboard.csv")
    suite = board[(board["level"] == "suite") & (board["direction"] == "n2p")].set_index(["model", "metric"])["mean"]
    shared, alone = suite["other_controls", "pearson_delta_shared"], suite["other_controls", "pearson_delta"]
    words = f"score {shared:.2f} in pearson_delta_shared and {alone:.2f} with disjoint controls".replace("-", "−")
    assert f"Other control cells, which know nothing of any perturbation, {words}" in n2p
    assert f"sharing the control is worth {shared - alone:.2f} to who predicts nothing at all" in n2p


def test_the_page_counts_what_is_missing_by_family(written: tuple[Path, list[Path]]) -> None:
    text = (written[0] / "leaderboard.md").read_text(encoding="utf-8").split("## What is missing, and why")[1]
    failed = next(line for line in text.splitlines() if "n2p | scgen | failed" in line)
    assert "change 4/120, profile 8/240, retrieval 2/60" in failed
    assert "ValueError: the loss is not finite" in failed
    assert any("too_few_genes | expression 5/60 |" in line for line in text.splitlines())


def test_the_page_has_a_table_per_family_and_scaled_scores(written: tuple[Path, list[Path]]) -> None:
    n2p, p2n = page(written)
    assert [line[4:] for line in n2p.splitlines() if line.startswith("### ")] == [
        "Change from control",
        "Profile",
        "Retrieval",
        "Differential expression",
        "Distribution",
        "Input-copy audit",
        "Calibration",
        "What a shared control is worth",
    ]
    assert "### Retrieval" not in p2n
    headline = [line for line in n2p.split("\n### ")[0].splitlines() if line.startswith("| –") and "*ceiling*" in line]
    assert headline[0].split("|")[4].strip() == "1.00"
    assert "| 2 ≈ | context_transfer |" in n2p
    assert "≈ cannot be told from the best" in n2p


def test_an_uninformative_headline_is_said_wherever_there_are_ranks(tmp_path: Path) -> None:
    scores = run_scores("n2p")
    turned = (scores["model"] == "ceiling") & (scores["metric"] == "pearson_delta")
    scores.loc[turned, "value"] = -scores.loc[turned, "value"]
    scores.to_csv(tmp_path / "scores.csv", index=False)
    metrics_table().to_csv(tmp_path / "metrics.csv", index=False)
    run_costs().to_csv(tmp_path / "costs.csv", index=False)
    write_reports(tmp_path, n_boot=50, figures=False)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "**pearson_delta is uninformative here and ranks nobody:** the ceiling is not better" in text
    assert "1 metrics are uninformative and do not rank: pearson_delta." in text
    assert "¹ uninformative here" in text
    console = Console(file=io.StringIO(), width=100)
    print_summary(read_leaderboard(tmp_path / "leaderboard.csv"), console)
    assert "pearson_delta is uninformative here, no ranks" in console.file.getvalue()


def test_tables_of_version_01_are_reported(tmp_path: Path) -> None:
    run_scores("n2p").to_csv(tmp_path / "scores.csv", index=False)
    metrics_table().drop(columns=["family", "undefined"]).to_csv(tmp_path / "metrics.csv", index=False)
    run_costs().to_csv(tmp_path / "costs.csv", index=False)
    write_reports(tmp_path, n_boot=20, figures=False)
    assert "### All metrics" in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    quality = pd.read_csv(tmp_path / "quality.csv")
    assert quality["tau_noise"].isna().all()
    assert quality["ceiling_mean"].notna().all()


def test_the_page_says_what_each_model_can_do(written: tuple[Path, list[Path]], tmp_path: Path) -> None:
    assert "## Models" not in (written[0] / "leaderboard.md").read_text(encoding="utf-8"), "none without models.csv"
    row = dict.fromkeys(MODEL_COLUMNS, "") | {
        "model": "mine",
        "directions": "n2p p2n",
        "summary": "It is.",
        "dose": "no",
    }
    models = pd.DataFrame([row | {"unseen_context": "fallback", "limits": "Not more.", "source": "doi:1"}])
    for name in ("scores", "metrics", "costs"):
        (tmp_path / f"{name}.csv").write_text((written[0] / f"{name}.csv").read_text())
    models.to_csv(tmp_path / "models.csv", index=False)
    write_reports(tmp_path, n_boot=10, figures=False)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    section = text.split("\n## Models\n")[1].split("\n## ")[0]
    assert "| `mine` | n2p, p2n | – | fallback | – | no | It is. Not more. | doi:1 |" in section
    assert "*no*: it declines" in section
    assert "*ignored*" not in section, "only words that occur are explained"
    models.drop(columns="dose").to_csv(tmp_path / "models.csv", index=False)
    with pytest.raises(ReportError, match=r"models\.csv lacks dose"):
        load(tmp_path)


def test_planted_predictors_that_cannot_be_used_are_refused(written: tuple[Path, list[Path]], tmp_path: Path) -> None:
    for name in ("scores.csv", "metrics.csv", "costs.csv"):
        (tmp_path / name).write_bytes((written[0] / name).read_bytes())
    planted = run_planted("n2p")
    planted.drop(columns="share").to_csv(tmp_path / "planted.csv", index=False)
    with pytest.raises(ReportError, match=r"planted\.csv lacks share"):
        load(tmp_path)
    planted.assign(value=np.nan).to_csv(tmp_path / "planted.csv", index=False)
    with pytest.raises(ReportError, match="rows have status ok and no finite value"):
        load(tmp_path)
    planted.assign(share=25).to_csv(tmp_path / "planted.csv", index=False)
    with pytest.raises(ReportError, match=r"'share' holds .*expected 0 to 1"):
        load(tmp_path)


def test_the_legend_says_which_way_is_better(leaky: Path) -> None:
    text = (leaky / "leaderboard.md").read_text(encoding="utf-8")
    assert "| mse | profile | lower | 0 | yes | What mse measures. | METRICS.md |" in text
    assert "| pearson_delta | change | higher | 1 | yes |" in text
    assert "| copy_margin | audit | neither | – | no |" in text


def test_labels_of_crowded_points_do_not_overlap() -> None:
    points = np.column_stack([np.full(6, 3.0), np.linspace(0.20, 0.21, 6)])
    names = [f"model_number_{n}" for n in range(6)]
    figure = new_figure(4.0)
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 0.4))
    place_labels(axes, points, names, [(y - 0.01, y + 0.01) for y in points[:, 1]])
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert [text.get_text() for text in axes.texts if text.get_text()] == names
    assert not [(one, other) for one, other in combinations(boxes, 2) if one.overlaps(other)]


def test_a_leak_is_written_wherever_the_scores_are(leaky: Path) -> None:
    text = (leaky / "leaderboard.md").read_text(encoding="utf-8")
    assert "— LEAKY protocol\n" in text
    assert "leaky: 60 conditions share cells" in text
    assert "SIMULATED" not in text


def test_the_console_shows_one_table_per_direction(written: tuple[Path, list[Path]]) -> None:
    console = Console(file=io.StringIO(), width=100)
    print_summary(read_leaderboard(written[0] / "leaderboard.csv"), console)
    text = console.file.getvalue()
    assert text.count("SIMULATED data") == 2
    assert "pds_" in text.split("perturbed → control")[0]
    assert "pds_" not in text.split("perturbed → control")[1]
    assert "gears: unsupported" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_without_costs_or_audit_metrics_the_other_figures_are_made(tmp_path: Path) -> None:
    scores = run_scores("n2p")
    scores[scores["metric"].isin(["mse", "e_distance"])].to_csv(tmp_path / "scores.csv", index=False)
    metrics_table().to_csv(tmp_path / "metrics.csv", index=False)
    run_costs().iloc[:0].to_csv(tmp_path / "costs.csv", index=False)
    names = {path.name.split("-")[0] for path in write_reports(tmp_path, n_boot=10)}
    assert {"ranking", "contexts"} <= names
    assert not {"copying", "time"} & names
    assert "In mse, better than `train_mean`" in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")


def test_tables_that_lack_something_are_refused_in_words(
    written: tuple[Path, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert "metrics.csv does not exist; expected a results folder" in capsys.readouterr().err
    for name in ("metrics.csv", "costs.csv"):
        (tmp_path / name).write_bytes((written[0] / name).read_bytes())
    run_scores("n2p").drop(columns="audit").to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(ReportError, match=r"scores\.csv lacks audit; it has"):
        load(tmp_path)
    run_scores("n2p").astype({"value": object}).assign(value="high").to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(ReportError, match="column 'value' holds 'high'; expected numbers"):
        load(tmp_path)
    (tmp_path / "scores.csv").write_text("")
    with pytest.raises(ReportError, match="is no CSV table"):
        load(tmp_path)


def test_a_gene_named_na_stays_a_name(written: tuple[Path, list[Path]], tmp_path: Path) -> None:
    for name in ("metrics.csv", "costs.csv"):
        (tmp_path / name).write_bytes((written[0] / name).read_bytes())
    run_scores("n2p").replace({"perturbation": {"GENE00": "NA"}}).to_csv(tmp_path / "scores.csv", index=False)
    assert "NA" in set(load(tmp_path).scores["perturbation"])


def test_two_data_sets_need_costs_that_name_them(written: tuple[Path, list[Path]], tmp_path: Path) -> None:
    for name in ("metrics.csv", "costs.csv"):
        (tmp_path / name).write_bytes((written[0] / name).read_bytes())
    both = pd.concat([run_scores("n2p"), run_scores("n2p").assign(dataset="other")])
    both.to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(ReportError, match="no column 'dataset'"):
        load(tmp_path)


def test_colours_stay_with_their_model() -> None:
    few, many = model_colours(["scgen", "linear"]), model_colours(["scgen", "linear", "a_plugin", "no_change"])
    assert few == {name: many[name] for name in few}
    assert len(set(many.values())) == 4


def test_importing_the_package_needs_no_plotting_and_none_of_the_siblings() -> None:
    code = (
        "import sys, reports, reports.pages.console; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'matplotlib', 'seaborn', 'benchmarks', 'baselines', 'cycseq', 'scanpy'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("models", [["no_change"], ["gears"], ["gears", "oracle"]])
def test_the_smallest_tables_are_reported(models: list[str], tmp_path: Path) -> None:
    scores = run_scores("p2n")
    few = scores["model"].isin(models) & (scores["context"] == "LP1") & (scores["perturbation"] == "GENE01")
    scores[few].to_csv(tmp_path / "scores.csv", index=False)
    metrics_table().to_csv(tmp_path / "metrics.csv", index=False)
    run_costs().to_csv(tmp_path / "costs.csv", index=False)
    assert all(path.stat().st_size for path in write_reports(tmp_path, n_boot=5))
    print_summary(read_leaderboard(tmp_path / "leaderboard.csv"), Console(file=io.StringIO(), width=60))
