"""Draws on disk."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
import torch

from cycseq import ConfigError, CycSeq, DataError, DrawStore
from cycseq.data import draw_store, loader, sampling, vocabulary


@pytest.fixture
def store(screen, config, tmp_path, monkeypatch):
    monkeypatch.setattr(draw_store, "CHUNK", 50)  # several pieces, the last one shorter
    return DrawStore.from_adata(tmp_path / "draws", screen, config, seed=3)


def test_a_store_gives_the_pairs_that_memory_gives(store, screen, config, monkeypatch):
    monkeypatch.setattr(loader, "CACHE_BYTES", 0)
    names = vocabulary.from_adata(screen)
    cells = vocabulary.encode(screen, names)
    pairs = sampling.training_pairs(cells, names, sampling.hold_out(cells, names, config, 3)[0], config, 3)
    assert store.vocabulary == names
    for source, stored in zip(pairs, (store.train(), store.validation()), strict=True):
        in_memory = loader.PairLoader(source, "cpu")
        assert len(stored) == len(in_memory)
        batches = (part.epoch(16, np.random.default_rng(5)) for part in (stored, in_memory))
        for one, other in zip(*batches, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert stored.statistics.variance == pytest.approx(in_memory.statistics.variance, rel=1e-12)
        assert all(torch.equal(a, b) for a, b in zip(stored.statistics[:2], in_memory.statistics[:2], strict=True))
        assert isinstance(stored.source.control, np.memmap)


def test_the_next_batch_is_asked_for_ahead(store, monkeypatch):
    """And so is each batch itself: the disk is asked for its rows, not for what lies around them."""
    asked, taken = [], []
    monkeypatch.setattr(
        draw_store.os, "posix_fadvise", lambda file, start, n_bytes, advice: asked.append((start, n_bytes))
    )
    validation = store.validation()
    for batch in validation.epoch(60, np.random.default_rng(1)):
        taken.append(batch.perturbed)
        if len(taken) == 1:
            first_asked = list(asked)
    whole = np.memmap(store.path / "perturbed.npy", np.uint8, "r")
    rows = [np.frombuffer(bytes(whole[start : start + n_bytes]), np.float32) for start, n_bytes in first_asked]
    assert len(asked) == 2 * len(validation) + 2 * (len(validation) - 60)  # both sides; all but the first twice
    assert np.array_equal(np.stack(rows[60:120]), taken[0].numpy())
    assert np.array_equal(np.stack(rows[180:240]), taken[1].numpy())


def test_training_from_a_store_is_training_from_the_cells(store, screen, config):
    one, other = CycSeq(config, seed=3), CycSeq(config, seed=3)
    one.pretrain(screen)
    other.pretrain(store)
    for a, b in zip(one.trained.generators.parameters(), other.trained.generators.parameters(), strict=True):
        assert torch.equal(a, b)
    assert other.fine_tune(screen, context="lineA").context == "lineA"


def test_a_store_of_doses(screen, config, tmp_path):
    cells = screen.copy()
    cells.obs["dose"] = np.where(cells.obs["perturbation"] == "control", np.nan, 100.0)
    store = DrawStore.from_adata(tmp_path / "draws", cells, config)
    batch = next(store.train().epoch(4))
    assert batch.dose.tolist() == [[2.0]] * 4


def test_other_settings_than_the_draws_are_refused(store, config):
    with pytest.raises(ConfigError, match=r"cells_per_draw is 20, the store has 10; the seed is 0, the store has 3"):
        CycSeq(replace(config, cells_per_draw=20), seed=0).pretrain(store)
    other = store.configure(replace(config, cells_per_draw=20, decay=0.5))
    assert (other.cells_per_draw, other.decay) == (10, 0.5)


def test_draws_that_hold_out_cells_are_not_those_that_hold_out_conditions(store, config):
    with pytest.raises(ConfigError, match="validation is 'conditions', the store has 'cells'"):
        store.check(replace(config, validation="conditions"), store.seed)


def test_an_existing_store_is_used_or_refused(store, screen, config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(draw_store, "_fill", lambda *parts: pytest.fail("written again"))
        assert DrawStore.from_adata(store.path, screen, config, seed=3).fingerprints == store.fingerprints
    for cells, seed in ((screen, 4), (screen[:-1], 3)):
        with pytest.raises(DataError, match="draws of other cells, names, settings or another seed"):
            DrawStore.from_adata(store.path, cells, config, seed=seed)


def test_two_writers_at_once_make_one_store(screen, config, tmp_path, monkeypatch):
    folder, fill, both = tmp_path / "draws", draw_store._fill, Barrier(2)

    def fill_together(*parts):
        both.wait(30)  # neither sees the other's folder before it starts its own
        return fill(*parts)

    monkeypatch.setattr(draw_store, "_fill", fill_together)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: DrawStore.from_adata(folder, screen, config), range(2)))
    assert made[0].fingerprints == made[1].fingerprints
    assert list(tmp_path.iterdir()) == [folder]
    assert torch.equal(*(next(store.train().epoch(999)).control for store in made))


def test_a_half_made_store_is_never_there(screen, config, tmp_path, monkeypatch):
    take = sampling.Pairs.take

    def fail_late(pairs, rows):
        if rows[0] > 0:
            raise OSError("No space left on device")
        return take(pairs, rows)

    monkeypatch.setattr(draw_store, "CHUNK", 50)
    monkeypatch.setattr(sampling.Pairs, "take", fail_late)
    with pytest.raises(OSError, match="No space"):
        DrawStore.from_adata(tmp_path / "draws", screen, config)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_store_is_refused(store, tmp_path):
    with pytest.raises(DataError, match=r"store\.json"):
        DrawStore.open(tmp_path)
    described = store.path / "store.json"
    content = json.loads(described.read_text())
    for text, message in (
        ("{", "store.json"),
        ("[]", "store.json"),
        (json.dumps(content | {"version": 9}), "version 9"),
        (json.dumps(content | {"variance": content["variance"] * 1.001}), "digest"),
        (json.dumps(content | {"sha256": ""}), "digest"),
        ('{"format":' * 20_000, "store.json"),
    ):
        described.write_text(text)
        with pytest.raises(DataError, match=message):
            DrawStore.open(store.path)


@pytest.mark.parametrize("name", ["control", "perturbed", "p", "dose", "means"])
def test_a_store_cut_short_is_refused(store, name):
    file = store.path / f"{name}.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2 if name != "dose" else 20])
    with pytest.raises(DataError, match=rf"{name}\.npy"):
        DrawStore.open(store.path)
    file.unlink()
    with pytest.raises(DataError, match=rf"{name}\.npy"):
        DrawStore.open(store.path)


def _flip_last_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["p", "b", "means", "checksums"])
def test_one_bit_of_what_is_read_whole(store, name):
    _flip_last_bit(store.path / f"{name}.npy")
    with pytest.raises(DataError, match=rf"{name}\.npy"):
        DrawStore.open(store.path)


@pytest.mark.parametrize("name", ["control", "perturbed"])
def test_one_bit_of_the_draws_is_found_when_its_row_is_read(store, name):
    _flip_last_bit(store.path / f"{name}.npy")  # of the last validation pair
    opened = DrawStore.open(store.path)
    assert sum(len(batch.p) for batch in opened.train().epoch(16)) == store.n_train
    with pytest.raises(
        DataError, match=rf"{name}\.npy' is damaged: row {len(store.train()) + len(store.validation()) - 1}"
    ):
        list(opened.validation().epoch(16))


def test_other_labels_and_types_are_refused(store):
    labels = np.load(store.path / "p.npy")
    for other in (labels + 3, labels.astype(float), labels[:, None], np.asfortranarray(np.stack([labels, labels]))):
        np.save(store.path / "p.npy", other)
        with pytest.raises(DataError, match=r"p\.npy"):
            DrawStore.open(store.path)


@pytest.mark.parametrize("header", [b"{'descr': '<f4', (\n", b"[" * 60_000 + b"\n", b"{'shape': (1,\n", b"\xff\n"])
def test_a_header_that_is_no_header(store, header):
    (store.path / "control.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"control\.npy"):
        DrawStore.open(store.path)
