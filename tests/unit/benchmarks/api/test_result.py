"""A result: tables, comparisons, plots, and what a notebook shows."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import benchmarks as cb
from benchmarks.errors import BenchmarkError, StoreError, UnknownName
from reports import read_leaderboard


@pytest.fixture(scope="module")
def scored() -> cb.Result:
    """Two predictions: cells of another draw, and the same with an effect half as strong."""
    truth, good = cb.toy_screen(seed=0), cb.toy_screen(seed=1)
    good = good[good.obs["perturbation"] != "control"].copy()
    weak, other = good.copy(), cb.toy_screen(seed=2)
    controls = other[other.obs["perturbation"] == "control"]
    rows = np.random.default_rng(0).integers(controls.n_obs, size=weak.n_obs)
    half = np.arange(weak.n_obs) % 2 == 0
    weak.X = np.where(half[:, None], controls.X[rows].toarray(), weak.X.toarray())
    return cb.evaluate({"good": good, "weak<b>": weak}, truth, context_key="context", source="simulated")


@pytest.fixture(scope="module")
def ran(small_run: Path) -> cb.Result:
    return cb.load_run(small_run)


def test_tables_are_tidy(scored: cb.Result) -> None:
    keys = ["model", "context", "perturbation", "metric"]
    assert not scored.scores.duplicated(keys).any()
    assert not any(isinstance(kind, pd.CategoricalDtype) for kind in scored.scores.dtypes)
    assert set(scored.conditions["context"]) == {"line_a", "line_b"}
    assert set(scored.planted["metric"]) <= set(scored.metrics["metric"])
    top = scored.leaderboard.query("metric == 'pearson_delta' and level == 'suite' and kind == 'model'")
    assert list(top["model"]) == ["good", "weak<b>", "no_change"]


def test_comparison_is_paired_and_antisymmetric(scored: cb.Result) -> None:
    one, other = scored.compare("good", "weak<b>"), scored.compare("weak<b>", "good")
    assert list(one["metric"]) == list(other["metric"])
    assert set(one["metric"]) <= set(scored.metrics.query("scored")["metric"])
    np.testing.assert_allclose(one["gain"], -other["gain"])
    np.testing.assert_allclose(one["low"], -other["high"])
    values = scored.scores.query("metric == 'pearson_delta'").pivot_table(
        index=["context", "perturbation"], columns="model", values="value"
    )
    difference = (values["good"] - values["weak<b>"]).groupby("context").mean().mean()
    row = one.set_index("metric").loc["pearson_delta"]
    assert row["gain"] == pytest.approx(difference)
    assert row["low"] < row["gain"] < row["high"]
    assert row["n_conditions"] == 8
    lower = one.set_index("metric").loc["nmae_lfc"]
    assert lower["gain"] > 0, "positive is better also where a metric is better when lower"


def test_comparison_refuses_what_is_not_there(scored: cb.Result) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'good'"):
        scored.compare("goood", "no_change")
    with pytest.raises(UnknownName):
        scored.compare("good", "ceiling")


@pytest.mark.parametrize("plot", ["plot_ranking", "plot_contexts"])
def test_plots_draw_into_given_axes_and_say_simulated(scored: cb.Result, plot: str) -> None:
    before = dict(mpl.rcParams)
    axes = Figure().subplots()
    assert getattr(scored, plot)(ax=axes) is axes
    assert "SIMULATED" in axes.get_title(loc="left")
    assert {"good", "no_change"} <= {label.get_text() for label in axes.get_yticklabels()}
    assert dict(mpl.rcParams) == before


def test_plots_make_figures_of_their_own(ran: cb.Result) -> None:
    import matplotlib.pyplot as plt

    try:
        for plot in (ran.plot_ranking, ran.plot_contexts, ran.plot_time):
            axes = plot(direction="p2n")
            assert isinstance(axes, Axes)
            assert "p2n" in axes.get_title(loc="left")
            axes.figure.canvas.draw()
    finally:
        plt.close("all")


def test_plots_refuse_what_is_not_there(scored: cb.Result) -> None:
    with pytest.raises(UnknownName, match="pearson_delta"):
        scored.plot_ranking("pearson_dlta")
    with pytest.raises(UnknownName):
        scored.plot_contexts(direction="p2n")
    with pytest.raises(BenchmarkError, match="No time"):
        scored.plot_time()


def test_quick_training_is_said_in_plots(ran: cb.Result) -> None:
    quick = ran.tables | {"scores": ran.scores.assign(budget="quick")}
    result = cb.Result(quick, ran.texts, ran.manifest)
    assert "QUICK training: context_transfer" in result.plot_ranking(ax=Figure().subplots()).get_title(loc="left")
    assert "quick" in result._repr_html_()


def test_notebook_shows_leaderboard(scored: cb.Result) -> None:
    shown = scored._repr_html_()
    assert "SIMULATED" in shown
    assert "weak&lt;b&gt;" in shown
    assert "<b>" not in shown.replace("<p><b>", "", 1)
    assert shown.index(">good<") < shown.index("weak&lt;")
    assert "SIMULATED" in repr(scored)
    assert "best in pearson_delta: good" in repr(scored)


def test_saved_results_are_read_back(scored: cb.Result, tmp_path: Path) -> None:
    read = cb.load_run(scored.save(tmp_path / "saved", figures=False))
    assert read.notes == scored.notes
    assert set(read.tables) == set(scored.tables)
    for name, table in scored.tables.items():
        pd.testing.assert_frame_equal(read.tables[name], table, check_dtype=False, check_like=True, rtol=1e-9, obj=name)
    pd.testing.assert_frame_equal(read.leaderboard, scored.leaderboard, check_dtype=False, check_categorical=False)


def test_runs_have_the_leaderboard_of_their_folder(ran: cb.Result, small_run: Path) -> None:
    kept = read_leaderboard(small_run / "leaderboard.csv")
    pd.testing.assert_series_equal(ran.leaderboard["mean"], kept["mean"], rtol=1e-5)
    assert list(ran.leaderboard["model"]) == list(kept["model"])
    assert ran.manifest["state"] == "complete"


def test_folders_without_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"metrics\.csv"):
        cb.load_run(tmp_path)


def test_page_is_one_file_that_is_replaced(scored: cb.Result, tmp_path: Path) -> None:
    page = tmp_path / "mine.html"
    page.write_text("old")
    assert scored.to_html(page) == page
    assert page.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [page]
    with pytest.raises(StoreError):
        scored.to_html(page / "below.html")
