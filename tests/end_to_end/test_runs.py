"""Whole runs on the smoke screen: what finishes, what fails with which reason, what is kept and resumed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from benchmarks import registry
from benchmarks.cli.app import application
from benchmarks.cli.console import EXIT_FAILED, EXIT_INTERRUPTED
from benchmarks.data.store import atomic_files
from benchmarks.errors import StoreError
from benchmarks.execution.events import UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import Result, run
from benchmarks.scoring.endings import FAILURES
from benchmarks.tasks.question import Question
from tests.end_to_end import plugins

SIMPLE = ("train_control", "context_transfer", "linear")


QUIET = Execution(figures=False)
INLINE = Execution(executor="inline", figures=False)


def run_with(tmp_path: Path, *names: str, models: tuple[str, ...] = (), execution: Execution = QUIET) -> Result:
    """Run the smoke suite with some test plugins."""
    files = tuple(plugins.write(tmp_path, name) for name in names)
    directions = () if models else ("n2p",)
    question = Question(suite="smoke", models=(*names, *models), plugins=files, directions=directions)
    return run(make_plan(question), tmp_path / "run", execution)


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv", keep_default_na=False, na_values={"value": [""]})


@pytest.fixture(scope="session")
def simple(make_shared) -> Path:
    """Folder of one run of the simple models."""
    return make_shared("simple", lambda folder: run_with(folder, models=SIMPLE, execution=Execution())) / "run"


def test_run_writes_tables_figures_splits_and_manifest(simple):
    assert not set(scores(simple)["status"]) & FAILURES
    for name in (
        "scores.csv",
        "leaderboard.csv",
        "leaderboard.md",
        "report.html",
        "changes.csv",
        "umap.csv",
        "metrics.csv",
        "models.csv",
        "costs.csv",
        "manifest.json",
        "planted.csv",
        "conditions.csv",
        "quality.csv",
        "friedman.csv",
        "wins.csv",
        "sensitivity.csv",
        "splits/unseen_context-fold0.csv",
    ):
        assert (simple / name).stat().st_size > 0
    drawn = [path.suffix for path in (simple / "figures").iterdir()]
    assert drawn.count(".svg") == 8, "ranking, contexts, copying and time in both directions"
    assert drawn.count(".png") == 14, "and ranks, sensitivity and calibration"
    assert not (simple / "work").exists()
    manifest = json.loads((simple / "manifest.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["dataset"]["source"] == "simulated"
    assert len(manifest["splits"]["unseen_context-fold0"]) == 64
    assert manifest["versions"]["numpy"] == np.__version__
    trainings = {(t["model"], t["direction"]): t for t in manifest["trainings"]}
    assert trainings["linear", "n2p"]["training_seed"] == trainings["linear", "p2n"]["training_seed"] > 0
    assert trainings["linear", "n2p"]["peak_memory_mb"] > 50


def test_the_oracle_reaches_every_best_value_and_no_change_predicts_no_change(simple):
    table = scores(simple)
    best = pd.read_csv(simple / "metrics.csv").set_index("metric")["best"].dropna()
    oracle = table[table["model"] == "oracle"].groupby(["direction", "metric"])["value"].mean()
    for (_, metric), value in oracle.items():
        if metric in best.index:
            if np.isnan(value):  # no condition of so small a screen has as many significant genes
                assert metric.endswith("_truth") or metric == "nmae_lfc", metric
                continue
            assert value == pytest.approx(best[metric], abs=0.05 if metric in ("e_distance", "mmd_rbf") else 1e-9), (
                metric
            )
    still = table[(table["model"] == "no_change") & (table["metric"] == "pearson_delta")]["value"]
    assert (still == 0).all()
    scored = table[(table["metric"] == "pearson_delta") & table["status"].eq("ok")]
    means = scored.groupby(["direction", "model"])["value"].mean()
    assert (means.xs("n2p")["oracle"] > means.xs("n2p").drop("oracle")).all()


def test_every_row_is_marked_simulated_and_clean(simple):
    table = scores(simple)
    assert set(table["source"]) == {"simulated"}
    assert set(table.loc[(table["kind"] == "model") & (table["status"] == "ok"), "audit"]) == {"clean"}
    assert "SIMULATED" in (simple / "leaderboard.md").read_text()


def test_a_direction_a_model_does_not_take_is_a_row_with_a_reason(simple):
    rows = scores(simple).query("model == 'train_control' and direction == 'n2p'")
    assert set(rows["status"]) == {"unsupported"}
    assert set(rows["reason"]) == {"takes p2n only"}


@pytest.mark.parametrize("execution", [Execution(jobs=2, figures=False), INLINE], ids=lambda e: e.executor)
def test_same_seed_gives_the_same_tables_by_any_executor_and_side_by_side(simple, tmp_path, execution):
    again = run_with(tmp_path, models=SIMPLE, execution=execution)
    for name in ("scores.csv", "leaderboard.csv", "splits/unseen_context-fold0.csv"):
        assert (again.folder / name).read_bytes() == (simple / name).read_bytes()


VIOLATIONS = {
    "raises_in_fit": ("failed", r"RuntimeError: no convergence \(at raises_in_fit.py:\d+\)$"),
    "returns_nan": ("failed", "NaN or infinite"),
    "wrong_shape": ("failed", "149 genes; the query has 150"),
    "other_genes": ("failed", "other genes or another order"),
    "returns_array": ("failed", "returned a ndarray"),
    "changes_training": ("failed", "changed its training cells"),
    "changes_input": ("failed", "changed its input cells"),
    "dies": ("failed", r"process died \(exit code 9\)"),
    "lacks_a_package": ("failed", "ModuleNotFoundError"),
    "wants_an_extra": ("unsupported", r"pip install -e '.\[some\]'"),
    "later_wants_an_extra": ("unsupported", r"pip install -e '.\[some\]'"),
    "declines": ("unsupported", "not for me"),
}
"""Plugin → status and a pattern in the reason of its rows."""
INLINE_TOO = ("raises_in_fit", "lacks_a_package", "wants_an_extra", "later_wants_an_extra")


@pytest.fixture(scope="session")
def violations(make_shared) -> Path:
    """Folder of one run of all plugins that break the contract, each in its own way."""

    def fill(folder: Path) -> None:
        result = run_with(folder, *VIOLATIONS, "raises_once")
        failing = sum(status == "failed" for status, _ in VIOLATIONS.values())
        assert result.failures == 9 * failing + 1

    return make_shared("violations", fill) / "run"


@pytest.mark.parametrize("name", VIOLATIONS)
def test_contract_violation_is_a_row_with_its_reason(violations, name):
    check_rows(violations, name)


def check_rows(folder: Path, name: str) -> None:
    """Check status, reason and values of the rows of a plugin that breaks the contract."""
    status, reason = VIOLATIONS[name]
    rows = scores(folder).query(f"model == '{name}' and direction == 'n2p'")
    assert set(rows["status"]) == {status}
    assert rows["reason"].str.contains(reason).all()
    assert rows["value"].isna().all()


def test_contract_violations_do_not_stop_other_models(violations):
    assert scores(violations).query("model == 'train_mean' and metric == 'mse'")["value"].notna().all()


def test_failed_condition_scores_as_no_change(violations):
    board = pd.read_csv(violations / "leaderboard.csv")
    row = board.query(
        "model == 'raises_once' and metric == 'pearson_delta' and level == 'suite' and direction == 'n2p'"
    )
    assert row["n_failed"].item() == 1
    assert "second condition" in row["reason"].item()
    assert row["n_conditions"].item() == 9


def test_inline_run_shows_tracebacks_and_is_at_most_six_calls_from_command_to_fit(tmp_path):
    names = (*INLINE_TOO, "counts_calls")
    files = [option for name in names for option in ("--plugin", str(plugins.write(tmp_path, name)))]
    arguments = ["--suite", "smoke", "--models", ",".join(names), "--executor", "inline", "--direction", "n2p", *files]
    done = CliRunner().invoke(application("run"), [*arguments, "--out", str(tmp_path), "--no-figures"])
    assert done.exit_code == EXIT_FAILED
    assert 'raises_in_fit.py", line' in done.output
    (folder,) = tmp_path.glob("smoke/2*")
    for name in INLINE_TOO:
        check_rows(folder, name)
    reason = scores(folder).query("model == 'counts_calls'")["reason"].iloc[0]
    calls = reason.removeprefix("ValueError: ").split(" (at")[0].split()
    assert calls[0] == "main"
    assert len(calls) <= 6, "each calls the next, and the last one calls fit"


def test_timeout_ends_a_plugin(tmp_path):
    start = time.monotonic()
    execution = Execution(timeout=1.0, jobs=2, figures=False)
    result = run_with(tmp_path, "never_returns", "hangs_in_fit", execution=execution)
    rows = scores(result.folder).query("model in ('never_returns', 'hangs_in_fit') and direction == 'n2p'")
    assert rows.groupby("model")["status"].unique().map(list).to_dict() == {
        "never_returns": ["timeout"],
        "hangs_in_fit": ["timeout"],
    }
    assert rows["reason"].str.contains("--timeout").all()
    assert time.monotonic() - start < 120


def test_resume_trains_only_what_failed_or_has_other_settings(tmp_path):
    trained: list[str] = []

    def resume(**changes: object) -> Result:
        trained.clear()
        question = Question("smoke", models, directions=("n2p",), plugins=files, **changes)
        return run(make_plan(question), tmp_path / "run", INLINE, watch)

    def watch(event: object) -> None:
        if isinstance(event, UnitStarted):
            trained.append(event.spec.record.name)

    models = ("good", "raises_in_fit")
    files = tuple(plugins.write(tmp_path, name) for name in models)
    assert resume().failures == 9
    kept = tmp_path / "run/predictions/good/n2p-unseen_context-fold0-seed0"
    before = (kept / "outcome.json").stat().st_mtime_ns
    files[1].write_text(files[0].read_text().replace('"good"', '"raises_in_fit"'))
    assert resume().failures == 0
    assert trained == ["raises_in_fit"]
    assert (kept / "outcome.json").stat().st_mtime_ns == before
    table = (tmp_path / "run" / "scores.csv").read_bytes()
    (tmp_path / "run" / "scores.csv").unlink()
    resume()
    assert trained == []
    assert (tmp_path / "run" / "scores.csv").read_bytes() == table
    resume(settings={"good": {"strength": 2.0}})
    assert trained == ["good"]
    assert np.load(kept / "means.npy").min() == pytest.approx(2.0)


def test_leaky_protocol_is_marked_in_every_row(tmp_path):
    question = Question(suite="smoke", models=("train_mean",), directions=("n2p",), protocol="resampled")
    result = run(make_plan(question), tmp_path / "run", INLINE)
    rows = scores(result.folder).query("kind == 'model' and status == 'ok'")
    assert rows["audit"].str.startswith("leaky").all()
    assert "LEAKY" in (result.folder / "leaderboard.md").read_text()


def test_full_disk_stops_the_run_and_resume_completes_it(tmp_path):
    plan = make_plan(Question(suite="smoke", models=("train_mean",), directions=("n2p",)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # no file may grow beyond 20 kB
    try:
        with pytest.raises((StoreError, OSError)):
            run(plan, tmp_path / "run", INLINE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    result = run(plan, tmp_path / "run", INLINE)
    assert result.failures == 0


def test_locked_folder_is_refused(tmp_path):
    plan = make_plan(Question(suite="smoke", models=("train_mean",)))
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(StoreError, match="Another process"):
        run(plan, tmp_path / "run", QUIET)


def test_unwritable_store_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--resume"), atomic_files.atomic(tmp_path / "file" / "below" / "x.json"):
        pass


def heed_interrupts() -> None:
    """A shell that starts tests in the background has them ignore Ctrl-C; what is tested here must not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_finished_models(tmp_path, how):
    plugin = plugins.write(tmp_path, "hangs_with_a_child")
    (tmp_path / "tmp").mkdir()
    arguments = ["--suite", "smoke", "--direction", "n2p", "--no-figures", "--out", str(tmp_path / "out"), "--models"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.run", *arguments, "hangs_with_a_child", "--plugin", str(plugin)],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    wanted = "predictions/train_mean/n2p-unseen_context-fold0-seed0/outcome.json"
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(f"out/smoke/*/{wanted}")) and time.monotonic() < deadline:
        time.sleep(0.1)
    while not any(log.read_text() for log in tmp_path.glob("tmp/*/*/log.txt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    child = [psutil.Process(int(log.read_text())) for log in tmp_path.glob("tmp/*/*/log.txt")]
    os.kill(process.pid, how)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_INTERRUPTED, output
    assert "--resume" in output
    assert "INCOMPLETE run" in output
    assert "hangs_with_a_child" in output.split("INCOMPLETE run")[1]
    assert len(child) == 1, output
    psutil.wait_procs(child, 20)
    assert not list((tmp_path / "tmp").glob("cycseq*"))
    (folder,) = tmp_path.glob("out/smoke/2*")
    assert json.loads((folder / "manifest.json").read_text())["state"] == "stopped"
    statuses = scores(folder).groupby("model")["status"].agg(set)
    assert statuses["hangs_with_a_child"] == {"not_run"}
    assert "ok" in statuses["train_mean"]
    done = CliRunner().invoke(application("run"), [*arguments, "linear", "--resume"])
    assert done.exit_code == 0, done.output
    assert "[1/1] linear (n2p)" in done.output
    assert "Kept in the tables as they are: hangs_with_a_child" in done.output
    assert done.output.rstrip().endswith("(report.html, leaderboard.md, leaderboard.csv, scores.csv)")
    assert list(tmp_path.glob("out/smoke/2*")) == [folder], "it went on in the same folder"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "cropsek"], "Did you mean 'cropseq'"),
        (["--suite", "smoke", "--models", "scgn"], "Did you mean 'scgen'"),
        (["--suite", "smoke", "--protocol", "resampel"], "Did you mean 'resampled'"),
        (["--suite", "smoke", "--direction", "n2n"], "Unknown direction"),
        (["--data", "reel"], "expected one of auto, real"),
        (["--suite", "kang", "--data", "simulated"], "has no simulated data"),
        (["--suite", "smoke", "--models", "linear", "--set", "linear.ridgee=1"], "Did you mean 'ridge'"),
        (["--suite", "smoke", "--set", "linear"], "expected model.key=value"),
        (["--suite", "smoke", "--models", "linear", "--set", "lin.ridge=1"], "'lin' is not in this run"),
        (["--suite", "smoke", "--models", ""], "--models is empty"),
        (["--suite", "smoke", "--device", "gpu"], "expected cpu, cuda"),
        (["--suite", "smoke", "--folds", "9"], "has 3 fold"),
        (["--suite", "smoke", "--plugin", "nowhere.py"], "does not exist"),
        (["--suite", "smoke", "--annotation", "nowhere.gaf"], "does not exist"),
        (["--suite", "grid", "--data-dir", "nowhere"], "nowhere does not exist"),
    ],
)
def test_unusable_options_are_refused_before_training(arguments, words, tmp_path):
    done = CliRunner().invoke(application("run"), [*arguments, "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert words in done.output.replace("\n", "")
    assert not list(tmp_path.iterdir())


def test_copied_template_is_on_the_leaderboard(tmp_path):
    """What README and CONTRIBUTING say: copy the template, name it, run it."""
    path = tmp_path / "my_model.py"
    path.write_text(registry.TEMPLATE.read_text().replace('name="_template"', 'name="my_model"'))
    arguments = ["--suite", "smoke", "--models", "my_model", "--plugin", str(path), "--out", str(tmp_path)]
    done = CliRunner().invoke(application("run"), [*arguments, "--no-figures"])
    assert done.exit_code == 0, done.output
    assert "my_model" in done.output
    board = pd.read_csv(next(tmp_path.glob("smoke/*/leaderboard.csv")))
    mine = board.query("model == 'my_model' and level == 'suite' and metric == 'pearson_delta'").set_index("direction")
    assert mine["mean"].notna().all()
    assert mine.loc["n2p", "rank"] == 1
    assert mine.loc["p2n", "status"] == "uninformative", "training controls are as good as the split half there"


def test_list_shows_everything():
    done = CliRunner().invoke(application("run"), ["--list"])
    assert done.exit_code == 0
    for word in ("cropseq", "context_transfer", "unseen_context", "kang", "pearson_delta"):
        assert word in done.output
