"""Perturbations never trained on: similarity by annotation, mixtures of embeddings, refusals."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

from cycseq import UnknownPerturbation, Unseen
from cycseq.prediction.unseen import Mixture, mixture, nearest, similarity, term_weights

TERMS = {
    "G1": {"cycle", "common"},
    "G2": {"cycle", "repair", "common"},
    "G3": {"transport", "common"},
    "G4": {"common"},
    "new": {"cycle", "repair", "common"},
    "alone": {"common"},
    "strange": {"elsewhere"},
    "bare": set(),
}
KNOWN = ("G1", "G1+G2", "G2", "G3", "G4")


def test_terms_weigh_by_how_few_genes_have_them():
    weights = term_weights({"a": ["x", "y"], "b": ["x", "x"], "c": ["x"], "d": ["x", "y"]})
    assert weights == {"x": 0.0, "y": pytest.approx(log(2))}


def test_similarity_is_the_weighted_jaccard_index():
    weights = {"x": 1.0, "y": 3.0, "z": 0.5}
    assert similarity({"x", "y"}, {"y", "z"}, weights) == pytest.approx(3 / 4.5)
    assert similarity({"x"}, {"x"}, weights) == 1
    assert similarity({"x"}, {"z"}, weights) == 0
    assert similarity({"w"}, {"w"}, {"w": 0.0}) == 0


def test_nearest_are_sorted_and_share_something():
    weights = term_weights(TERMS)
    found = nearest("new", ["G4", "G3", "G2", "G1"], TERMS, weights, 5)
    assert [name for name, _ in found] == ["G2", "G1", "G4", "G3"]
    assert found[0][1] == 1
    cycle, repair, common = log(8 / 3), log(8 / 2), log(8 / 6)
    assert found[1][1] == pytest.approx((cycle + common) / (cycle + repair + common))
    assert nearest("new", ["G4", "G2"], TERMS, weights, 1) == [("G2", 1)]
    assert nearest("strange", ["G1", "G2"], TERMS, weights, 5) == []


def test_a_trained_perturbation_is_itself_in_any_order():
    assert mixture("G2", KNOWN, Unseen()) == Mixture((2,), (1.0,))
    assert mixture("G2+G1", KNOWN, Unseen()) == Mixture((1,), (1.0,))
    assert mixture("A+B+C", ("G1", "C+A+B"), Unseen(combination="sum")) == Mixture((1,), (1.0,))


def test_annotation_mixes_the_nearest_singles():
    found = mixture("new", KNOWN, Unseen(TERMS, neighbours=2))
    other = (log(8 / 3) + log(8 / 6)) / (log(8 / 3) + log(8 / 2) + log(8 / 6))
    assert found.index == (2, 0)
    assert found.weight == pytest.approx((1 / (1 + other), other / (1 + other)))
    assert found.note.startswith("perturbation 'new' not trained on: embedding from annotation (G2 0.")


def test_combinations_of_singles():
    total, mean = (mixture("G2+G3", KNOWN, Unseen(combination=how)) for how in ("sum", "mean"))
    assert (total.index, total.weight) == ((2, 3), (1.0, 1.0))
    assert (mean.index, mean.weight) == ((2, 3), (0.5, 0.5))
    assert total.note == "combination 'G2+G3' not trained on: sum of its parts' embeddings"
    deep = mixture("G3+new", KNOWN, Unseen(TERMS, neighbours=1, combination="sum"))
    assert (deep.index, deep.weight) == ((3, 2), (1.0, 1.0))
    assert "'new' not trained on" in deep.note


@pytest.mark.parametrize(
    ("name", "unseen", "words"),
    [
        ("new", Unseen(), r"new.*Unseen\(annotation"),
        ("other", Unseen(TERMS), "annotation has no terms for it"),
        ("bare", Unseen(TERMS), "annotation has no terms for it"),
        ("strange", Unseen(TERMS), "No trained perturbation shares an informative annotation term"),
        ("G1+G3", Unseen(TERMS), r"G1\+G3.*Unseen\(combination"),
        ("G1+strange", Unseen(TERMS, combination="sum"), "'strange'.*No trained perturbation shares"),
    ],
)
def test_refusals_say_why(name, unseen, words):
    with pytest.raises(UnknownPerturbation, match=words):
        mixture(name, KNOWN, unseen)


def test_predictions_use_the_mixed_embedding(screen, model):
    cells = screen[((screen.obs["context"] == "lineB") & (screen.obs["perturbation"] == "control")).to_numpy()][:10]
    unseen = Unseen({"G1": ["a", "b"], "G2": ["a"], "new": ["a", "b"], "z": ["c"]}, neighbours=2)
    for direction in ("n2p", "p2n"):
        net = getattr(model.trained.generators, direction)
        with torch.no_grad():
            first, second = (net.condition.perturbation.weight[KNOWN_POSITION[name]] for name in ("G1", "G2"))
            alike = log(4 / 3) / (log(4 / 3) + log(4 / 2))
            e_p = (first + alike * second) / (1 + alike)
            e_b = net.condition.batch.weight[model.vocabulary.batches.index(("lineB", "rep1"))]
            x = torch.from_numpy(np.asarray(cells.X.mean(0)))
            expected = net(x, torch.cat([e_p, e_b])[None]).x_hat.numpy()
        asked = cells.copy()
        del asked.obs["perturbation"]
        made = model.predict(asked, perturbation="new", direction=direction, unseen=unseen)
        assert np.allclose(made.X, expected, atol=1e-5)
        assert "embedding from annotation" in made.obs["note"].iloc[0]
        assert made.uns["cycseq"]["fallbacks"] == made.obs["note"].iloc[0]


KNOWN_POSITION = {name: number for number, name in enumerate(["G1", "G1+G2", "G2", "G3", "G4", "G5"])}
