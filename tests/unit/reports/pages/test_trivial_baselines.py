"""Models below a floor are named: below a copy of the input, below the perturbed gene alone."""

import pandas as pd

from reports.pages.trivial_baselines import sentences_below_trivial


def board(**means: dict[str, float]) -> pd.DataFrame:
    rows = [("suite", "model", m, metric, value) for metric, own in means.items() for m, value in own.items()]
    rows.append(("suite", "reference", "ceiling", "r2_pearson", 0.1))
    rows.append(("context", "model", "linear", "r2_pearson", 0.1))
    return pd.DataFrame(rows, columns=["level", "kind", "model", "metric", "mean"])


def test_who_lies_below_a_floor_is_named_and_references_and_contexts_are_not():
    table = board(
        r2_pearson={"no_change": 0.9, "linear": 0.95, "gears": 0.8, "scgen": float("nan")},
        pearson_delta={"no_change": 0.0, "own_gene": 0.2, "linear": 0.1, "gears": 0.3},
    )
    copied, own = sentences_below_trivial(table)
    assert copied == "copying the input (r2_pearson 0.900) beats gears in that metric"
    assert own.startswith("the perturbed gene alone")
    assert own.endswith("(pearson_delta 0.200) beats linear in that metric"), "a copy changes nothing by definition"


def test_a_floor_that_was_not_run_or_beats_nobody_says_nothing():
    assert sentences_below_trivial(board(r2_pearson={"linear": 0.9})) == []
    assert sentences_below_trivial(board(r2_pearson={"no_change": 0.5, "linear": 0.9})) == []
