"""What counts as a loss: more than the floor and more than noise explains."""

from __future__ import annotations

import numpy as np

from benchmarks.regression.gate import ROW, floor_of, judge, paired
from benchmarks.regression.gate_tables import at_common_seeds, read_table
from tests.unit.benchmarks.regression.gate_runs import LEVEL, flat, make_run, make_scores, run, shifted


def test_noise_is_no_loss(tmp_path):
    scores = make_scores()
    new = scores.copy()
    here = (new["metric"] == "pearson_delta") & (new["model"] == "m1") & (new["context"] == "K0")
    new.loc[here, "value"] -= 0.2  # one context of four: 0.05 on average, beyond the floor of 0.03
    assert run(tmp_path, new, scores).exit_code == 0


def retrained(table, rng, sd, context_sd=0.0):
    """A settled table of a new training: noise on every value, in units of the metric's floor."""
    floors = [floor_of(m, f, LEVEL[m], {}) for m, f in zip(table["metric"], table["family"], strict=True)]
    places = table.groupby([*ROW, "context"]).ngroup().to_numpy()
    noise = sd * rng.standard_normal(len(table)) + context_sd * rng.standard_normal(places.max() + 1)[places]
    return table.assign(value=table["value"] + np.where(table["kind"] == "model", np.array(floors) * noise, 0.0))


def failed_builds(tmp_path, loss, n_builds):
    """Share of builds of nine models with a loss, both sides retrained; `loss` in floors of pearson_delta and des."""
    folder = make_run(tmp_path / "many", make_scores([*(f"m{i}" for i in range(1, 9)), "no_change"]))
    settled, _ = at_common_seeds(*[read_table(folder)] * 2)
    rng = np.random.default_rng(0)
    hit = (settled["model"] == "m1") & settled["metric"].isin(["pearson_delta", "des"])
    fall = settled["metric"].map({"pearson_delta": 0.03, "des": 0.05}).where(hit, 0.0) * loss
    failed = 0
    for _ in range(n_builds):
        old, new = retrained(settled, rng, 1.5, 0.3), retrained(settled, rng, 1.5, 0.3)
        found = judge(paired(new.assign(value=new["value"] - fall), old, {}), frozenset())
        failed += any(move.verdict == "loss" for move in found)
    return failed / n_builds


def test_retraining_noise_and_planted_loss(tmp_path):
    assert failed_builds(tmp_path, 0.0, 20) <= 0.05
    (tmp_path / "many").rename(tmp_path / "first")
    assert failed_builds(tmp_path, 3.0, 10) >= 0.9


def test_model_with_equal_seeds_has_no_noise(tmp_path):
    new, old = make_scores(seeds=(0,)), make_scores(seeds=(0, 1, 2))
    here = (new["metric"] == "pearson_delta") & (new["model"] == "m1") & (new["context"] == "K0")
    new.loc[here, "value"] -= 0.2
    done = run(tmp_path, new, old)
    assert done.exit_code == 1
    assert "no training noise" in flat(done.output)


def test_spread_over_seeds_widens_error(tmp_path):
    old = make_scores(seeds=(0, 1, 2))
    for seed, offset in ((1, 0.1), (2, -0.1)):
        old.loc[(old["seed"] == seed) & (old["model"] == "m1"), "value"] += offset
    new = shifted(old[old["seed"] == 0], "pearson_delta", -0.06)
    assert run(tmp_path, new, old).exit_code == 0


def test_only_common_seeds_are_compared(tmp_path):
    old = make_scores(seeds=(0, 1), sd=0.2)
    done = run(tmp_path, old[old["seed"] == 0], old)
    assert done.exit_code == 0
    assert "0 worse, 0 better" in done.output
