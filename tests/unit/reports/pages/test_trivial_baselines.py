"""Models below a copy of the input, and below the perturbed gene alone."""

import pandas as pd

from reports.pages.sections.task_summary import sentences_below_trivial


def board(**means: dict[str, float]) -> pd.DataFrame:
    rows = [("suite", "model", m, metric, value) for metric, own in means.items() for m, value in own.items()]
    rows.append(("suite", "reference", "split_half", "r2_pearson", 0.1))
    rows.append(("context", "model", "linear", "r2_pearson", 0.1))
    return pd.DataFrame(rows, columns=["level", "kind", "model", "metric", "mean"])


def test_models_below_trivial_are_listed():
    table = board(
        r2_pearson={"no_change": 0.9, "linear": 0.95, "gears": 0.8, "scgen": float("nan")},
        pearson_delta={"no_change": 0.0, "own_gene": 0.2, "linear": 0.1, "gears": 0.3},
    )
    copied, own = sentences_below_trivial(table)
    assert copied.endswith("gears")
    assert "0.900" in copied
    assert own.endswith("linear"), "a copy changes nothing by definition"


def test_no_models_below_trivial():
    assert sentences_below_trivial(board(r2_pearson={"linear": 0.9})) == []
    assert sentences_below_trivial(board(r2_pearson={"no_change": 0.5, "linear": 0.9})) == []
