"""Training that is interrupted and goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cycseq import CheckpointError, CycSeq, NotTrained, Stage, TrainingError
from cycseq.files import read_record
from cycseq.training.checkpoint import STATE_FILE, StageState


class Interrupted(Exception):
    """Raised from the reporter, as a signal or a lost machine would end the process."""


def stop_after(epoch):
    def report(done, total, text):
        if done == epoch:
            raise Interrupted

    return report


def weights(*nets):
    return torch.cat([value.flatten() for net in nets for value in net.state_dict().values()])


def without_time(found):
    return repr(replace(found, epochs=tuple(replace(epoch, seconds=0.0) for epoch in found.epochs)))


def networks(model):
    return model.trained.generators, model.trained.critics, *model.trained.fine_tuned.values()


@pytest.fixture
def short(make_config):
    return make_config(
        pretrain=Stage("pretrain", 3, 128, 3e-3, "adam", 3), finetune=Stage("finetune", 2, 64, 5e-4, "rmsprop", 2)
    )


def test_interrupted_training_ends_where_an_uninterrupted_one_does(screen, short, tmp_path):
    straight = CycSeq(short)
    expected = straight.pretrain(screen), straight.fine_tune(screen, context="lineB")
    first, second = tmp_path / "pretrain.state", tmp_path / "lineB.state"
    with pytest.raises(Interrupted):
        CycSeq(short, report=stop_after(2)).pretrain(screen, state=first)
    torch.rand(7)  # the state outside of training must not matter
    model = CycSeq(short)
    assert len(expected[0].epochs) == 4
    assert without_time(model.pretrain(screen, state=first)) == without_time(expected[0])
    model.report = stop_after(1)
    with pytest.raises(Interrupted):
        model.fine_tune(screen, context="lineB", state=second)
    model.report = stop_after(99)
    assert without_time(model.fine_tune(screen, context="lineB", state=second)) == without_time(expected[1])
    for one, other in zip(networks(straight), networks(model), strict=True):
        assert torch.equal(weights(one), weights(other))


def test_a_finished_stage_is_restored_without_training(screen, short, tmp_path):
    file = tmp_path / "pretrain.state"
    model = CycSeq(short)
    done = model.pretrain(screen, state=file)
    again = CycSeq(short, report=stop_after(1))  # would raise if an epoch ran
    assert again.pretrain(screen, state=file) == done
    assert torch.equal(weights(*networks(model)), weights(*networks(again)))
    content = read_record(file, STATE_FILE, StageState)
    assert content.finished
    assert content.optimizers == [] == content.random


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"seed": 1}, "seed"),
        ({"decay": 0.5}, "configuration"),
        ({"cells": slice(0, -1)}, "training or validation cells"),
    ],
)
def test_another_trainings_state_is_refused(screen, short, tmp_path, change, part):
    file = tmp_path / "pretrain.state"
    with pytest.raises(Interrupted):
        CycSeq(short, report=stop_after(1)).pretrain(screen, state=file)
    other = CycSeq(replace(short, decay=change.get("decay", short.decay)), seed=change.get("seed", 0))
    with pytest.raises(CheckpointError, match=rf"another training: its .*{part}.* differ.*Delete it"):
        other.pretrain(screen[change.get("cells", slice(None))], state=file)


def test_another_models_fine_tuning_state_is_refused(screen, short, tmp_path):
    file = tmp_path / "lineB.state"
    model = CycSeq(short)
    model.pretrain(screen)
    model.fine_tune(screen, context="lineB", state=file)
    with pytest.raises(CheckpointError, match="its context, training or validation cells differ"):
        model.fine_tune(screen, context="lineC", state=file)
    with torch.no_grad():
        next(model.trained.generators.parameters()).add_(1e-3)
    with pytest.raises(CheckpointError, match="its starting weights differ"):
        model.fine_tune(screen, context="lineB", state=file)


def test_damaged_states_are_refused(screen, short, tmp_path):
    file = tmp_path / "pretrain.state"
    with pytest.raises(Interrupted):
        CycSeq(short, report=stop_after(1)).pretrain(screen, state=file)
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match="training state"):
            CycSeq(short).pretrain(screen, state=file)
    torch.save({"format": "cycseq-training-state", "version": 0}, file)
    with pytest.raises(CheckpointError, match="format version 0; this release reads 2"):
        CycSeq(short).pretrain(screen, state=file)
    model = CycSeq(short)
    model.pretrain(screen)
    model.save(file)
    with pytest.raises(CheckpointError, match="is not a training state"):
        CycSeq(short).pretrain(screen, state=file)


def test_a_failed_write_leaves_the_state_before(screen, short, tmp_path, monkeypatch):
    file = tmp_path / "pretrain.state"
    with pytest.raises(Interrupted):
        CycSeq(short, report=stop_after(1)).pretrain(screen, state=file)
    before = file.read_bytes()

    def full_disk(content, handle):
        handle.write(b"half of it")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="No space"):
            CycSeq(short).pretrain(screen, state=file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_divergence_leaves_the_model_as_it_was_and_the_last_good_state(screen, short, tmp_path, monkeypatch):
    file, model = tmp_path / "pretrain.state", CycSeq(short)
    build, made = model._build, []
    monkeypatch.setattr(model, "_build", lambda known: made.append(build(known)) or made[-1])

    def poison(done, total, text):
        if done == 2:
            with torch.no_grad():
                made[0][0].n2p.decoder.to_batch.bias.fill_(np.nan)

    model.report = poison
    with pytest.raises(TrainingError, match=r"is nan since step 1, in epoch 3 of stage 'pretrain'.*Lower the learning"):
        model.pretrain(screen, state=file)
    with pytest.raises(NotTrained):
        model.save(tmp_path / "model.pt")
    kept = read_record(file, STATE_FILE, StageState)
    assert len(kept.history.epochs) == 3
    assert all(torch.isfinite(value).all() for value in kept.generators.values())
    assert all(torch.equal(value, kept.best[name]) for name, value in made[0][0].state_dict().items())
