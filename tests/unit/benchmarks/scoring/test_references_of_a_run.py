"""References of a whole run: scaled, the ceiling is at 1, the oracle at or above it, and no model or reference above it."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.scoring.metrics.all_metrics import METRICS
from reports.tables import read_leaderboard


@pytest.fixture(scope="module")
def board(small_run) -> pd.DataFrame:
    table = read_leaderboard(small_run / "leaderboard.csv")
    return table[table["level"] == "suite"]


def test_every_metric_is_in_the_run(board):
    found = set(board.loc[board["direction"] == "n2p", "metric"])
    assert found == {metric.name for metric in METRICS}


def test_ceiling_scales_to_one(board):
    """In p2n nothing is informative on this screen, so nothing is scaled there."""
    assert board.loc[board["direction"] == "p2n", "scaled"].isna().all()
    wide = board[board["direction"] == "n2p"].pivot_table(index="metric", columns="model", values="scaled")
    assert len(wide) >= 12  # ranked metrics that are informative here
    assert wide["ceiling"].to_numpy() == pytest.approx(1.0)
    assert (wide["oracle"] >= 1 - 1e-9).all()
    others = wide.drop(columns=["oracle", "ceiling"])
    assert (others <= 1 + 1e-9).all(axis=None), (
        "the U-statistics aside, whose ceiling is a split half, nothing lies above"
    )
    assert wide["train_mean"].to_numpy() == pytest.approx(0.0)
