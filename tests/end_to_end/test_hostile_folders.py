"""A run's folder from elsewhere never runs code, whatever is done with it, and damage in it never changes a table."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import application
from benchmarks.data.own_file import OwnFile
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question
from tests.unit.benchmarks.scoring.screens import screen

EXECUTION = Execution(executor="inline", figures=False)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def plan_of(home: Path) -> Plan:
    own = OwnFile(home / "toy.h5ad", context="context", values="log2", source="simulated")
    return make_plan(
        Question(
            suite="own", own=own, models=("grn_propagation", "linear"), directions=("n2p",), integration="technical"
        )
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a saved model, whose folder is `run`."""
    home = tmp_path_factory.mktemp("hostile")
    cells = screen(n_cells=40, n_controls=90)
    cells.obs = cells.obs.drop(columns="is_control")
    cells.write_h5ad(home / "toy.h5ad")
    run(plan_of(home), home / "run", EXECUTION)
    return home


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv")


def test_files_replaced_by_code_are_not_executed(made, tmp_path):
    """Every file but the tables becomes a pickle that makes a file; then everything is done that a folder is opened for."""
    folder, mark = shutil.copytree(made / "run", tmp_path / "run"), tmp_path / "executed"
    plugin = folder / "plugin.py"
    plugin.write_text(f"open({str(mark)!r}, 'w').close()\n")
    for path in filter(Path.is_file, folder.rglob("*")):
        if path.suffix not in (".csv", ".json", ".md", ".py"):
            path.write_bytes(pickle.dumps(Payload(mark)))
    for path in list((folder / "fitted").rglob("*")):
        path.with_suffix(".pickle").write_bytes(pickle.dumps(Payload(mark)))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["question"]["plugins"] = [str(plugin)]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for outcome in folder.rglob("outcome.json"):
        outcome.unlink()  # so that saved models are looked for
    runner = CliRunner()
    for command, arguments in (
        ("report", [str(folder)]),
        ("regress", [str(folder), str(folder)]),
        ("enrichment", [str(folder)]),
        ("embedding", [str(folder)]),
    ):
        done = runner.invoke(application(command), arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
        assert not mark.exists(), command
    run(plan_of(made), folder, EXECUTION)
    assert not mark.exists()
    pd.testing.assert_frame_equal(scores(folder), scores(made / "run"))


@pytest.mark.parametrize("kind", ["truth/*.npz", "integration/*.npz", "fitted/*/*"])
def test_a_flipped_bit_never_changes_a_table(made, tmp_path, kind):
    folder, expected = shutil.copytree(made / "run", tmp_path / "run"), scores(made / "run")
    rng = np.random.default_rng(0)
    paths = sorted(folder.glob(kind))
    assert paths
    for path in paths[:3]:
        data = bytearray(path.read_bytes())
        data[rng.integers(len(data) // 4, len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
    if kind.startswith("fitted"):
        for outcome in folder.rglob("outcome.json"):
            outcome.unlink()
    run(plan_of(made), folder, EXECUTION)
    pd.testing.assert_frame_equal(scores(folder), expected)
