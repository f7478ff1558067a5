"""Pre-training with several folds of held-out conditions: they choose, then nothing is held out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cycseq import ConfigError, CycSeq, DrawStore, ModelConfig, Stage
from cycseq.data import sampling, vocabulary
from cycseq.training import folds


@pytest.fixture
def folded(make_config):
    return make_config(
        model=ModelConfig(hidden=(32, 16), latent=4, embedding=4, n_tokens=4, skip=True, blend="additive"),
        validation="conditions",
        validation_share=0.3,
        folds=3,
        pretrain=Stage("pretrain", epochs=2, batch_size=128, learning_rate=1e-3, optimizer="adam", patience=2),
    )


def test_folds_hold_each_condition_out_at_most_once_and_leave_every_perturbation_trained(screen):
    known = vocabulary.from_adata(screen)
    cells = vocabulary.encode(screen, known)
    folds = sampling.split_conditions(cells, known, 0.3, seed=0, folds=9)
    perturbed = (screen.obs["perturbation"] != "control").to_numpy()
    assert (np.sum(folds, axis=0)[perturbed] == 1).all()  # all of 18 pairs, 5 a fold where every perturbation allows it
    for held in folds:
        assert set(screen.obs["perturbation"]) == set(screen.obs.loc[~held, "perturbation"])
        assert np.array_equal(held[~perturbed], folds[0][~perturbed])
    assert np.array_equal(folds[0], sampling.split_conditions(cells, known, 0.3, seed=0)[0])


def test_the_last_training_has_every_condition_and_the_mean_number_of_epochs(screen, folded, monkeypatch):
    trained, seen, decided = [], [], []
    pairs, decide = sampling.training_pairs, folds.decide

    def noted(cells, vocabulary, held, *rest):
        trained.append(held)
        return pairs(cells, vocabulary, held, *rest)

    def kept(mix, found, effects):
        decided.extend(found)
        decide(mix, found, effects)

    monkeypatch.setattr("cycseq.training.folds.training_pairs", noted)
    monkeypatch.setattr("cycseq.training.folds.decide", kept)
    model = CycSeq(folded, report=lambda done, total, text: seen.append((done, total)))
    last = model.pretrain(screen)
    assert [history.name for history in model.history] == [f"pretrain fold{n}" for n in (1, 2, 3)] + ["pretrain"]
    assert last.best_epoch == round(np.mean([history.best_epoch for history in model.history[:3]]))
    assert len(last.epochs) == last.best_epoch + 1
    conditions = screen.obs[["context", "perturbation"]].agg(" ".join, axis=1)
    assert [conditions[~held].nunique() < conditions.nunique() for held in trained] == [True, True, True, False]
    assert len(decided) == 3
    assert all(0 <= done <= total == 8 for done, total in seen)


def test_resumes_in_the_middle_of_a_fold_and_ends_at_the_same_weights(screen, folded, tmp_path):
    class Interrupted(Exception):
        pass

    def stop(done, total, text):
        if done == 3:  # epoch 1 of fold 2
            raise Interrupted

    straight = CycSeq(folded)
    straight.pretrain(screen)
    with pytest.raises(Interrupted):
        CycSeq(folded, report=stop).pretrain(screen, state=tmp_path / "state")
    again = CycSeq(folded)
    again.pretrain(screen, state=tmp_path / "state")
    weights, expected = (model.trained.generators.state_dict() for model in (again, straight))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert "blend.shares" in weights


def test_folds_need_held_out_conditions_and_cells(screen, folded, tmp_path):
    with pytest.raises(ConfigError, match="validation='conditions'"):
        replace(folded, validation="cells")
    network = replace(folded, model=replace(folded.model, blend="none"))
    with pytest.raises(ConfigError, match="folds=3 need cells, not a store of draws"):
        DrawStore.from_adata(tmp_path / "draws", screen, network)


def test_one_context_has_no_condition_to_spare_and_is_trained_once(screen, folded):
    model = CycSeq(folded)
    model.pretrain(screen[(screen.obs["context"] == "lineA").to_numpy()])
    assert [history.name for history in model.history] == ["pretrain"]
