"""Small data shared by the tests."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tests run side by side, one thread each

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from filelock import FileLock
from threadpoolctl import threadpool_limits

from benchmarks.conformance.checks import Screen, tiny_screen
from benchmarks.data.dataset import Dataset, load_dataset
from benchmarks.data.schema import validate_block, validate_labels
from tests.file_budgets import FileBudgets


def pytest_configure(config: pytest.Config) -> None:
    """Print the seconds of each test file, once, not in every worker of pytest-xdist."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(FileBudgets())


def make_cells(sizes: dict[tuple, int], n_genes: int = 40, seed: int = 0) -> AnnData:
    """Canonical cells with random counts, `sizes[(context, perturbation)]` or `[(…, dose)]` of each condition."""
    generator = np.random.default_rng(seed)
    labels = [(*key, np.nan)[:3] for key, n in sizes.items() for _ in range(n)]
    context, perturbation, dose = (np.array(column) for column in zip(*labels, strict=True))
    obs = pd.DataFrame(
        {
            "perturbation": perturbation,
            "context": context,
            "arm": "none",
            "dose": dose,
            "batch": "b1",
            "control_group": context,
            "is_control": perturbation == "control",
        },
        index=[f"cell{i}" for i in range(len(labels))],
    )
    counts = generator.poisson(3.0, (len(labels), n_genes)) + 1.0
    return AnnData(
        X=sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    )


def validate(cells: AnnData, space: str = "counts") -> AnnData:
    """Check that all cells of a data set are in canonical form."""
    validate_block(cells, "test", space)
    validate_labels(cells.obs, "test")
    return cells


@pytest.fixture(scope="module", autouse=True)
def threads_as_before() -> Iterator[None]:
    """Set the threads of numerical libraries back: packages under test change them, and then all trainings wait for cores."""
    yield
    threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session")
def make_shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Fill a folder once and return it, whichever worker of pytest-xdist is first; nothing may change it afterwards."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make_once(name: str, fill: Callable[[Path], object]) -> Path:
        folder = base / "shared" / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.with_suffix(".done").exists():
                fill(folder)
                folder.with_suffix(".done").touch()
        return folder

    return make_once


@pytest.fixture(scope="session", autouse=True)
def cache(make_shared: Callable[..., Path]) -> Iterator[Path]:
    """Keep what tests prepare out of the user's cache."""
    folder = make_shared("cache", lambda folder: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCSEQ_CACHE", str(folder))
        yield folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test's cache apart."""
    monkeypatch.setenv("CYCSEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CYCSEQ_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def grid_cells() -> AnnData:
    """Three contexts × four perturbations (one of them a combination) of 24 cells, 30 controls each."""
    names = ("A", "B", "C", "A+B")
    sizes = {(c, p): 24 for c in ("x", "y", "z") for p in names} | {(c, "control"): 30 for c in ("x", "y", "z")}
    return make_cells(sizes)


@pytest.fixture(scope="session")
def smoke() -> Dataset:
    """The smallest data set of the benchmark."""
    return load_dataset("smoke_simulated")


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Screen:
    """One fold of it, as the conformance suite uses it."""
    return tiny_screen(Path(tmp_path_factory.mktemp("fits")))
