"""The verdict, the table, the progress line, the log and the figure of a training."""

import builtins
import math
from dataclasses import replace

import pytest
from matplotlib.image import imread

from cycseq import ConfigError, CycSeq, DataError, LossWeights
from cycseq.training import history
from cycseq.training.history import Epoch, History
from cycseq.training.plots import loss_curves
from cycseq.training.validation import Errors, References, Report

HEALTHY = Report(Errors(0.02, 0.03), {"n2p.exp": 0.5, "n2p.ko": 0.25}, 0.07, {"n2p": 0.04, "p2n": 0.04})
UNTRAINED = Report(Errors(0.05, 0.05), {"n2p.exp": 0.0, "n2p.ko": 0.0}, 0.0, {"n2p": 0.04, "p2n": 0.04})
TRIVIAL = References(Errors(0.05, 0.05), Errors(0.04, 0.04), 0.08, {"n2p": 0.04, "p2n": 0.04})


def made(report=HEALTHY, best=2):
    losses = ({"cycle": 0.9, "kl": 0.2}, {"cycle": 0.5, "kl": 0.3})
    epochs = (
        Epoch(0, {}, UNTRAINED, 0.5),
        Epoch(1, losses[0], UNTRAINED, 1.5),
        Epoch(2, losses[1], report, 2.5),
    )
    return History("finetune", "K562", TRIVIAL, epochs, best)


def test_a_healthy_model_has_no_warnings():
    assert made().warnings() == []


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (Report(HEALTHY.errors, {"n2p.ko": 0.0}, 0.07, HEALTHY.draw_spread), "n2p.ko is collapsed: 0% of its dim"),
        (
            Report(HEALTHY.errors, {}, 0.001, HEALTHY.draw_spread),
            "mode collapse: n2p predictions of different perturbations differ by 0.001 log2 units, the data's by 0.08",
        ),
        (
            Report(HEALTHY.errors, {}, 0.07, {"n2p": 0.04, "p2n": 0.0001}),
            "p2n ignores its input: predictions from different draws of a condition differ by 0.0001 log2 units, the "
            "data's by 0.04",
        ),
        (
            Report(Errors(0.02, 0.045), {}, 0.07, HEALTHY.draw_spread),
            "the validation error of p2n, 0.045, is not below that of adding the mean effect, 0.04",
        ),
    ],
)
def test_each_fault_has_its_warning(report, expected):
    (warning,) = made(report).warnings()
    assert warning.startswith(expected)


def test_weights_that_training_never_improved_are_said_to_be_so():
    assert made(best=0).warnings()[0].startswith("no epoch had a lower validation error")


def test_single_draws_make_no_claim_about_the_input():
    single = Report(HEALTHY.errors, {}, 0.07, {"n2p": math.nan, "p2n": math.nan})
    assert made(single).warnings() == []


def test_table_has_a_row_an_epoch():
    table = made().table()
    assert table["epoch"].tolist() == [0, 1, 2]
    assert table["kept"].tolist() == [False, False, True]
    assert table["loss.cycle"].tolist()[1:] == [0.9, 0.5]
    assert math.isnan(table["loss.cycle"][0])
    assert table["validation.errors.p2n"].tolist() == [0.05, 0.05, 0.03]
    assert table["validation.active.n2p.exp"].tolist() == [0, 0, 0.5]
    assert table["reference.mean_effect.n2p"].tolist() == [0.04] * 3
    assert (table["validation.spread"][2], table["reference.spread"][2]) == (0.07, 0.08)


def test_a_collapsing_recipe_is_reported(screen, make_config):
    """With the paper's weights and few steps the KL empties the latents."""
    small = make_config().model
    model = CycSeq(make_config(weights=LossWeights(), model=replace(small, skip=False)), seed=1)
    warnings = model.pretrain(screen).warnings()
    for said in ("n2p.ko is collapsed", "n2p ignores its input", "the validation error of n2p"):
        assert any(warning.startswith(said) for warning in warnings), warnings


def test_progress_line():
    assert history.line(made(), 4) == (
        "finetune K562: epoch 2/4, 1.2 s an epoch, 0:00:02 left; validation error n2p 0.0200 (copy 0.0500), "
        "p2n 0.0300 (copy 0.0500)"
    )


def test_tensorboard_gets_every_column(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with history.watching(lambda *said: None, 4, tmp_path / "log", 1) as publish:
        publish(made())
    found = EventAccumulator(str(tmp_path / "log"))
    found.Reload()
    names = set(made().table()) - {"epoch", "kept"}
    assert set(found.Tags()["scalars"]) == {f"finetune_K562/{name}" for name in names}
    (point,) = found.Scalars("finetune_K562/loss.cycle")
    assert (point.step, point.value) == (2, 0.5)


def test_training_writes_a_log(screen, config, tmp_path):
    CycSeq(config).pretrain(screen, log=tmp_path / "log")
    assert list((tmp_path / "log").glob("events.out.tfevents.*"))


def test_missing_tensorboard_names_the_extra(tmp_path, monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(ConfigError, match="Install the extra 'tensorboard'"),
        history.watching(lambda *said: None, 4, tmp_path, 0),
    ):
        pass


def test_loss_curves_draw_a_row_a_stage(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    loss_curves([made()], one)
    loss_curves([made(), made()], two)
    heights, widths = zip(*(imread(path).shape[:2] for path in (one, two)), strict=True)
    assert widths[0] == widths[1]
    assert heights[1] > 1.8 * heights[0]
    assert imread(one)[..., :3].std() > 0.05  # something is drawn
    with pytest.raises(DataError, match="no histories to draw"):
        loss_curves([], one)
