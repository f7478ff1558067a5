"""Slips that would train or predict something else than was meant: each is refused, or said in the result."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch

from cycseq import (
    CheckpointError,
    ConfigError,
    CycSeq,
    DataError,
    DrawStore,
    LossWeights,
    ModelConfig,
    NotTrained,
    Stage,
    TrainConfig,
    UnknownContext,
    UnknownPerturbation,
    UnknownPreset,
    Unseen,
    lone_cells,
    preset,
)
from cycseq.files import read_record, write_record
from cycseq.training.checkpoint import STATE_FILE, StageState


@pytest.fixture(scope="module")
def dosed_screen(screen):
    """The screen with two doses, 10 and 1000 nM, half of each condition's cells."""
    found = screen.copy()
    found.obs["dose"] = np.where(
        found.obs["perturbation"] == "control", np.nan, np.where(np.arange(found.n_obs) % 2, 10.0, 1000.0)
    )
    return found


@pytest.fixture(scope="module")
def dosed(dosed_screen, config):
    net = CycSeq(config)
    net.pretrain(dosed_screen)
    return net


def relabel(cells, column, rows, name):
    cells.obs[column] = cells.obs[column].astype(object)
    cells.obs.iloc[rows, cells.obs.columns.get_loc(column)] = name
    return cells


# --- a call that fails changes nothing ---------------------------------------------------------------------------------


def test_a_model_that_was_refused_its_training_is_untrained(screen, config, tmp_path):
    file = tmp_path / "pretrain.state"
    CycSeq(config, seed=0).pretrain(screen, state=file)
    other = CycSeq(config, seed=1)
    with pytest.raises(CheckpointError, match=r"seed, .*cells, starting weights"):
        other.pretrain(screen, state=file)
    with pytest.raises(NotTrained):
        other.save(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("part", "ended"),
    [("best", True), ("critics", True), ("best", False), ("critics", False), ("generators", False)],
)
def test_a_state_that_lacks_weights_is_refused_before_an_epoch(screen, config, tmp_path, part, ended):
    file = tmp_path / "pretrain.state"
    config = replace(config, pretrain=replace(config.pretrain, epochs=3, patience=3))
    stopped = CycSeq(config)

    def stop(done, total, text):
        if not ended and done:
            raise KeyboardInterrupt

    stopped.report = stop
    with suppress(KeyboardInterrupt):
        stopped.pretrain(screen, state=file)
    state = read_record(file, STATE_FILE, StageState)
    assert state.finished == ended
    weights = getattr(state, part)
    del weights[next(iter(weights))]
    write_record(file, STATE_FILE, state)
    with pytest.raises(CheckpointError, match=r"pretrain\.state"):
        CycSeq(config).pretrain(screen, state=file)


@pytest.mark.parametrize("wrong", ["no cells", "a file that is another's", "stopped"])
def test_a_failed_pretraining_keeps_weights_history_and_fine_tuning(screen, controls, config, tmp_path, wrong):
    model = CycSeq(config)
    model.pretrain(screen)
    model.fine_tune(screen, context="lineA")
    before = model.predict(controls, perturbation="G1"), [stage.name for stage in model.history]
    (tmp_path / "state").write_bytes(b"something else")

    def stop(done, total, text):
        raise KeyboardInterrupt

    if wrong == "stopped":
        model.report = stop
    given = screen[:0] if wrong == "no cells" else screen
    for train in (
        lambda: model.pretrain(given, state=tmp_path / "state" if wrong.startswith("a file") else None),
        lambda: model.fine_tune(
            given, context="lineA", state=tmp_path / "state" if wrong.startswith("a file") else None
        ),
    ):
        with pytest.raises((DataError, CheckpointError, KeyboardInterrupt)):
            train()
    after = model.predict(controls, perturbation="G1")
    assert np.array_equal(after.X, before[0].X)
    assert after.uns["cycseq"]["weights"] == "fine-tuned on lineA"
    assert [stage.name for stage in model.history] == before[1]


# --- fine-tuning on the cells of pre-training --------------------------------------------------------------------------


def test_fine_tuning_wants_the_cells_of_pretraining_in_their_order(screen, config, tmp_path):
    """Validation cells are told by their place: in another order cells that were trained on would be validated on."""
    model = CycSeq(config)
    model.pretrain(screen)
    model.save(tmp_path / "model.pt")
    of_a = np.flatnonzero(screen.obs["context"] == "lineA")
    for other in (screen[::-1], screen[of_a[1:]]):
        for net in (model, CycSeq.load(tmp_path / "model.pt")):
            with pytest.raises(DataError, match=r"lineA.*new_cells"):
                net.fine_tune(other, context="lineA")
    model.fine_tune(screen[of_a], context="lineA")
    model.fine_tune(screen[::-1], context="lineB", new_cells=True)
    assert model.fine_tuned == ("lineA", "lineB")
    DrawStore.from_adata(tmp_path / "draws", screen, config)
    from_store = CycSeq(config)
    from_store.pretrain(DrawStore.open(tmp_path / "draws"))
    with pytest.raises(DataError, match="lineA"):
        from_store.fine_tune(screen[::-1], context="lineA")


def test_fine_tuning_that_would_train_nothing(screen, config, controls):
    model = CycSeq(replace(config, finetune=replace(config.finetune, epochs=0)))
    model.pretrain(screen)
    with pytest.raises(ConfigError, match=r"finetune\.epochs"):
        model.fine_tune(screen, context="lineA")
    model = CycSeq(config)
    model.pretrain(screen)
    with pytest.raises(DataError, match="lineA"):
        model.fine_tune(controls, context="lineA", new_cells=True)


# --- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", ["nan", "None", "<NA>", " "])
def test_missing_labels_that_became_text(cells, config, nothing):
    with pytest.raises(DataError, match=r"obs\['perturbation'\] has no label for 9 of 1224 cells"):
        CycSeq(config).pretrain(relabel(cells, "perturbation", np.arange(200, 209), nothing))


@pytest.mark.parametrize(
    ("column", "name", "other"),
    [
        ("perturbation", "Control", "control"),
        ("perturbation", "control ", "control"),
        ("perturbation", "g1", "G1"),
        ("perturbation", "G2+G1", "G1\\+G2"),
        ("context", "LineA", "lineA"),
    ],
)
def test_one_name_in_two_spellings(cells, config, column, name, other):
    rows = np.flatnonzero(cells.obs[column] == other.replace("\\", ""))[:10]
    message = rf"obs\['{column}'\] has one name in several spellings: .*'{other}'.*expected one spelling"
    with pytest.raises(DataError, match=message):
        CycSeq(config).pretrain(relabel(cells, column, rows, name))


def test_a_column_twice_and_cells_without_expression(cells, model, config):
    twice = cells.copy()
    twice.obs = twice.obs[["perturbation", "context", "batch", "batch"]]
    with pytest.raises(DataError, match=r"obs has the column\(s\) batch twice"):
        CycSeq(config).pretrain(twice)
    cells.X = None
    for call in (lambda: CycSeq(config).pretrain(cells), lambda: model.fine_tune(cells, context="lineA")):
        with pytest.raises(DataError, match="no X"):
            call()


def test_expression_that_does_not_vary(cells, config):
    for value in (0.0, 1.5):
        cells.X = np.full(cells.shape, value, dtype=np.float32)
        with pytest.raises(DataError, match=rf"X is {value:g} "):
            CycSeq(config).pretrain(cells)


@pytest.mark.parametrize("given", ["cells.h5ad", np.zeros((3, 3)), None, [1]])
def test_what_are_no_cells(model, config, given):
    for call in (
        lambda: CycSeq(config).pretrain(given),
        lambda: model.fine_tune(given, context="lineA"),
        lambda: model.predict(given, perturbation="G1"),
        lambda: model.latent(given),
        lambda: lone_cells(given),
    ):
        with pytest.raises(DataError, match="AnnData"):
            call()


def test_controls_with_doses_are_not_lone(cells):
    cells.obs["dose"] = np.arange(cells.n_obs, dtype=float) + 1
    cells.obs.loc[cells.obs["perturbation"] != "control", "dose"] = 10.0
    assert not lone_cells(cells).any()


# --- contexts and doses ------------------------------------------------------------------------------------------------


def test_cells_read_as_another_context_say_so(model, controls):
    made = model.predict(controls, perturbation="G1", context="lineB")
    assert set(made.obs["note"]) == {"read as context 'lineB', labelled 'lineA'"}
    assert made.uns["cycseq"]["fallbacks"] == "read as context 'lineB', labelled 'lineA'"
    for wrong in (1, "", None):
        with pytest.raises((DataError, UnknownContext), match="context"):
            model.fine_tune(controls, context=wrong)
    with pytest.raises(DataError, match="context is 1; expected a name, as text"):
        model.predict(controls, perturbation="G1", context=1)


def test_cells_without_a_batch_where_one_is_wanted(model, controls):
    del controls.obs["batch"]
    with pytest.raises(DataError, match="batch"):
        model.predict(controls, perturbation="G1", unseen=Unseen(batch="refuse"))


def test_doses_that_are_no_numbers(dosed_screen, dosed, config):
    for wrong in ("10 nM", "much"):
        with pytest.raises(DataError, match=r"obs\['dose'\] has 2 values"):
            CycSeq(config).pretrain(relabel(dosed_screen.copy(), "dose", [200, 201], wrong))
    endless = dosed_screen.copy()
    endless.obs["dose"] = np.where(endless.obs["perturbation"] == "control", np.nan, np.inf)
    with pytest.raises(DataError, match="dose"):
        CycSeq(config).pretrain(endless)
    without = dosed_screen.copy()
    del without.obs["dose"]
    with pytest.raises(DataError, match=r"obs lacks the column\(s\) dose"):
        dosed.latent(without)


def test_a_dose_that_is_not_the_cells(dosed, dosed_screen, tmp_path):
    own = dosed_screen.obs["perturbation"].eq("G1") & dosed_screen.obs["context"].eq("lineA")
    low = dosed_screen[(own & dosed_screen.obs["dose"].eq(10.0)).to_numpy()]
    assert set(dosed.predict(low, perturbation=("G1", 10.0), direction="p2n").obs["note"]) == {""}
    with pytest.raises(DataError, match=r"24 of 24 cells.*1000 nM"):
        dosed.predict(low, perturbation=("G1", 1000.0), direction="p2n")
    dosed.save(tmp_path / "model.pt")
    query = dosed_screen[(dosed_screen.obs["perturbation"] == "control").to_numpy() & own.eq(False).to_numpy()]
    query = query[(query.obs["context"] == "lineA").to_numpy()]
    for net in (dosed, CycSeq.load(tmp_path / "model.pt")):
        made = net.predict(query, perturbation=("G1", 1e9))
        assert set(made.obs["note"]) == {"dose 1e+09 nM outside the 10 to 1000 nM trained on"}
        assert set(net.predict(query, perturbation=("G1", 100.0)).obs["note"]) == {""}


# --- arguments of the wrong kind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, 3, ("G1",), ("G1", 1.0, 2.0), ("G1", "10"), ""])
def test_what_is_no_perturbation(model, controls, given):
    with pytest.raises(DataError, match=r"perturbation is .*; expected a name"):
        model.predict(controls, perturbation=given)


def test_controls_as_the_perturbation(model, controls):
    with pytest.raises(UnknownPerturbation, match="control"):
        model.predict(controls, perturbation="control", unseen=Unseen(annotation={"control": {"x"}, "G1": {"x"}}))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_samples": 2.0}, r"n_samples is 2\.0; expected a whole number"),
        ({"n_samples": "3"}, "n_samples is '3'"),
        ({"n_samples": -1}, "n_samples is -1; expected a whole number of at least 0"),
        ({"direction": "p2p"}, "direction is 'p2p'.*'n2p', 'p2n'"),
        ({"seed": -1}, "seed is -1; expected a whole number of at least 0"),
        ({"seed": None}, "seed is None"),
        ({"unseen": "refuse"}, r"unseen is 'refuse'; expected cycseq\.Unseen"),
    ],
)
def test_arguments_of_another_kind(model, controls, arguments, words):
    with pytest.raises(ConfigError, match=words):
        model.predict(controls, perturbation="G1", **arguments)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: CycSeq("plus"), "TrainConfig"),
        (lambda: CycSeq(seed=1.5), r"seed is 1\.5"),
        (lambda: CycSeq(device="gpu"), "device is 'gpu'"),
        (lambda: Unseen(neighbours=2.5), r"Unseen\.neighbours is 2\.5"),
        (lambda: Unseen(neighbours=0), r"Unseen\.neighbours is 0"),
        (lambda: Unseen(combination="product"), r"Unseen\.combination is 'product'.*'refuse', 'sum' or 'mean'"),
        (lambda: Unseen(batch="any"), r"Unseen\.batch is 'any'"),
        (lambda: Unseen(annotation=[1]), r"Unseen\.annotation"),
        (lambda: Unseen(annotation={"MYC": "kinase"}), r"annotation\['MYC'\]"),
        (lambda: Stage("pretrain", 1.5, 8, 1e-3, "adam", 3), r"Stage\.epochs is 1\.5"),
        (lambda: Stage("pretrain", 1, 8, "fast", "adam", 3), r"Stage\.learning_rate is 'fast'"),
        (lambda: Stage("pretrain", 1, 8, 1e-3, "adam", 3, betas=(2, 0.9)), r"Stage\.betas is 2"),
        (lambda: ModelConfig(hidden=(64, 32.5)), r"ModelConfig\.hidden is 32\.5"),
        (lambda: ModelConfig(start="zero"), "ModelConfig.start is 'zero': expected 'mean' or 'default'"),
        (lambda: LossWeights(kl="1"), r"LossWeights\.kl is '1'"),
        (lambda: TrainConfig(folds=2.5, validation="conditions"), r"TrainConfig\.folds is 2\.5"),
        (lambda: TrainConfig(model={"latent": 3}), r"TrainConfig\.model is .*ModelConfig"),
    ],
)
def test_settings_of_another_kind(build, words):
    with pytest.raises(ConfigError, match=words):
        build()


def test_what_is_no_preset():
    with pytest.raises(UnknownPreset, match="Unknown preset 'None'"):
        preset(None)


# --- files -------------------------------------------------------------------------------------------------------------


def test_any_byte_that_is_wrong_is_found_or_does_nothing(model, controls, tmp_path):
    """torch reads a file without looking at its checksums: one byte of one weight would load as another weight."""
    path = tmp_path / "model.pt"
    model.save(path)
    whole, expected = path.read_bytes(), model.predict(controls, perturbation="G1").X
    found = 0
    for place in np.random.default_rng(0).integers(len(whole), size=40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            loaded = CycSeq.load(path)
        except CheckpointError:
            found += 1
        else:
            assert np.array_equal(loaded.predict(controls, perturbation="G1").X, expected)
    assert found > 20


def test_a_file_cut_anywhere_is_refused(model, tmp_path):
    path = tmp_path / "model.pt"
    model.save(path)
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 25, dtype=int):
        path.write_bytes(whole[:place])
        with pytest.raises(CheckpointError, match=r"model\.pt"):
            CycSeq.load(path)


def test_folders_that_are_not_there_are_found_before_training(screen, model, config, tmp_path):
    def never(done, total, text):
        pytest.fail("trained before it looked where the result goes")

    unused = CycSeq(config, report=never)
    for call in (
        lambda: model.save(tmp_path / "no" / "model.pt"),
        lambda: unused.pretrain(screen, state=tmp_path / "no" / "state"),
        lambda: DrawStore.from_adata(tmp_path / "no" / "draws", screen, config),
    ):
        with pytest.raises(ConfigError, match="no folder"):
            call()
    with pytest.raises(ConfigError, match="is a folder"):
        model.save(tmp_path)
    with pytest.raises(CheckpointError, match="is a folder"):
        CycSeq.load(tmp_path)


def test_a_store_of_other_names_is_not_taken_for_these(cells, config, tmp_path):
    DrawStore.from_adata(tmp_path / "draws", cells, config)
    cells.var_names = list(cells.var_names[::-1])
    with pytest.raises(DataError, match="holds draws of other cells, names, settings"):
        DrawStore.from_adata(tmp_path / "draws", cells, config)


# --- where training starts ---------------------------------------------------------------------------------------------


def test_the_start_of_the_output_is_a_setting(screen, make_config):
    """Untrained, "mean" predicts the mean profile of the target state but for noise, torch's own start does not."""
    errors = {}
    for start in ("mean", "default"):
        networks = replace(make_config().model, skip=False, start=start)
        model = CycSeq(make_config(model=networks, pretrain=replace(make_config().pretrain, epochs=0)))
        errors[start] = model.pretrain(screen).epochs[0].validation.errors.n2p
    assert errors["mean"] < 0.5 * errors["default"]


def test_latents_name_the_weights_of_each_draw(screen, config):
    model = CycSeq(config)
    model.pretrain(screen)
    model.fine_tune(screen, context="lineA")
    latents = model.latent(screen)
    of_a = latents.obs["context"] == "lineA"
    assert set(latents.obs.loc[of_a, "weights"]) == {"fine-tuned on lineA"}
    assert set(latents.obs.loc[~of_a, "weights"]) == {"pre-trained"}


def nan_in_a_weight(content):
    content["critics"][next(iter(content["critics"]))].view(-1)[0] = float("nan")


def wider_than_its_weights(content):
    content["config"] = content["config"].replace('"hidden": [', '"hidden": [1000000000, ')


@pytest.mark.parametrize(
    "change",
    [
        nan_in_a_weight,
        wider_than_its_weights,
        lambda content: content["generators"].popitem(),
        lambda content: content.update(generators=[1]),
        lambda content: content.update(fine_tuned={"L1": None}),
        lambda content: content.update(seed=""),
        lambda content: content.update(seed=-1),
        lambda content: content.update(seed=True),
        lambda content: content.update(cells=[["a"]]),
        lambda content: content.update(config="[" * 100_000),
        lambda content: content.update(vocabulary='{"genes": []}'),
        lambda content: content.pop("critics"),
    ],
)
def test_a_model_file_with_other_content_is_refused(model, tmp_path, change):
    path = tmp_path / "model.pt"
    model.save(path)
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        CycSeq.load(path)


def test_a_compressed_archive_of_any_size_is_not_unpacked(tmp_path):
    path = tmp_path / "model.pt"
    with ZipFile(path, "w", ZIP_DEFLATED) as parts:
        parts.writestr("archive/data.pkl", bytes(1 << 26))
    with pytest.raises(CheckpointError, match="larger than the file"):
        CycSeq.load(path)
