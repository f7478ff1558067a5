import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import read_h5ad

from cycseq import (
    CheckpointError,
    CycSeq,
    DataError,
    NotTrained,
    Stage,
    TrainConfig,
    UnknownBatch,
    UnknownContext,
    Unseen,
)
from cycseq.data import sampling, vocabulary


@pytest.fixture
def model(trained):
    return trained


def cells_of(screen, context, perturbation="control"):
    return screen[((screen.obs["context"] == context) & (screen.obs["perturbation"] == perturbation)).to_numpy()]


def test_predictions_are_draws_in_the_space_of_the_cells(model, screen):
    cells = cells_of(screen, "lineB")
    made = model.predict(cells, perturbation="G1+G2", seed=3)
    assert made.shape == (12, 40)
    assert made.X.dtype == np.float32
    assert np.isfinite(made.X).all()
    assert list(made.var_names) == list(screen.var_names)
    assert not np.array_equal(made.X, model.predict(cells, perturbation="G2", context="lineB", seed=3).X)
    one = made.obs.iloc[0]
    assert one[["perturbation", "context", "batch", "direction", "note"]].tolist() == [
        "G1+G2",
        "lineB",
        "rep1",
        "n2p",
        "",
    ]
    assert (one["n_cells"], one["sample"]) == (10, 0)
    assert made.obs["n_cells"].sum() == cells.n_obs
    assert made.obs_names.is_unique
    record = made.uns["cycseq"]
    assert (record["direction"], record["seed"], record["n_samples"]) == ("n2p", 3, 0)
    assert (record["weights"], record["fallbacks"]) == ("pre-trained", "")


def test_results_can_be_written_and_name_the_weights_used(model, screen, tmp_path):
    made = model.predict(cells_of(screen, "lineA"), perturbation="G1", n_samples=2)
    assert made.uns["cycseq"]["weights"] == "fine-tuned on lineA"
    assert made.obs["sample"].tolist()[:4] == [1, 2, 1, 2]
    made.write_h5ad(tmp_path / "made.h5ad")
    again = read_h5ad(tmp_path / "made.h5ad")
    assert np.array_equal(again.X, made.X)
    assert again.uns["cycseq"] == made.uns["cycseq"]
    latents = model.latent(screen[::7])
    latents.write_h5ad(tmp_path / "latents.h5ad")
    assert np.array_equal(read_h5ad(tmp_path / "latents.h5ad").obsm["z_ko"], latents.obsm["z_ko"])


def test_prediction_knows_the_effect_of_the_perturbation(model, screen):
    for direction, source, target in (("n2p", "control", "G3"), ("p2n", "G3", "control")):
        given, truth = (np.asarray(cells_of(screen, "lineB", name).X.mean(0)).ravel() for name in (source, target))
        made = model.predict(cells_of(screen, "lineB", source), perturbation="G3", direction=direction).X.mean(axis=0)
        assert np.square(made - truth).mean() < 0.5 * np.square(given - truth).mean()
        assert np.corrcoef(made - given, truth - given)[0, 1] > 0.8


def test_fine_tuned_weights_are_used_for_their_context_only(screen, make_config):
    model = CycSeq(make_config(pretrain=Stage("pretrain", 2, 64, 1e-3, "adam", 2)))
    model.pretrain(screen)

    def predict(context):
        return model.predict(cells_of(screen, context), perturbation="G1", context=context).X

    before = {context: predict(context) for context in ("lineA", "lineB")}
    tuned = model.fine_tune(screen, context="lineA")
    assert model.fine_tuned == ("lineA",)
    assert [history.context for history in model.history] == [None, "lineA"]
    assert tuned.best.errors.mean < tuned.epochs[0].validation.errors.mean
    assert not np.array_equal(before["lineA"], predict("lineA"))
    assert np.array_equal(before["lineB"], predict("lineB"))


def test_means_are_repeatable_and_samples_follow_the_seed(model, screen):
    cells = cells_of(screen, "lineA")

    def predict(n_samples, seed):
        return model.predict(cells, perturbation="G1", context="lineA", n_samples=n_samples, seed=seed).X

    assert np.array_equal(predict(0, 1), predict(0, 1))
    assert np.array_equal(predict(3, 1), predict(3, 1))
    assert predict(3, 1).shape == (36, 40)
    assert not np.array_equal(predict(3, 1), predict(3, 2))
    assert predict(3, 1)[:3].std(axis=0).max() > 0


def test_draws_keep_to_one_batch_and_count_their_cells(model, screen):
    cells = cells_of(screen, "lineB")
    few = cells[np.concatenate([np.arange(60), 60 + np.arange(5)])]  # 60 cells of rep1, 5 of rep2
    made = model.predict(few, perturbation="G1")
    assert made.obs["batch"].tolist() == ["rep1"] * 5 + ["rep2"]
    assert made.obs["n_cells"].tolist() == [12] * 5 + [5]


def test_unknown_batch_takes_the_mean_embedding_of_its_context(model, screen):
    cells = cells_of(screen, "lineB")[:10].copy()
    cells.obs["batch"] = "rep9"
    generator = model.trained.generators.n2p
    known = [model.vocabulary.batches.index(("lineB", batch)) for batch in ("rep1", "rep2")]
    p = torch.tensor([model.vocabulary.perturbations.index("G1")])
    condition = torch.cat(
        [generator.condition.perturbation(p)[0], generator.condition.batch.weight[known].mean(0)]
    ).detach()[None]
    x = torch.from_numpy(np.asarray(cells.X.mean(0)))
    with torch.no_grad():
        expected = generator(x, condition).x_hat.numpy()
    made = model.predict(cells, perturbation="G1")
    assert np.allclose(made.X, expected, atol=1e-5)
    assert made.obs["note"].tolist() == ["batch 'rep9' not trained on: mean embedding of the batches of 'lineB'"]
    assert made.uns["cycseq"]["fallbacks"] == made.obs["note"].iloc[0]
    with pytest.raises(UnknownBatch, match=r"Unknown batch 'rep9'.*Known: rep1, rep2\. .*Unseen\(batch=\"mean\"\)"):
        model.predict(cells, perturbation="G1", unseen=Unseen(batch="refuse"))
    del cells.obs["batch"]
    assert np.allclose(model.predict(cells, perturbation="G1").X, expected, atol=1e-5)


def test_unknown_context_takes_the_mean_of_all_batches(model, screen):
    cells = cells_of(screen, "lineB")
    made = model.predict(cells, perturbation="G1", context="lineZ")
    assert made.shape == (12, 40)
    assert set(made.obs["note"]) == {
        "read as context 'lineZ', labelled 'lineB'; context 'lineZ' not trained on: mean embedding of all batches"
    }
    assert made.uns["cycseq"]["weights"] == "pre-trained"
    tables = model.trained.generators.n2p.condition
    condition = torch.cat([tables.perturbation.weight[0], tables.batch.weight.mean(0)]).detach()[None]
    x = torch.from_numpy(np.asarray(cells.X[:10].mean(0)))
    ten = model.predict(cells[:10], perturbation="G1", context="lineZ")
    with torch.no_grad():
        expected = model.trained.generators.n2p(x, condition).x_hat.numpy()
    assert model.vocabulary.perturbations[0] == "G1"
    assert np.allclose(ten.X, expected, atol=1e-5)
    with pytest.raises(UnknownContext, match=r"Unknown context 'lineZ'.*Known: lineA, lineB, lineC\. Train with cells"):
        model.predict(cells, perturbation="G1", context="lineZ", unseen=Unseen(batch="refuse"))


def test_the_papers_settings_are_the_default():
    assert CycSeq().config == TrainConfig()


def test_untrained_model_says_so(screen, make_config, tmp_path):
    model = CycSeq(make_config())
    for call in (
        lambda: model.predict(screen, perturbation="G1", context="lineA"),
        lambda: model.fine_tune(screen, context="lineA"),
        lambda: model.latent(screen),
        lambda: model.save(tmp_path / "model.pt"),
    ):
        with pytest.raises(NotTrained, match="not trained"):
            call()


def test_save_and_load_give_identical_predictions(model, screen, tmp_path):
    model.save(tmp_path / "model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
    loaded = CycSeq.load(tmp_path / "model.pt")
    assert loaded.vocabulary == model.vocabulary
    assert loaded.config == model.config
    assert loaded.fine_tuned == ("lineA",)
    for context in ("lineA", "lineB"):
        for direction in ("n2p", "p2n"):
            one, other = (
                net.predict(
                    cells_of(screen, context, "control" if direction == "n2p" else "G2"),
                    perturbation="G2",
                    direction=direction,
                    n_samples=2,
                ).X
                for net in (model, loaded)
            )
            assert np.array_equal(one, other)


def test_files_that_are_no_checkpoint_are_refused(model, tmp_path):
    path = tmp_path / "model.pt"
    for content in (b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"model\.pt"):
            CycSeq.load(path)
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of CycSeq"):
        CycSeq.load(path)


class Trap:
    fired = False

    def __reduce__(self):
        return (setattr, (Trap, "fired", True))


def test_loading_runs_no_code(tmp_path):
    torch.save({"format": "cycseq-checkpoint", "version": 1, "x": Trap()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError):
        CycSeq.load(tmp_path / "model.pt")
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


def test_a_full_disk_is_named(model, tmp_path, monkeypatch):
    """torch has words of its own for it, "unexpected pos", and no hint."""

    def full(*_):
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"\d GB free"):
        model.save(tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


def test_doses_change_the_prediction(screen, config):
    cells = screen.copy()
    cells.obs["dose"] = np.where(
        cells.obs["perturbation"] == "control", np.nan, np.where(np.arange(cells.n_obs) % 2, 10.0, 1000.0)
    )
    model = CycSeq(config)
    model.pretrain(cells)
    query = cells_of(cells, "lineA")
    low, high = (model.predict(query, perturbation=("G1", dose), context="lineA").X for dose in (10.0, 1000.0))
    assert not np.allclose(low, high)
    latents = model.latent(cells)
    assert sorted(set(latents.obs["dose"])) == [10.0, 1000.0]
    with pytest.raises(DataError, match=r"perturbation is 'G1'; expected \(name, dose in nM\)"):
        model.predict(query, perturbation="G1")
    for dose in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match=r"dose of 'G1' is .*; expected a positive number in nM"):
            model.predict(query, perturbation=("G1", dose))
    cells.obs.iloc[np.flatnonzero(cells.obs["perturbation"] == "G2")[0], cells.obs.columns.get_loc("dose")] = -1.0
    with pytest.raises(DataError, match="1 perturbed cells have no positive dose"):
        model.pretrain(cells)


def test_single_cells_are_predicted_one_by_one(screen, config):
    model = CycSeq(replace(config, unit="cell"))
    model.pretrain(screen)
    assert model.predict(cells_of(screen, "lineA"), perturbation="G1", context="lineA").shape == (120, 40)


def test_dense_and_sparse_cells_train_the_same(screen, config):
    dense = screen.copy()
    dense.X = dense.X.toarray()
    made = []
    for cells in (screen, dense):
        model = CycSeq(config, seed=4)
        model.pretrain(cells)
        made.append(model.predict(cells_of(screen, "lineA"), perturbation="G1").X)
    assert np.array_equal(*made)


def test_progress_is_reported_at_the_start_and_once_an_epoch(screen, make_config):
    calls = []
    model = CycSeq(
        make_config(pretrain=Stage("pretrain", 3, 256, 1e-3, "adam", 3)),
        report=lambda done, total, text: calls.append((done, total, text)),
    )
    model.pretrain(screen)
    assert [call[:2] for call in calls] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert all("validation error n2p" in text for *_, text in calls)


def test_fine_tuning_keeps_out_the_cells_that_pretraining_kept_out(screen, config, monkeypatch):
    kept = []
    split = sampling.split_cells

    def spy(cells, *arguments):
        held = split(cells, *arguments)
        kept.append(set(cells.x[held].sum(axis=1).A1.round(4)))
        return held

    monkeypatch.setattr("cycseq.data.sampling.split_cells", spy)
    model = CycSeq(config)
    model.pretrain(screen)
    model.fine_tune(screen, context="lineC")
    assert len(kept[1]) > 20
    assert kept[1] < kept[0]


def test_latents_of_each_cell_under_its_own_label(model, screen):
    cells = screen[(screen.obs["context"] != "lineC").to_numpy()]
    made = model.latent(cells)
    assert made.obs["n_cells"].sum() == (cells.obs["perturbation"] != "control").sum()
    assert set(made.obs["context"]) == {"lineA", "lineB"}
    assert set(made.obs["direction"]) == {"p2n"}
    assert made.n_vars == 24
    assert list(made.var_names[[0, 8, 23]]) == ["exp_0", "ko_0", "noise_7"]
    assert np.array_equal(made.obsm["z_ko"], made[:, made.var["latent"] == "ko"].X)
    rows = (made.obs["perturbation"] == "G3").to_numpy() & (made.obs["context"] == "lineA").to_numpy()
    own = model.latent(cells_of(screen, "lineA", "G3"), perturbation="G3")
    assert np.allclose(own.X, made[rows].X, atol=1e-5)
    assert made.uns["cycseq"]["weights"] == "fine-tuned on lineA"


def test_latents_are_what_the_encoder_gives(model, screen):
    cells = cells_of(screen, "lineB")[:10]
    made = model.latent(cells, perturbation="G2", direction="n2p")
    net = model.trained.generators.n2p
    b = torch.tensor([model.vocabulary.batches.index(("lineB", "rep1"))])
    p = torch.tensor([model.vocabulary.perturbations.index("G2")])
    with torch.no_grad():
        condition = net.condition(p, b, torch.zeros(1, 0))
        mu, log_variance = net.encoder(torch.from_numpy(np.asarray(cells.X.mean(0))), condition)
    assert np.allclose(made.X, mu.flatten(1).numpy(), atol=1e-5)
    assert np.allclose(made.layers["log_variance"], log_variance.flatten(1).numpy(), atol=1e-5)
    assert np.allclose(made.obsm["z_noise"], mu[:, 2].numpy(), atol=1e-5)


def test_a_failed_pretraining_leaves_the_model_as_it_was(model, screen, tmp_path):
    model.save(tmp_path / "model.pt")
    loaded = CycSeq.load(tmp_path / "model.pt")
    with pytest.raises(DataError):
        loaded.pretrain(cells_of(screen, "lineA"))
    query = cells_of(screen, "lineB")
    assert np.array_equal(*(net.predict(query, perturbation="G1").X for net in (model, loaded)))


def test_import_is_light():
    code = "import sys, cycseq; print([m for m in ('scanpy', 'scvi', 'benchmarks', 'sklearn') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_vocabulary_batches_are_context_and_replicate(screen):
    names = vocabulary.from_adata(screen)
    assert len(names.batches) == 6
    assert names.contexts == ("lineA", "lineB", "lineC")
    assert "control" not in names.perturbations
