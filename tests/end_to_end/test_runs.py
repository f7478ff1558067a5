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
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from benchmarks import registry
from benchmarks.cli.app import application
from benchmarks.data.store import atomic_files
from benchmarks.errors import StoreError
from benchmarks.execution import prediction_store
from benchmarks.execution.events import UnitFailed, UnitStarted, ignore
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import Result, run
from benchmarks.tasks.question import Question
from tests.end_to_end import plugins

SIMPLE = ("train_control", "context_transfer", "linear")


QUIET = Execution(figures=False)
INLINE = Execution(executor="inline", figures=False)


def run_with(
    tmp_path: Path, *names: str, models: tuple[str, ...] = (), execution: Execution = QUIET, watch=ignore
) -> Result:
    """Run the smoke suite with some test plugins."""
    files = tuple(plugins.write(tmp_path, name) for name in names)
    directions = () if models else ("n2p",)
    question = Question(suite="smoke", models=(*names, *models), plugins=files, directions=directions)
    return run(make_plan(question), tmp_path / "run", execution, watch)


def scores(result: Result) -> pd.DataFrame:
    return pd.read_csv(result.folder / "scores.csv", keep_default_na=False, na_values={"value": [""]})


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run of the simple models."""
    return run_with(tmp_path_factory.mktemp("simple"), models=SIMPLE, execution=Execution())


def test_run_writes_tables_figures_splits_and_manifest(simple):
    assert simple.failures == 0
    for name in (
        "scores.csv",
        "leaderboard.csv",
        "leaderboard.md",
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
        assert (simple.folder / name).stat().st_size > 0
    drawn = [path.suffix for path in (simple.folder / "figures").iterdir()]
    assert drawn.count(".svg") == 8, "ranking, contexts, copying and time in both directions"
    assert drawn.count(".png") == 14, "and ranks, sensitivity and calibration"
    assert not (simple.folder / "work").exists()
    manifest = json.loads((simple.folder / "manifest.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["dataset"]["source"] == "simulated"
    assert len(manifest["splits"]["unseen_context-fold0"]) == 64
    assert manifest["versions"]["numpy"] == np.__version__
    trainings = {(t["model"], t["direction"]): t for t in manifest["trainings"]}
    assert trainings["linear", "n2p"]["training_seed"] == trainings["linear", "p2n"]["training_seed"] > 0
    assert trainings["linear", "n2p"]["peak_memory_mb"] > 50


@pytest.mark.parametrize("execution", [QUIET, INLINE], ids=lambda e: e.executor)
def test_missing_extra_is_unsupported(tmp_path, execution):
    wants = plugins.HEAD.format(name="wants", fit="import no_such_package", predict="raise ValueError")
    late = plugins.HEAD.format(name="late", fit="pass", predict="import no_such_package")
    (tmp_path / "wants.py").write_text(wants.replace('source="tests"', 'source="tests", extra="some"'))
    (tmp_path / "late.py").write_text(late.replace('source="tests"', 'source="tests", extra="some"'))
    (tmp_path / "broken.py").write_text(wants.replace("wants", "broken"))
    names = ("wants", "late", "broken")
    files = tuple(tmp_path / f"{name}.py" for name in names)
    question = Question(suite="smoke", models=names, plugins=files, directions=("n2p",))
    table = scores(run(make_plan(question), tmp_path / "run", execution)).groupby("model")
    ends = {name: table.get_group(name)[["status", "reason"]].drop_duplicates().to_numpy().tolist() for name in names}
    assert ends["wants"] == ends["late"]
    ((status, reason),) = ends["wants"]
    assert status == "unsupported"
    assert "pip install -e '.[some]'" in reason
    ((status, reason),) = ends["broken"]
    assert status == "failed", "without an extra in the record it is the plugin's own fault"
    assert "ModuleNotFoundError" in reason


def test_the_oracle_reaches_every_best_value_and_no_change_predicts_no_change(simple):
    table = scores(simple)
    best = pd.read_csv(simple.folder / "metrics.csv").set_index("metric")["best"].dropna()
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
    assert "SIMULATED" in (simple.folder / "leaderboard.md").read_text()


def test_a_direction_a_model_does_not_take_is_a_row_with_a_reason(simple):
    rows = scores(simple).query("model == 'train_control' and direction == 'n2p'")
    assert set(rows["status"]) == {"unsupported"}
    assert set(rows["reason"]) == {"takes p2n only"}


def test_the_same_seed_gives_the_same_tables(simple, tmp_path):
    again = run_with(tmp_path, models=SIMPLE)
    for name in ("scores.csv", "leaderboard.csv", "splits/unseen_context-fold0.csv"):
        assert (again.folder / name).read_bytes() == (simple.folder / name).read_bytes()


def test_workers_side_by_side_give_the_same_tables(simple, tmp_path):
    beside = run_with(tmp_path, models=SIMPLE, execution=Execution(jobs=2, figures=False))
    assert (beside.folder / "scores.csv").read_bytes() == (simple.folder / "scores.csv").read_bytes()


def test_adding_a_model_moves_no_other_models_seed(tmp_path):
    def drawn(result: Result) -> pd.Series:
        return scores(result).query("model == 'remembers'")["value"]

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone = drawn(run_with(tmp_path / "a", "remembers"))
    beside = drawn(run_with(tmp_path / "b", "good", "remembers"))
    np.testing.assert_array_equal(alone, beside)


VIOLATIONS = {
    "raises_in_fit": ("failed", "RuntimeError: no convergence"),
    "returns_nan": ("failed", "NaN or infinite"),
    "wrong_shape": ("failed", "149 genes; the query has 150"),
    "other_genes": ("failed", "other genes or another order"),
    "returns_array": ("failed", "returned a ndarray"),
    "changes_training": ("failed", "changed its training cells"),
    "changes_input": ("failed", "changed its input cells"),
    "dies": ("failed", "process died (exit code 9)"),
    "declines": ("unsupported", "not for me"),
}
"""Plugin → status and a part of the reason of its rows."""


@pytest.fixture(scope="module")
def violations(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run of all plugins that break the contract, each in its own way."""
    return run_with(tmp_path_factory.mktemp("violations"), *VIOLATIONS)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_contract_violation_is_a_row_with_its_reason(violations, name):
    status, reason = VIOLATIONS[name]
    rows = scores(violations).query(f"model == '{name}' and direction == 'n2p'")
    assert set(rows["status"]) == {status}
    assert rows["reason"].str.contains(reason, regex=False).all()
    assert rows["value"].isna().all()


def test_contract_violations_do_not_stop_other_models(violations):
    failing = sum(status == "failed" for status, _ in VIOLATIONS.values())
    assert violations.failures == 9 * failing
    assert scores(violations).query("model == 'train_mean' and metric == 'mse'")["value"].notna().all()


def test_timeout_ends_a_plugin(tmp_path):
    start = time.monotonic()
    result = run_with(tmp_path, "never_returns", "hangs_in_fit", execution=Execution(timeout=3.0, figures=False))
    rows = scores(result).query("model in ('never_returns', 'hangs_in_fit') and direction == 'n2p'")
    assert rows.groupby("model")["status"].unique().map(list).to_dict() == {
        "never_returns": ["timeout"],
        "hangs_in_fit": ["timeout"],
    }
    assert rows["reason"].str.contains("--timeout").all()
    assert time.monotonic() - start < 120


def test_failed_condition_scores_as_no_change(tmp_path):
    result = run_with(tmp_path, "raises_once")
    assert result.failures == 1
    board = pd.read_csv(result.folder / "leaderboard.csv")
    row = board.query(
        "model == 'raises_once' and metric == 'pearson_delta' and level == 'suite' and direction == 'n2p'"
    )
    assert row["n_failed"].item() == 1
    assert "second condition" in row["reason"].item()
    assert row["n_conditions"].item() == 9


def test_resume_retries_failures_only(tmp_path):
    result = run_with(tmp_path, "good", "raises_in_fit")
    kept = result.folder / "predictions/good/n2p-unseen_context-fold0-seed0/outcome.json"
    before = kept.stat().st_mtime_ns
    (tmp_path / "raises_in_fit.py").write_text((tmp_path / "good.py").read_text().replace('"good"', '"raises_in_fit"'))
    question = Question(
        suite="smoke",
        models=("good", "raises_in_fit"),
        directions=("n2p",),
        plugins=(tmp_path / "good.py", tmp_path / "raises_in_fit.py"),
    )
    seen = []
    again = run(make_plan(question), result.folder, QUIET, seen.append)
    assert again.failures == 0
    assert [event.spec.record.name for event in seen if isinstance(event, UnitStarted)] == ["raises_in_fit"]
    assert kept.stat().st_mtime_ns == before


def test_changed_settings_are_trained_again(tmp_path):
    result = run_with(tmp_path, "good")
    question = Question(
        suite="smoke",
        models=("good",),
        plugins=(tmp_path / "good.py",),
        settings={"good": {"strength": 2.0}},
        directions=("n2p",),
    )
    run(make_plan(question), result.folder, INLINE)
    folder = result.folder / "predictions/good/n2p-unseen_context-fold0-seed0"
    shift = prediction_store.get_prediction(folder, 0).values.min()
    assert shift == 2.0


def test_rescoring_trains_nothing(simple):
    question = Question(suite="smoke", models=SIMPLE)
    before = (simple.folder / "scores.csv").read_bytes()
    (simple.folder / "scores.csv").unlink()
    seen: list[object] = []
    run(make_plan(question), simple.folder, QUIET, seen.append)
    assert not [event for event in seen if isinstance(event, UnitStarted)]
    assert (simple.folder / "scores.csv").read_bytes() == before


def test_leaky_protocol_is_marked_in_every_row(tmp_path):
    question = Question(suite="smoke", models=("train_mean",), protocol="resampled")
    result = run(make_plan(question), tmp_path / "run", INLINE)
    rows = scores(result).query("kind == 'model' and status == 'ok'")
    assert rows["audit"].str.startswith("leaky").all()
    assert "LEAKY" in (result.folder / "leaderboard.md").read_text()


def test_full_disk_stops_the_run_and_resume_completes_it(tmp_path):
    plan = make_plan(Question(suite="smoke", models=("train_mean",)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # no file may grow beyond 20 kB
    try:
        with pytest.raises((StoreError, OSError)):
            run(plan, tmp_path / "run", QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    result = run(plan, tmp_path / "run", QUIET)
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
    plugin = plugins.write(tmp_path, "hangs_in_fit")
    arguments = [
        sys.executable,
        "-m",
        "benchmarks.run",
        "--suite",
        "smoke",
        "--models",
        "hangs_in_fit",
        "--plugin",
        str(plugin),
        "--out",
        str(tmp_path / "out"),
        "--direction",
        "n2p",
        "--no-figures",
    ]
    process = subprocess.Popen(
        arguments,
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
    time.sleep(1.0)
    os.kill(process.pid, how)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "--resume" in output
    folder = next(tmp_path.glob("out/smoke/*"))
    assert json.loads((folder / "manifest.json").read_text())["state"] == "stopped"
    table = pd.read_csv(folder / "scores.csv")
    assert {"no_change", "train_mean", "oracle"} <= set(table["model"])
    done = subprocess.run(
        [
            *arguments[:5],
            "--out",
            str(tmp_path / "out"),
            "--direction",
            "n2p",
            "--models",
            "linear",
            "--resume",
            "--no-figures",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "train_mean" not in done.stdout.split("smoke_simulated, protocol")[0].split("results")[-1]
    assert len(list(tmp_path.glob("out/smoke/*"))) == 1, "it went on in the same folder"


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


def test_template_checked_and_run_is_on_the_leaderboard(tmp_path):
    """What README and CONTRIBUTING say: copy the template, name it, check it, run it."""
    path = tmp_path / "my_model.py"
    path.write_text(registry.TEMPLATE.read_text().replace('name="_template"', 'name="my_model"'))
    assert CliRunner().invoke(application("check"), [str(path)]).exit_code == 0
    arguments = [
        "--suite",
        "smoke",
        "--models",
        "my_model",
        "--plugin",
        str(path),
        "--out",
        str(tmp_path),
        "--no-figures",
    ]
    done = CliRunner().invoke(application("run"), arguments)
    assert done.exit_code == 0, done.output
    assert "my_model" in done.output
    board = pd.read_csv(next(tmp_path.glob("smoke/*/leaderboard.csv")))
    mine = board.query("model == 'my_model' and level == 'suite' and metric == 'pearson_delta'").set_index("direction")
    assert mine["mean"].notna().all()
    assert mine.loc["n2p", "rank"] == 1
    assert mine.loc["p2n", "status"] == "uninformative", "training controls are as good as the ceiling there"


def test_list_shows_everything():
    done = CliRunner().invoke(application("run"), ["--list"])
    assert done.exit_code == 0
    for word in ("cropseq", "context_transfer", "unseen_context", "kang", "pearson_delta"):
        assert word in done.output


def test_inline_shows_the_traceback_of_a_plugin(tmp_path):
    seen: list[object] = []
    result = run_with(tmp_path, "raises_in_fit", execution=INLINE, watch=seen.append)
    assert result.failures == 9
    (failed,) = (event for event in seen if isinstance(event, UnitFailed))
    assert 'raises_in_fit.py", line' in failed.traceback
    assert "no convergence" in failed.traceback


def test_process_names_file_and_line_of_a_plugins_error(tmp_path):
    rows = scores(run_with(tmp_path, "raises_in_fit")).query("model == 'raises_in_fit'")
    assert rows["reason"].str.fullmatch(r"RuntimeError: no convergence \(at raises_in_fit.py:\d+\)").all()


def test_executors_give_the_same_scores(simple, tmp_path):
    inline = run_with(tmp_path, models=SIMPLE, execution=INLINE)
    assert (inline.folder / "scores.csv").read_bytes() == (simple.folder / "scores.csv").read_bytes()


def test_inline_is_at_most_six_calls_from_command_to_fit(tmp_path):
    deep = plugins.HEAD.format(
        name="deep",
        fit="import traceback; raise ValueError(' '.join(f.name for f in traceback.extract_stack() if 'benchmarks/' in f.filename))",
        predict="pass",
    )
    (tmp_path / "deep.py").write_text(deep)
    arguments = ["--suite", "smoke", "--models", "deep", "--plugin", str(tmp_path / "deep.py"), "--executor", "inline"]
    CliRunner().invoke(application("run"), [*arguments, "--out", str(tmp_path), "--no-figures"])
    table = pd.read_csv(next(tmp_path.glob("smoke/*/scores.csv")), keep_default_na=False)
    reason = table.query("model == 'deep' and direction == 'n2p'")["reason"].iloc[0]
    calls = reason.removeprefix("ValueError: ").split(" (at")[0].split()
    assert calls[0] == "main"
    assert len(calls) <= 6, "each calls the next, and the last one calls fit"
