"""Training cells that are read some at a time: the same results, and memory that does not depend on their number."""

import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from cycseq import CycSeq, DataError, DrawStore, ModelConfig, Stage, TrainConfig, lone_cells, preset
from cycseq.data import cell_reader, draw_store, loader, sampling
from cycseq.data.cell_reader import AnnDataReader, CellSubset


class InBlocks(AnnDataReader):
    """Refuses to read many cells at once."""

    def take(self, rows):
        assert len(rows) <= 64
        return super().take(rows)


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (cell_reader, sampling):
        monkeypatch.setattr(module, "CELLS_AT_ONCE", 30)
    monkeypatch.setattr("cycseq.training.additive_effects.CELLS_AT_ONCE", 30)


def same(one: CycSeq, other: CycSeq) -> bool:
    contexts = one.fine_tuned
    assert contexts == other.fine_tuned
    nets = [(one.trained.generators, other.trained.generators)]
    nets += [(one.trained.fine_tuned[c], other.trained.fine_tuned[c]) for c in contexts]
    return all(
        torch.equal(a, b) for pair in nets for a, b in zip(*(n.state_dict().values() for n in pair), strict=True)
    )


@pytest.mark.parametrize("recipe", ["plain", "blend", "cell"])
@pytest.mark.parametrize("kept", [True, False])
def test_cells_read_in_blocks_train_the_same_model(recipe, kept, screen, make_config, small_blocks, monkeypatch):
    if not kept:
        monkeypatch.setattr(loader, "CACHE_BYTES", 0)
    short = Stage("pretrain", epochs=2, batch_size=32, learning_rate=1e-3, optimizer="adam", patience=2)
    config = make_config(pretrain=short, **({"unit": "cell"} if recipe == "cell" else {}))
    if recipe == "blend":
        config = replace(config, model=replace(config.model, blend="additive"), validation="conditions", folds=2)
    models = [CycSeq(config, seed=1) for _ in range(2)]
    for model, cells in zip(models, (screen, InBlocks(screen)), strict=True):
        model.pretrain(cells)
        model.fine_tune(cells, context="lineB")
    assert same(*models)


def test_draws_that_are_many_are_on_disk_while_they_are_needed(screen, config, tmp_path, monkeypatch):
    made, write = [], DrawStore.write.__func__

    def spy(cls, path, *arguments):
        made.append(path)
        return write(cls, path, *arguments)

    monkeypatch.setattr(DrawStore, "write", classmethod(spy))
    in_memory, on_disk, no_room = (CycSeq(config, scratch=folder) for folder in (None, tmp_path, tmp_path))
    in_memory.pretrain(screen)
    for module in (loader, draw_store):
        monkeypatch.setattr(module, "CACHE_BYTES", 0)
    on_disk.pretrain(screen, state=tmp_path / "state")
    on_disk.fine_tune(screen, context="lineA")
    in_memory.fine_tune(screen, context="lineA")
    assert len(made) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert same(in_memory, on_disk)
    monkeypatch.setattr(draw_store, "SHARE_OF_DISK", 0.0)
    no_room.pretrain(screen, state=tmp_path / "state")  # the same pairs, so that the state is taken over
    assert len(made) == 2
    assert no_room.history[-1] == on_disk.history[0]


def test_a_store_of_cells_read_in_blocks(screen, config, tmp_path, small_blocks):
    one, other = (DrawStore.from_adata(tmp_path / n, c, config) for n, c in (("a", screen), ("b", InBlocks(screen))))
    assert one.fingerprints == other.fingerprints
    assert (one.path / "control.npy").read_bytes() == (other.path / "control.npy").read_bytes()


def test_a_subset_is_read_by_its_own_rows(screen):
    rows = np.array([3, 50, 51, 700])
    part = CellSubset(AnnDataReader(screen), rows)
    assert list(part.obs.index) == list(screen.obs_names[rows])
    assert (part.take(np.array([2, 0])) != screen.X[[51, 3]]).nnz == 0
    assert np.array_equal(lone_cells(part), lone_cells(screen[rows]))


def test_what_cannot_be_read_is_refused(config):
    with pytest.raises(DataError, match=r"expected an AnnData, or .* take\(rows\)"):
        CycSeq(config).pretrain(pd.DataFrame())


def test_statistics_of_many_draws_are_those_of_some_evenly_spaced(monkeypatch):
    assert np.array_equal(loader.measured(5), np.arange(5))
    monkeypatch.setattr(loader, "MEASURED", 3)
    assert list(loader.measured(7)) == [0, 3, 6]


@dataclass
class Made:
    """Cells made when they are read, so that nothing but labels is in memory."""

    n_cells: int
    n_genes: int = 500

    def __post_init__(self):
        names = np.array(["control", "A", "B", "C"], dtype=object)[np.arange(self.n_cells) % 4]
        self.obs = pd.DataFrame({"perturbation": names, "context": "line", "batch": "rep"})
        self.genes = [f"G{i}" for i in range(self.n_genes)]

    def take(self, rows):
        x = (np.asarray(rows)[:, None] % 7 + np.arange(self.n_genes) % 5 + 0.5).astype(np.float32)
        return sp.csr_matrix(x)


def test_memory_does_not_depend_on_the_number_of_cells(tmp_path):
    base = preset("paper_quick")
    model = ModelConfig(hidden=(16, 16), latent=4, embedding=4, n_blocks=1, n_tokens=4, blend="additive")
    once = (replace(stage, epochs=1) for stage in (base.pretrain, base.finetune))
    config = replace(base, model=model, **dict(zip(("pretrain", "finetune"), once, strict=True)))
    assert isinstance(config, TrainConfig)
    peaks, sizes = [], (8_000, 32_000)
    for cells in map(Made, sizes):
        tracemalloc.start()
        model = CycSeq(config)
        model.pretrain(cells)
        model.fine_tune(cells, context="line")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    a_cell = 8 * Made(4).n_genes
    assert peaks[0] > 1_000 * a_cell  # a block of cells is seen by the measurement
    assert peaks[1] - peaks[0] < 0.2 * a_cell * (sizes[1] - sizes[0])  # labels alone
