"""A board with a proof, a model in an environment of its own and batch correction has the same tables whatever the executor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import registry
from benchmarks.data.own_file import OwnFile
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question
from tests.end_to_end import plugins
from tests.faults.processes import tables
from tests.unit.benchmarks.scoring.screens import screen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROVED = Execution(figures=False, prove=True, jobs=2)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    home = tmp_path_factory.mktemp("agree")
    cells = screen(n_cells=30, n_controls=60)
    cells.obs["batch"] = np.where(np.arange(len(cells)) % 2, "b1", "b2")
    cells.obs = cells.obs.drop(columns="is_control")
    cells.write_h5ad(home / "screen.h5ad")
    own = OwnFile(home / "screen.h5ad", context="context", batch="batch", values="log2", source="simulated")
    apart = plugins.write(home, "good", isolated=True)
    plugins.link(registry.from_file(apart)[0])
    models = ("linear", "good")
    return make_plan(
        Question("own", own=own, models=models, directions=("n2p",), integration="technical", plugins=(apart,))
    )


@pytest.fixture(scope="module")
def expected(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("process") / "suite" / "run"
    assert run(plan, folder, PROVED).failures == 0
    return tables(folder)


def test_the_board_has_what_is_compared(plan: Plan, expected: dict[str, bytes]) -> None:
    assert plan.baselines["good"].isolated
    assert plan.integration
    leaderboard = expected["leaderboard.csv"].decode()
    assert "proved" in leaderboard
    assert "good" in leaderboard


@pytest.mark.parametrize("executor", ["dask", "slurm"])
def test_tables_are_equal_to_the_bit(plan: Plan, expected: dict[str, bytes], tmp_path: Path, executor: str) -> None:
    pytest.importorskip({"dask": "distributed", "slurm": "submitit"}[executor])
    asked = replace(PROVED, executor=executor)
    if executor == "slurm":
        (tmp_path / "cluster.toml").write_text('cluster = "local"\ntimeout_min = 10\n')
        asked = replace(asked, cluster_file=tmp_path / "cluster.toml")
    folder = tmp_path / "suite" / "run"
    assert run(plan, folder, asked).failures == 0
    assert tables(folder) == expected
