"""What the study asks: which questions, which models, which seeds."""

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
    assert {question.suite for question in cycseq_study.find_questions(["kang", "smoke"])} == {"kang", "smoke"}
    for unusable in (["kangg"], []):
        with pytest.raises(BenchmarkError, match="kang"):
            cycseq_study.find_questions(unusable)


def test_questions_of_one_protocol():
    assert {question.protocol for question in cycseq_study.find_questions(None, "held_out_cells")} == {"held_out_cells"}
    assert [question.suite for question in cycseq_study.find_questions(["grid"], "unseen_context")] == ["grid"]
    with pytest.raises(BenchmarkError, match="held_out_cells"):
        cycseq_study.find_questions(None, "unseen")
    with pytest.raises(BenchmarkError):
        cycseq_study.find_questions(["smoke"], "held_out_cells")


def test_seeds_of_other_models_variants_and_ablations():
    study = cycseq_study.Study(
        seeds=3, ablation_seeds=2, variants=("cycseq",), ablations=("cycseq_no_kl",), others=("linear",)
    )
    runs = study.runs(cycseq_study.SMOKE)
    assert {name: (question.models, question.seeds) for name, question in runs.items()} == {
        "others": (("linear",), 1),
        "variants": (("cycseq_n2p", "cycseq_p2n"), 3),
        "ablations": (("cycseq_no_kl_n2p", "cycseq_no_kl_p2n"), 2),
    }
    assert list(cycseq_study.Study(ablations=(), others=()).runs(cycseq_study.SMOKE)) == ["variants"]
