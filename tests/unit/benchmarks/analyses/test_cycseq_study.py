"""What the study asks: which questions, which models, which seeds."""

from pathlib import Path

import pytest

from benchmarks import registry
from benchmarks.analyses import cycseq_study
from benchmarks.errors import BenchmarkError


def test_every_variant_is_a_model_in_both_directions():
    known = registry.available((cycseq_study.ABLATIONS,))
    for name in (*cycseq_study.VARIANTS, *cycseq_study.ABLATED):
        for direction in ("n2p", "p2n"):
            record = known[f"{name}_{direction}"]
            assert record.training == name
            assert record.directions == (direction,)
    assert set(cycseq_study.OTHERS) <= set(known)


def test_no_ablation_is_listed_without_its_plugin():
    assert not [name for name in registry.available() if "no_cycle" in name]


def test_questions_of_some_suites():
    assert cycseq_study.find_questions(None) == cycseq_study.QUESTIONS
    assert {question.suite for question in cycseq_study.find_questions("kang, smoke")} == {"kang", "smoke"}
    with pytest.raises(BenchmarkError, match="expected some of cropseq, grid, kang, smoke"):
        cycseq_study.find_questions("kangg")
    with pytest.raises(BenchmarkError, match="expected some of"):
        cycseq_study.find_questions("")


def test_questions_of_one_protocol():
    assert {question.protocol for question in cycseq_study.find_questions(None, "held_out_cells")} == {"held_out_cells"}
    assert [question.suite for question in cycseq_study.find_questions("grid", "unseen_context")] == ["grid"]
    with pytest.raises(BenchmarkError, match="expected one of held_out_cells, unseen_context"):
        cycseq_study.find_questions(None, "unseen")
    with pytest.raises(BenchmarkError, match="no question is of both"):
        cycseq_study.find_questions("smoke", "held_out_cells")


def test_others_are_asked_once_and_variants_with_every_seed():
    ablated = ("cycseq_no_kl",)
    wanted = cycseq_study.Study(
        Path("out"), seeds=3, ablation_seeds=2, variants=("cycseq",), ablations=ablated, others=("linear",)
    )
    others, variants, ablations = cycseq_study.requests(wanted, cycseq_study.SMOKE)
    assert (others[0], others[1].models, others[1].seeds) == ("others", ("linear",), 1)
    assert (variants[0], variants[1].models, variants[1].seeds) == ("variants", ("cycseq_n2p", "cycseq_p2n"), 3)
    assert (ablations[0], ablations[1].models, ablations[1].seeds) == (
        "ablations",
        ("cycseq_no_kl_n2p", "cycseq_no_kl_p2n"),
        2,
    )
    only = cycseq_study.Study(Path("out"), variants=("cycseq",), ablations=(), others=())
    assert [name for name, _ in cycseq_study.requests(only, cycseq_study.SMOKE)] == ["variants"]
