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
import typer
from matplotlib.figure import Figure
from rich.console import Console

from reports import ReportError, load, read_leaderboard, write_reports
from reports.__main__ import remake
from reports.figures import style
from reports.figures.style import new_figure, place_labels
from reports.pages import sections
from reports.pages.console import print_index, print_summary
from reports.pages.index_page import Entry, write_index
from reports.pages.leaderboard_page import leaderboard_blocks
from reports.stats.run_statistics import analyse
from reports.tables import MODEL_COLUMNS
from tests.unit.reports.result_tables import metrics_table, run_costs, run_planted, run_scores, write_run, write_tables

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Return a results folder that was reported on once, and what was written."""
    folder = write_run(tmp_path_factory.mktemp("results"))
    return folder, write_reports(folder, n_boot=100)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder of real data under a leaky protocol, reported on once."""
    scores = run_scores("n2p", source="real", audit="leaky: 60 conditions share cells")
    folder = write_tables(tmp_path_factory.mktemp("leaky"), scores)
    write_reports(folder, n_boot=10)
    return folder


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
    assert {path.suffix for path in paths} == {".csv", ".md", ".html", *MAGIC}
    assert [path.name for path in paths if path.read_bytes() != before[path]] == []
    assert {name: mpl.rcParams[name] for name in settings} == settings


def test_an_uninformative_headline_is_said_wherever_there_are_ranks(tmp_path: Path) -> None:
    scores = run_scores("n2p")
    turned = (scores["model"] == "split_half") & (scores["metric"] == "pearson_delta")
    scores.loc[turned, "value"] = -scores.loc[turned, "value"]
    write_tables(tmp_path, scores)
    write_reports(tmp_path, n_boot=50, figures=False)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert text.count("uninformative") > 3
    console = Console(file=io.StringIO(), width=100)
    print_summary(read_leaderboard(tmp_path / "leaderboard.csv"), console)
    assert "pearson_delta is uninformative here, no ranks" in console.file.getvalue()


def test_incomplete_and_failures_are_said_wherever_there_are_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    save = style.save

    def note(figure: Figure, *given: object, **how: bool) -> list[Path]:
        titles.append("\n".join(text.get_text() for text in figure.texts))
        return save(figure, *given, **how)

    monkeypatch.setattr(style, "save", note)
    scores = run_scores("n2p")
    scores.loc[scores["model"] == "linear", ["value", "status", "reason"]] = [np.nan, "not_run", "--resume runs it"]
    folder = write_tables(tmp_path / "suite", scores)
    write_reports(folder, n_boot=10)
    assert len(titles) == 7
    assert all("INCOMPLETE run" in title for title in titles)
    page = (folder / "leaderboard.md").read_text(encoding="utf-8")
    assert page.splitlines()[2].startswith("**INCOMPLETE: 4 of ")
    board = read_leaderboard(folder / "leaderboard.csv")
    summary = write_index(
        [Entry("suite", folder, "A title", 2, 1.0), Entry("later", tmp_path / "later", waiting=True)], tmp_path
    )
    console = Console(file=io.StringIO(), width=200)
    print_summary(board, console)
    print_index(summary, console)
    text = console.file.getvalue()
    assert "linear: not_run: --resume runs it" in text
    assert "scgen (2/60 failed)" in text
    assert "INCOMPLETE: default n2p (simulated)" in text
    assert "‡" in text.split("All suites")[1]
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "**INCOMPLETE:** 2 of 2 suites have not come to their end: later, default" in index
    assert "| linear | not_run |" in index
    assert "## later\n\nNot finished." in index


def test_metrics_without_families_are_reported(tmp_path: Path) -> None:
    write_tables(tmp_path, run_scores("n2p"), metrics=metrics_table().drop(columns=["family", "undefined"]))
    write_reports(tmp_path, n_boot=20, figures=False)
    assert "### All metrics" in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    quality = pd.read_csv(tmp_path / "quality.csv")
    assert quality["tau_noise"].isna().all()
    assert quality["split_half_mean"].notna().all()


def test_models_table(tmp_path: Path) -> None:
    row = dict.fromkeys(MODEL_COLUMNS, "") | {"model": "mine", "directions": "n2p p2n", "summary": "It is."}
    row |= {"dose": "no", "unseen_context": "fallback", "limits": "Not more.", "source": "doi:1"}
    models = pd.DataFrame([row])
    write_reports(write_tables(tmp_path, run_scores("n2p"), models=models), n_boot=10, figures=False)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "| `mine` | n2p, p2n | – | fallback | – | no | It is. Not more. | doi:1 |" in text
    models.drop(columns="dose").to_csv(tmp_path / "models.csv", index=False)
    with pytest.raises(ReportError, match=r"models\.csv lacks dose"):
        load(tmp_path)


def test_unusable_planted_predictors_are_refused(tmp_path: Path) -> None:
    scores, planted = run_scores("n2p"), run_planted("n2p")
    tables = {
        "lacks share": planted.drop(columns="share"),
        "no finite value": planted.assign(value=np.nan),
        "share outside 0 to 1": planted.assign(share=25),
    }
    for problem, table in tables.items():
        write_tables(tmp_path, scores, planted=table)
        with pytest.raises(ReportError, match=problem):
            load(tmp_path)


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
    write_tables(tmp_path, scores[scores["metric"].isin(["mse", "e_distance"])], costs=run_costs().iloc[:0])
    names = {path.name.split("-")[0] for path in write_reports(tmp_path, n_boot=10)}
    assert {"ranking", "contexts"} <= names
    assert not {"copying", "time"} & names


def test_tables_that_lack_something_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        remake(tmp_path)
    assert "metrics.csv does not exist" in capsys.readouterr().err
    scores = run_scores("n2p")
    words = scores.astype({"value": object}).assign(value="high")
    for problem, table in {"lacks audit": scores.drop(columns="audit"), "'value' holds 'high'": words}.items():
        with pytest.raises(ReportError, match=problem):
            load(write_tables(tmp_path, table))
    (tmp_path / "scores.csv").write_text("")
    with pytest.raises(ReportError, match="is no CSV table"):
        load(tmp_path)


def test_a_gene_named_na_stays_a_name(tmp_path: Path) -> None:
    scores = run_scores("n2p").replace({"perturbation": {"GENE00": "NA"}})
    assert "NA" in set(load(write_tables(tmp_path, scores)).scores["perturbation"])


def test_two_data_sets_need_costs_that_name_them(tmp_path: Path) -> None:
    both = pd.concat([run_scores("n2p"), run_scores("n2p").assign(dataset="other")])
    with pytest.raises(ReportError, match="no column 'dataset'"):
        load(write_tables(tmp_path, both))


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
    write_tables(tmp_path, scores[few])
    assert all(path.stat().st_size for path in write_reports(tmp_path, n_boot=5))
    print_summary(read_leaderboard(tmp_path / "leaderboard.csv"), Console(file=io.StringIO(), width=60))


def test_new_section_is_one_file(
    written: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "number_of_models.py").write_text(
        "from reports.pages.page_sections import Section\n"
        "SECTION = Section('Number of models', 85, lambda data: f'{data.leaders.shape[0]} rows.')\n"
    )
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{sections.__name__}.number_of_models", raising=False)
    text = "\n".join(leaderboard_blocks(analyse(load(written[0]), n_boot=5, seed=0), {}))
    sys.modules.pop(f"{sections.__name__}.number_of_models")
    assert text.count("### Number of models") == 2
    assert (
        text.index("### Calibration")
        < text.index("### Number of models")
        < text.index("### Effect of a shared control")
    )
