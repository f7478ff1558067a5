"""What a run prints: what is left of it, reasons as they are, and after an interruption nothing but what is saved."""

from __future__ import annotations

from collections import Counter
from io import StringIO

import pytest
from rich.console import Console

from benchmarks import registry
from benchmarks.cli import console as shared
from benchmarks.cli import progress
from benchmarks.cli.progress import Display, Remaining
from benchmarks.execution.events import (
    Preparing,
    Progressed,
    RunStopped,
    ScoringProgressed,
    UnitEnded,
    UnitFailed,
    UnitStarted,
)
from benchmarks.execution.plan import RunSpec
from benchmarks.execution.prediction_store import PredictionSet
from benchmarks.scoring.endings import Ending

REASON = "biolord is not installed: pip install 'cycseq-bench[biolord]' [/] [bold]"


def spec(model: str, fold: int = 0) -> RunSpec:
    """A training with what progress looks at: its name and models."""
    entry = PredictionSet(model, "n2p", "unseen_context", fold, 0)
    return RunSpec("", registry.find("no_change"), fold, 0, {}, (entry,))


@pytest.fixture(params=[False, True], ids=["file", "terminal"])
def printed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StringIO:
    out = StringIO()
    own = Console(file=out, width=200, force_terminal=request.param, color_system=None)
    for module in (shared, progress):
        monkeypatch.setattr(module, "console", own)
    return out


def test_square_brackets_of_reasons_and_progress_survive(printed: StringIO) -> None:
    with Display() as display:
        display(UnitStarted(spec("a[b]")))
        display(Progressed(spec("a[b]"), 1, 2, REASON))
        display.refresh()
        display(UnitEnded(spec("a[b]"), [Ending("x", "P", "unsupported", REASON)]))
        display(Preparing(REASON))
        display.refresh()
    assert printed.getvalue().count(REASON) >= 2
    assert "a[b] (n2p), fold 0, seed 0: unsupported" in printed.getvalue()


def test_nothing_but_saving_is_shown_after_an_interruption(printed: StringIO) -> None:
    with Display() as display:
        display(UnitStarted(spec("slow")))
        display(RunStopped())
        said = printed.tell()
        display(UnitFailed(spec("slow"), "Traceback"))
        display(UnitEnded(spec("slow"), [Ending("x", "P", "failed", "killed")]))
        display(Preparing("environment"))
        display(ScoringProgressed(0, 2, "fold 0, n2p"))
        display.refresh()
    text = printed.getvalue()[said:]
    assert "scoring" in text
    for word in ("Traceback", "killed", "environment", "slow"):
        assert word not in text


def test_time_left_is_that_of_the_models_that_are_left() -> None:
    left = Remaining(Counter({"quick": 3, "slow": 2}))
    assert left.seconds([("slow", 3.0, None)]) is None
    assert left.seconds([("slow", 10.0, 90.0)]) == pytest.approx(5 * 100.0 - 10.0), (
        "all that is known is what slow says"
    )
    left.end("quick", 2.0)
    assert left.seconds([]) == pytest.approx(2 * 2.0 + 2 * 2.0), "nothing is known of slow yet"
    left.end("slow", 100.0)
    assert left.seconds([]) == pytest.approx(2 * 2.0 + 100.0)
    assert left.seconds([("slow", 40.0, None)]) == pytest.approx(2 * 2.0 + 60.0)
    assert left.seconds([("slow", 400.0, 9.0)]) == pytest.approx(2 * 2.0), "longer than the other: no less than nothing"
    left.at_a_time = 2
    assert left.seconds([("slow", 40.0, None)]) == pytest.approx((2 * 2.0 + 60.0) / 2)
    assert left.models() == "2 models left: quick, slow"
    left.end("slow", 100.0)
    assert left.models() == "1 model left: quick"
    left.end("quick", 2.0)
    left.end("quick", 2.0)
    assert left.seconds([]) == 0
    assert not left.units
