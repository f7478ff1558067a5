"""The regression gate: real losses fail a build, noise and gains do not, unlike things are refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import application
from benchmarks.regression import compare_runs
from benchmarks.regression.gate_tables import read_table
from tests.unit.benchmarks.regression.gate_runs import (
    MANIFEST,
    METRICS,
    flat,
    make_run,
    make_scores,
    run,
    shifted,
    with_status,
)


@pytest.mark.parametrize(
    ("metric", "by", "code", "word"),
    [
        ("pearson_delta", 0.0, 0, "0 worse, 0 better"),
        ("pearson_delta", -0.02, 0, "0 worse, 0 better"),
        ("pearson_delta", -0.06, 1, "loss"),
        ("pearson_delta", 0.06, 0, "gain"),
        ("mse", 0.005, 0, "0 worse, 0 better"),
        ("mse", 0.05, 1, "loss"),
        ("mse", -0.05, 0, "gain"),
        ("des", -0.1, 1, "loss"),
        ("copy_margin", -0.5, 0, "0 worse, 0 better"),
    ],
)
def test_loss_fails_and_gain_passes(tmp_path, metric, by, code, word):
    scores = make_scores()
    done = run(tmp_path, shifted(scores, metric, by), scores)
    assert done.exit_code == code
    assert word in done.output


def test_failing_model_is_no_gain(tmp_path):
    scores = make_scores()
    better = shifted(scores, "mse", -0.1)
    first = (better["model"] == "m1") & (better["context"] == "K0") & (better["perturbation"] == "G0")
    done = run(tmp_path, with_status(better, "failed", lambda t: first, "ValueError: no"), scores)
    assert done.exit_code == 1
    assert "1 worse, 0 better" in done.output
    assert "1 condition (K0/G0)" in flat(done.output)


def test_mended_model_is_shown(tmp_path):
    scores = make_scores()
    done = run(tmp_path, scores, with_status(scores, "failed", lambda t: (t["model"] == "m1") & (t["context"] == "K0")))
    assert done.exit_code == 0
    assert "mended" in done.output


def test_lost_value_fails(tmp_path):
    scores = make_scores()
    done = run(
        tmp_path, with_status(scores, "needs_cells", lambda t: (t["model"] == "m1") & (t["metric"] == "des")), scores
    )
    assert done.exit_code == 1
    assert "no value" in done.output
    one = (scores["metric"] == "des") & (scores["perturbation"] == "G0")
    moves = compare_runs.compare(
        read_table(make_run(tmp_path / "b", with_status(scores, "too_few_genes", lambda t: one))),
        read_table(tmp_path / "reference"),
    )
    assert {m.verdict for m in moves} == {"fewer"}


def test_a_reference_predictor_that_the_old_table_lacks_is_named(tmp_path):
    scores = make_scores()
    reference = scores[scores["kind"] == "reference"]["model"].unique()[0]
    moves = compare_runs.compare(
        read_table(make_run(tmp_path / "a", scores)),
        read_table(make_run(tmp_path / "b", scores[scores["model"] != reference])),
    )
    assert [(m.verdict, m.model, m.bad) for m in moves] == [("new", reference, False)]
    assert "reference predictor" in moves[0].detail
    assert "--write" in moves[0].detail


def test_gone_model_and_metric_are_one_line_each(tmp_path):
    scores = make_scores()
    new = scores[(scores["model"] != "m2") & (scores["metric"] != "des")]
    moves = compare_runs.compare(
        read_table(make_run(tmp_path / "a", new)), read_table(make_run(tmp_path / "b", scores))
    )
    assert [(m.verdict, m.model, m.metric) for m in moves] == [("gone", "", "des"), ("gone", "m2", "")]
    back = compare_runs.compare(read_table(tmp_path / "b"), read_table(tmp_path / "a"))
    assert {m.verdict for m in back} == {"new"}
    assert not any(m.bad for m in back)


def test_moved_reference_predictor_fails_in_either_direction(tmp_path):
    scores = make_scores()
    done = run(tmp_path, shifted(scores, "pearson_delta", 0.1, "oracle"), scores)
    assert done.exit_code == 1
    assert "reference moved" in flat(done.output)


@pytest.mark.parametrize(
    ("spoil", "settings", "words"),
    [
        (lambda t: t[t["perturbation"] != "G0"], {}, "Other conditions of s/d/real/p/n2p"),
        (lambda t: t.assign(dataset="e"), {}, "Other suite, data set, source or protocol"),
        (lambda t: t.assign(protocol="q"), {}, "Other suite, data set, source or protocol"),
        (lambda t: t.assign(budget="quick"), {}, "Other training budget of m1"),
        (lambda t: t.assign(audit="LEAKY"), {}, "Other leakage audit of m1"),
        (lambda t: t, {"manifest": MANIFEST | {"space": "log2_raw"}}, "Other expression space"),
        (lambda t: t, {"manifest": MANIFEST | {"dataset": {"sha256": "c" * 64}}}, "Other data set (sha256)"),
        (lambda t: t, {"manifest": MANIFEST | {"splits": {"p-fold0": "c" * 64}}}, "Other split"),
        (lambda t: t, {"metrics": [(*m[:3], m[0] == "mse" or m[3]) for m in METRICS]}, "Other direction of mse"),
    ],
)
def test_incomparable_tables_exit_2(tmp_path, spoil, settings, words):
    scores = make_scores()
    done = run(tmp_path, spoil(scores), scores, "--junit", str(tmp_path / "j.xml"), "--github", **settings)
    assert done.exit_code == 2
    assert words in flat(done.output)
    assert "::error title=benchmarks.regress%3A not compared::Other" in done.output
    assert ET.parse(tmp_path / "j.xml").getroot().get("errors") == "1"


@pytest.mark.parametrize("audit", ["proved", "not proved: two trainings with one seed differ"])
def test_proved_run_compares_with_one_that_is_not(tmp_path, audit):
    scores = make_scores()
    assert run(tmp_path, scores.assign(audit=audit), scores).exit_code == 0


def test_reference_file_round_trip(tmp_path):
    folder = make_run(tmp_path / "run", make_scores(seeds=(0, 1), sd=0.1))
    for name in ("a.csv.gz", "b.csv.gz"):
        done = CliRunner().invoke(application("regress"), [str(folder), "--write", str(tmp_path / name)])
        assert done.exit_code == 0
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert not compare_runs.compare(read_table(folder), read_table(tmp_path / "a.csv.gz"))
    worse = make_run(tmp_path / "worse", shifted(make_scores(seeds=(0, 1), sd=0.1), "des", -0.2))
    assert CliRunner().invoke(application("regress"), [str(worse), str(tmp_path / "a.csv.gz")]).exit_code == 1


def test_incomplete_run_loses_values_and_makes_no_reference(tmp_path):
    scores = make_scores()
    stopped = with_status(scores, "not_run", lambda s: s["model"] == "m2")
    done = run(tmp_path, stopped, scores)
    assert done.exit_code == 1
    assert "no value" in done.output
    assert "m2" in done.output
    written = CliRunner().invoke(application("regress"), [str(tmp_path / "new"), "--write", str(tmp_path / "r.csv.gz")])
    assert written.exit_code == 2
    assert not (tmp_path / "r.csv.gz").exists()


def test_leaderboard_is_compared_unpaired(tmp_path):
    folder = make_run(tmp_path / "run", make_scores())
    means = make_scores().groupby(["model", "kind", "metric"])["value"].mean().rename("mean").reset_index()
    board = means.assign(suite="s", dataset="d", source="real", protocol="p", direction="n2p", level="suite", rank=1)
    board = board.assign(low=board["mean"] - 0.02, high=board["mean"] + 0.02, n_conditions=40, n_failed=0, status="ok")
    board.loc[(board["model"] == "m1") & (board["metric"] == "des"), ["mean", "low", "high"]] += 0.3
    extra = board[board["metric"] == "des"].assign(metric="r3")
    pd.concat([board, extra]).to_csv(tmp_path / "leaderboard.csv", index=False)
    done = CliRunner().invoke(application("regress"), [str(folder), str(tmp_path / "leaderboard.csv")])
    assert done.exit_code == 1
    assert "compared unpaired" in done.output
    assert "2 worse, 0 better" in done.output
    assert "the metric, for all models" in flat(done.output)
    done = CliRunner().invoke(application("regress"), [str(tmp_path / "leaderboard.csv"), str(folder)])
    assert done.exit_code == 2
    assert "expected a run's folder" in done.output
    text = (tmp_path / "leaderboard.csv").read_text().splitlines()
    (tmp_path / "leaderboard.csv").write_text("\n".join([*text[:-1], text[-1][:20]]))  # cut
    done = CliRunner().invoke(application("regress"), [str(folder), str(tmp_path / "leaderboard.csv")])
    assert done.exit_code == 2
    assert "n_conditions" in flat(done.output)


def test_junit_has_a_case_per_task_and_model(tmp_path):
    scores = make_scores()
    run(tmp_path, shifted(scores, "des", -0.2), scores, "--junit", str(tmp_path / "j.xml"))
    root = ET.parse(tmp_path / "j.xml").getroot()
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert set(cases) == {"m1", "m2", "no_change", "oracle"}
    assert "loss des" in (cases["m1"].findtext("failure") or "")
    assert [name for name, case in cases.items() if case.find("failure") is not None] == ["m1"]
    assert root.get("failures") == "1"


def test_github_annotations(tmp_path, monkeypatch):
    assert compare_runs.annotation("error", "a:b,c%", "x\r\ny: 5 %") == "::error title=a%3Ab%2Cc%25::x%0D%0Ay: 5 %25"
    moves = [compare_runs.Move(("s",), f"m{i}", "", "gone", detail="x") for i in range(12)]
    lines = compare_runs.github_lines(moves)
    assert len(lines) == compare_runs.N_ANNOTATIONS
    assert "3 more models" in lines[-1]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    scores = make_scores()
    done = run(tmp_path, shifted(scores, "des", 0.2), scores)
    assert done.exit_code == 0
    assert "::notice title=s/d/real/p/n2p%3A m1::gain des" in done.output
    assert "::error" not in done.output


def test_junit_replaces_unprintable_characters():
    move = compare_runs.Move(("s",), "m", "", "failed", detail="\x1b[31mred\x00 <&>")
    assert ET.fromstring(compare_runs.junit([move], [])).findtext(".//failure") == "failed: ?[31mred? <&>"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--floor", "r3=1"], "--floor got 'r3=1'"),
        (["--floor", "des=x"], "--floor got 'des=x'"),
        (["--write", "x.csv.gz"], "either REFERENCE"),
    ],
)
def test_bad_options_exit_2(tmp_path, options, words):
    done = run(tmp_path, make_scores(), make_scores(), *options)
    assert done.exit_code == 2
    assert words in flat(done.output)


def test_floor_option(tmp_path):
    scores = make_scores()
    assert run(tmp_path, shifted(scores, "des", -0.1), scores, "--floor", "des=0.2").exit_code == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv.gz", None, "does not exist"),
        ("a.csv", b"a,b\n1,2\n", "lacks the column(s)"),
        ("a.csv.gz", b"not gzipped", "is not a table"),
        ("a.csv", b"", "is not a table"),
    ],
)
def test_unreadable_tables_exit_2(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    folder = make_run(tmp_path / "run", make_scores())
    done = CliRunner().invoke(application("regress"), [str(folder), str(tmp_path / name)])
    assert done.exit_code == 2
    assert words in flat(done.output)


def test_folder_without_run_exits_2(tmp_path):
    done = CliRunner().invoke(application("regress"), [str(tmp_path), str(tmp_path)])
    assert done.exit_code == 2
    assert "metrics.csv" in done.output
