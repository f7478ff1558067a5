"""Audits: a wrong direction is caught, leakage is measured on the same conditions, a run goes from command to page."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.analyses.suite_audits import wrong_answers
from benchmarks.cli.app import application
from benchmarks.execution.load_run import reopen
from reports import load
from reports.stats.audits import judge_directions, rate_metrics


@pytest.fixture(scope="module")
def answers(small_run):
    return wrong_answers(reopen(small_run))


def test_direction_blind_predictor_is_detected(small_run, answers):
    table = judge_directions(load(small_run), answers, n_boot=200)
    verdicts = table.set_index(["model", "answer"])["verdict"]
    assert verdicts["planted", "p2n"] == "right way"
    assert verdicts["planted", "n2p"] == "caught"
    assert verdicts["context_transfer", "p2n"] == "right way"
    assert verdicts["context_transfer", "n2p"] == "caught"
    assert verdicts["no_change", "n2p"] == "no change"


def test_reversed_changes_score_the_opposite(answers):
    wide = answers[answers["metric"] == "pearson_delta"].pivot_table(
        index=["context", "perturbation"], columns="model", values="value"
    )
    assert wide["planted"].to_numpy() == pytest.approx(-wide["planted as n2p"].to_numpy())


def test_metrics_of_change_see_direction(small_run, answers):
    rated = rate_metrics(answers, load(small_run).metrics, n_boot=200).set_index("metric")
    assert rated.loc[["pearson_delta", "spearman_delta", "cosine_delta", "sign_accuracy", "mse"], "sees"].all()
    assert rated.loc["pearson_delta", "right"] == pytest.approx(-rated.loc["pearson_delta", "blind"])


@pytest.mark.slow
def test_audits_command(tmp_path):
    options = ["--suite", "smoke", "--out", str(tmp_path), "--models", "context_transfer,linear"]
    result = CliRunner().invoke(application("audits"), options)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "audits.md").read_text()
    assert "SIMULATED" in page
    assert "LEAKY" in page
    protocols = pd.read_csv(tmp_path / "protocols.csv").set_index(["direction", "metric", "model"])
    assert protocols.loc[("n2p", "pearson_delta", "linear"), "low"] > 0  # it was trained on the test cells
    assert protocols.loc[("n2p", "pearson_delta", "no_change"), "gain"] == 0
    effects = pd.read_csv(tmp_path / "integration.csv").drop_duplicates("method").set_index("method")["effect_left"]
    assert effects["none"] == 1
    assert effects["per_condition"] < 0.6 < effects["technical"]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/predictions/*/*/outcome.json")}
    assert CliRunner().invoke(application("audits"), options).exit_code == 0
    assert kept == {path: path.stat().st_mtime_ns for path in kept}  # nothing is trained twice


def test_audits_command_unknown_audit(tmp_path):
    result = CliRunner().invoke(
        application("audits"), ["--suite", "smoke", "--out", str(tmp_path), "--only", "protocol"]
    )
    assert result.exit_code == 2
    assert "Did you mean 'protocols'" in " ".join(result.output.split())
