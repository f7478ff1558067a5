"""Speed, by pytest-benchmark: `make bench`. No test here fails for being slow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from benchmarks.scoring.metrics import change, distribution, profile, retrieval
from benchmarks.tasks.splits import split
from cycseq.config import preset
from cycseq.model import Generators, Sizes
from tests.conftest import make_cells

pytestmark = pytest.mark.bench
CONDITIONS, CELLS, GENES = 100, 100, 2_000


@pytest.fixture(autouse=True)
def one_thread():
    """State the threads: one, for everything here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def profiles() -> tuple[np.ndarray, np.ndarray]:
    """True and predicted changes [condition, gene]."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(CONDITIONS, GENES)), generator.normal(size=(CONDITIONS, GENES))


@pytest.mark.parametrize("metric", [profile.mse, profile.r2_pearson, change.pearson_delta, retrieval.pds_cosine])
def test_metric_on_profiles(benchmark, profiles, metric):
    assert len(benchmark(metric, *profiles)) == CONDITIONS


def test_energy_distance_of_one_condition(benchmark):
    generator = np.random.default_rng(0)
    x, y = (generator.normal(size=(CELLS, distribution.N_COMPONENTS)) for _ in range(2))
    assert np.isfinite(benchmark(distribution.e_distance, x, y))


def test_split(benchmark):
    sizes = {(f"c{c}", p): 60 for c in range(5) for p in [*(f"g{i}" for i in range(25)), "control"]}
    obs = make_cells(sizes, n_genes=2).obs
    assert len(benchmark(split, obs, "unseen_context", 0).conditions) == 25


def test_cycseq_generator_forward_and_backward(benchmark):
    config = preset("paper").model
    generators = Generators(Sizes(GENES, 100, 10, 0), config)
    x = torch.rand(128, GENES)
    p, b = torch.arange(128) % 100, torch.arange(128) % 10

    def step() -> float:
        condition = generators.n2p.condition(p, b, torch.zeros(128, 0))
        out = generators.n2p(x, condition, torch.randn(128, *generators.n2p.latent_shape))
        loss = out.x_hat.square().mean()
        loss.backward()
        return float(loss.detach())

    assert np.isfinite(benchmark(step))
