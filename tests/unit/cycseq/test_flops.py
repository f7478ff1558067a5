"""The count of needed FLOPs that `make bench` divides by, held against what torch counts in a step."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cycseq.config import preset
from cycseq.data.loader import PairBatch
from cycseq.model import Critics, Generators, Sizes
from cycseq.training.step import Stepper
from tests.bench.step_flops import Product, linear, step_flops

PAPER = Sizes(n_genes=6742, n_perturbations=6742, n_batches=30)


def test_a_linear_layer_has_three_products():
    assert linear(5, 2, 3) == {
        Product(5, 2, 3, "forward"): 1,
        Product(3, 5, 2, "weight"): 1,
        Product(5, 3, 2, "input"): 1,
    }
    assert Product(5, 2, 3, "forward").flops == 60


@pytest.mark.parametrize(("name", "gflops"), [("paper", 221), ("published_code", 267)])
def test_size_of_the_papers_step(name, gflops):
    assert step_flops(PAPER, preset(name), 512) / 1e9 == pytest.approx(gflops, rel=0.02)


def added_in_place(target, a, b, *_, **__):
    return 2 * a[0] * a[1] * b[1]


@pytest.mark.parametrize("name", ["paper", "published_code"])
def test_the_step_computes_what_is_counted_and_little_else(name):
    """Little else: the products inside the attention, and the critics' scores at the mix."""
    sizes, config, n = Sizes(n_genes=700, n_perturbations=40, n_batches=5), preset(name), 16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nets = Generators(sizes, config.model), Critics(sizes, config.model)
        stepper = Stepper(*nets, config, config.pretrain, 1.0)
        x, labels = torch.rand(2, n, sizes.n_genes), torch.arange(n) % 5
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added_in_place}) as counter:
            stepper.step(PairBatch(x[0], x[1], labels, labels, torch.zeros(n, 0)))
    assert 1 <= counter.get_total_flops() / step_flops(sizes, config, n) < 1.03
