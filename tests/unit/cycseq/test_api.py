import subprocess
import sys

import numpy as np
import pytest
import torch

from cycseq import (
    CheckpointError,
    ConfigError,
    CycSeq,
    DataError,
    NotTrained,
    Stage,
    UnknownBatch,
    UnknownContext,
    UnknownPerturbation,
    sampling,
    vocabulary,
)
from cycseq.checkpoint import read


@pytest.fixture(scope="module")
def model(screen, make_config):
    net = CycSeq(make_config(), seed=0)
    net.pretrain(screen)
    net.fine_tune(screen, context="lineA")
    return net


def cells_of(screen, context, perturbation="control"):
    return screen[((screen.obs["context"] == context) & (screen.obs["perturbation"] == perturbation)).to_numpy()]


def test_predictions_are_draws_in_the_space_of_the_cells(model, screen):
    cells = cells_of(screen, "lineB")
    made = model.predict(cells, perturbation="G1+G2", context="lineB")
    assert made.shape == (12, 40)
    assert np.isfinite(made).all()
    assert not np.array_equal(made, model.predict(cells, perturbation="G2", context="lineB"))


def test_prediction_knows_the_effect_of_the_perturbation(model, screen):
    for direction, source, target in (("n2p", "control", "G3"), ("p2n", "G3", "control")):
        given, truth = (np.asarray(cells_of(screen, "lineB", name).X.mean(0)).ravel() for name in (source, target))
        made = model.predict(
            cells_of(screen, "lineB", source), perturbation="G3", context="lineB", direction=direction
        ).mean(axis=0)
        assert np.square(made - truth).mean() < 0.5 * np.square(given - truth).mean()
        assert np.corrcoef(made - given, truth - given)[0, 1] > 0.8


def test_fine_tuned_weights_are_used_for_their_context_only(screen, make_config):
    model = CycSeq(make_config(pretrain=Stage("pretrain", 2, 64, 1e-3, "adam", 2)))
    model.pretrain(screen)

    def predict(context):
        return model.predict(cells_of(screen, context), perturbation="G1", context=context)

    before = {context: predict(context) for context in ("lineA", "lineB")}
    tuned = model.fine_tune(screen, context="lineA")
    assert model.fine_tuned == ("lineA",)
    assert [history.context for history in model.history] == [None, "lineA"]
    assert tuned.epochs[tuned.best_epoch].validation.errors.mean < tuned.epochs[0].validation.errors.mean
    assert not np.array_equal(before["lineA"], predict("lineA"))
    assert np.array_equal(before["lineB"], predict("lineB"))


def test_means_are_repeatable_and_samples_follow_the_seed(model, screen):
    cells = cells_of(screen, "lineA")

    def predict(n_samples, seed):
        return model.predict(cells, perturbation="G1", context="lineA", n_samples=n_samples, seed=seed)

    assert np.array_equal(predict(0, 1), predict(0, 1))
    assert np.array_equal(predict(3, 1), predict(3, 1))
    assert predict(3, 1).shape == (36, 40)
    assert not np.array_equal(predict(3, 1), predict(3, 2))
    assert predict(3, 1)[:3].std(axis=0).max() > 0


def test_mean_prediction_weighs_draws_by_their_cells(model, screen):
    cells = cells_of(screen, "lineB")
    few = cells[np.concatenate([np.arange(60), 60 + np.arange(5)])]  # 60 cells of rep1, 5 of rep2
    made = model.predict(few, perturbation="G1", context="lineB")
    assert made.shape == (6, 40)
    by_hand = (60 * made[:5].mean(0) + 5 * made[5]) / 65
    values, sizes = model.predict_draws(few, perturbation="G1", context="lineB")
    assert sizes.sum() == few.n_obs
    assert np.allclose(np.average(values, axis=0, weights=sizes), by_hand, atol=1e-5)


def test_unknown_batch_takes_the_mean_embedding_of_its_context(model, screen):
    cells = cells_of(screen, "lineB")[:10].copy()
    cells.obs["batch"] = "rep9"
    generator = model._networks()[0].n2p
    known = [model.vocabulary.batches.index(("lineB", batch)) for batch in ("rep1", "rep2")]
    p = torch.tensor([model.vocabulary.perturbation_index("G1")])
    condition = torch.cat(
        [generator.condition.perturbation(p)[0], generator.condition.batch.weight[known].mean(0)]
    ).detach()[None]
    x = torch.from_numpy(np.asarray(cells.X.mean(0)))
    with torch.no_grad():
        expected = generator(x, condition).x_hat.numpy()
    assert np.allclose(model.predict(cells, perturbation="G1", context="lineB"), expected, atol=1e-5)
    assert "10 of 10 cells in batches not trained on" in model.note(cells, context="lineB")
    assert model.note(cells_of(screen, "lineB"), context="lineB") == ""


def test_unknown_context_takes_the_mean_of_all_batches(model, screen):
    cells = cells_of(screen, "lineB")
    made = model.predict(cells, perturbation="G1", context="lineZ")
    assert made.shape == (12, 40)
    assert "lineZ" in model.note(cells, context="lineZ")
    assert not np.allclose(made.mean(0), model.predict(cells, perturbation="G1", context="lineB").mean(0))


def test_unknown_names_raise_and_suggest(model, screen):
    cells = cells_of(screen, "lineA")
    with pytest.raises(UnknownPerturbation, match=r"Unknown perturbation 'G11'\. Did you mean 'G1'"):
        model.predict(cells, perturbation="G11", context="lineA")
    with pytest.raises(UnknownContext, match="lineX"):
        model.fine_tune(screen, context="lineX")
    with pytest.raises(ConfigError, match="'n2p' or 'p2n'"):
        model.predict(cells, perturbation="G1", context="lineA", direction="p2p")
    other = screen.copy()
    other.obs["batch"] = "rep7"
    with pytest.raises(UnknownBatch, match="rep7"):
        model.fine_tune(other, context="lineA")
    assert issubclass(UnknownPerturbation, KeyError)


def test_wrong_cells_raise(model, screen, make_config):
    with pytest.raises(DataError, match="same genes in the same order"):
        model.predict(screen[:, ::-1], perturbation="G1", context="lineA")
    with pytest.raises(DataError, match="no cells"):
        model.predict(screen[:0], perturbation="G1", context="lineA")
    with pytest.raises(DataError, match="expected a name"):
        model.predict(screen, perturbation=("G1", 10.0), context="lineA")
    broken = screen[:50].copy()
    broken.X.data[3] = np.nan
    with pytest.raises(DataError, match="1 NaN or infinite"):
        model.predict(broken, perturbation="G1", context="lineA")
    with pytest.raises(DataError, match="lacks the column"):
        CycSeq(make_config()).pretrain(_without(screen, "batch"))
    with pytest.raises(DataError, match="All 60 cells are labelled 'control'"):
        CycSeq(make_config()).pretrain(cells_of(screen, "lineA")[:60])


def _without(screen, column):
    cells = screen.copy()
    del cells.obs[column]
    return cells


def test_untrained_model_says_so(screen, make_config, tmp_path):
    model = CycSeq(make_config())
    for call in (
        lambda: model.predict(screen, perturbation="G1", context="lineA"),
        lambda: model.fine_tune(screen, context="lineA"),
        lambda: model.save(tmp_path / "model.pt"),
    ):
        with pytest.raises(NotTrained, match="not trained"):
            call()


def test_save_and_load_give_identical_predictions(model, screen, tmp_path):
    model.save(tmp_path / "model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
    loaded = CycSeq().load(tmp_path / "model.pt")
    assert loaded.vocabulary == model.vocabulary
    assert loaded.config == model.config
    assert loaded.fine_tuned == ("lineA",)
    for context in ("lineA", "lineB"):
        for direction in ("n2p", "p2n"):
            one, other = (
                net.predict(
                    cells_of(screen, context), perturbation="G2", context=context, direction=direction, n_samples=2
                )
                for net in (model, loaded)
            )
            assert np.array_equal(one, other)
    loaded.fine_tune(screen, context="lineC")
    assert loaded.fine_tuned == ("lineA", "lineC")


def test_files_that_are_no_checkpoint_are_refused(model, tmp_path):
    path = tmp_path / "model.pt"
    for content in (b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"model\.pt"):
            read(path)
    model.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(path)
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of CycSeq"):
        read(path)


class Trap:
    fired = False

    def __reduce__(self):
        return (setattr, (Trap, "fired", True))


def test_loading_runs_no_code(tmp_path):
    torch.save({"format": "cycseq-checkpoint", "version": 1, "x": Trap()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError):
        read(tmp_path / "model.pt")
    assert not Trap.fired


def test_failed_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    model.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        model.save(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["model.pt"]


def test_doses_change_the_prediction(screen, make_config):
    cells = screen.copy()
    cells.obs["dose"] = np.where(
        cells.obs["perturbation"] == "control", np.nan, np.where(np.arange(cells.n_obs) % 2, 10.0, 1000.0)
    )
    model = CycSeq(make_config(pretrain=Stage("pretrain", 2, 64, 1e-3, "adam", 2)))
    model.pretrain(cells)
    query = cells_of(cells, "lineA")
    low, high = (model.predict(query, perturbation=("G1", dose), context="lineA") for dose in (10.0, 1000.0))
    assert not np.allclose(low, high)
    with pytest.raises(DataError, match="dose in nM"):
        model.predict(query, perturbation="G1", context="lineA")
    with pytest.raises(DataError, match="positive number"):
        model.predict(query, perturbation=("G1", 0.0), context="lineA")


def test_single_cells_are_predicted_one_by_one(screen, make_config):
    model = CycSeq(make_config(unit="cell", pretrain=Stage("pretrain", 1, 256, 1e-3, "adam", 1)))
    model.pretrain(screen)
    assert model.predict(cells_of(screen, "lineA"), perturbation="G1", context="lineA").shape == (120, 40)


def test_dense_and_sparse_cells_train_the_same(screen, make_config):
    config = make_config(pretrain=Stage("pretrain", 1, 256, 1e-3, "adam", 1))
    dense = screen.copy()
    dense.X = dense.X.toarray()
    made = []
    for cells in (screen, dense):
        model = CycSeq(config, seed=4)
        model.pretrain(cells)
        made.append(model.predict(cells_of(screen, "lineA"), perturbation="G1", context="lineA"))
    assert np.array_equal(*made)


def test_progress_is_reported_once_an_epoch(screen, make_config):
    calls = []
    model = CycSeq(
        make_config(pretrain=Stage("pretrain", 3, 64, 1e-3, "adam", 3)),
        report=lambda done, total, text: calls.append((done, total, text)),
    )
    model.pretrain(screen)
    assert [call[:2] for call in calls] == [(1, 3), (2, 3), (3, 3)]
    assert "validation error n2p" in calls[0][2]


def test_fine_tuning_keeps_out_the_cells_that_pretraining_kept_out(screen, make_config, monkeypatch):
    kept = []
    split = sampling.split_cells

    def spy(cells, *arguments):
        held = split(cells, *arguments)
        kept.append(set(cells.x[held].sum(axis=1).A1.round(4)))
        return held

    monkeypatch.setattr("cycseq.sampling.split_cells", spy)
    model = CycSeq(make_config(pretrain=Stage("pretrain", 1, 256, 1e-3, "adam", 1)))
    model.pretrain(screen)
    model.fine_tune(screen, context="lineC")
    assert len(kept[1]) > 20
    assert kept[1] < kept[0]


def test_import_is_light():
    code = "import sys, cycseq; print([m for m in ('scanpy', 'scvi', 'benchmarks', 'sklearn') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_vocabulary_batches_are_context_and_replicate(screen):
    names = vocabulary.from_adata(screen)
    assert len(names.batches) == 6
    assert names.contexts == ("lineA", "lineB", "lineC")
    assert "control" not in names.perturbations
