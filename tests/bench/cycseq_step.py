"""Speed of one optimisation step at the paper's size beside plain torch.mm: `python -m tests.bench.cycseq_step`.

In one process and in turn: a step, then every matrix product the mathematics needs (`tests.bench.step_flops`) by torch.mm
into a buffer that is kept. The share is (needed FLOPs / time of a step) / (their rate by torch.mm), the median over
rounds; "share by CPU" is the same in CPU seconds of the process, which other programs on the machine disturb less. Each
case runs in a process of its own, so that its peak memory is its own. On a GPU: samples a second, and how far its loss
terms are from the CPU's in float32.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from unittest.mock import patch

import torch
from torch import Tensor

from cycseq.config import TrainConfig, preset
from cycseq.data.loader import PairBatch
from cycseq.model import Critics, Generators, Sizes
from cycseq.training.step import Stepper, critic_terms, generator_terms, low_precision
from tests.bench.step_flops import Product, step_flops, step_products

PAPER = Sizes(n_genes=6742, n_perturbations=6742, n_batches=30)
BATCH = 512
N_PAIRS = 4 * BATCH
"""Draws in memory that batches are gathered from."""
CASES = {
    f"{preset_name}, {precision}": (preset_name, precision)
    for preset_name in ("paper", "published_code")
    for precision in ("float32", "bfloat16")
}
COLUMNS = ("case", "step s", "GFLOP/s", "mm GFLOP/s", "share", "share by CPU", "input", "peak GB", "samples/s")


@dataclass
class Round:
    """Wall and CPU seconds of a step, of gathering its batch, and of the plain products."""

    step: tuple[float, float] = (0.0, 0.0)
    gather: tuple[float, float] = (0.0, 0.0)
    products: tuple[float, float] = (0.0, 0.0)


@dataclass
class Bench:
    """One case: networks, draws in memory, operands of the plain products."""

    preset_name: str
    precision: str
    device: str = "cpu"
    rounds: list[Round] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = settings(self.preset_name, self.precision)
        torch.manual_seed(0)
        nets = Generators(PAPER, self.config.model).to(self.device), Critics(PAPER, self.config.model).to(self.device)
        self.stepper = Stepper(*nets, self.config, self.config.pretrain, variance=1.0)
        self.draws = make_draws(N_PAIRS, self.device)
        self.data_bytes = sum(part.nbytes for part in self.draws)
        for _ in range(2):
            self.stepper.step(gather(self.draws))
        self.peak = peak_bytes(self.device) - self.data_bytes
        self.products = make_products(self.config, self.device)

    def plain(self) -> tuple[float, float]:
        """Time every needed product by torch.mm, weighted by how often it is needed; wall and CPU seconds."""
        wall = cpu = 0.0
        for run, count in self.products:
            spent = timed(run, self.device)
            wall, cpu = wall + count * spent[0], cpu + count * spent[1]
        return wall, cpu

    def round(self) -> None:
        """Gather a batch, take a step, run the plain products."""
        found = Round(products=self.plain())
        batches: list[PairBatch] = []
        found.gather = timed(lambda: batches.append(gather(self.draws)), self.device)
        found.step = timed(lambda: self.stepper.step(batches[0]), self.device)
        self.rounds.append(found)

    def row(self) -> dict[str, str]:
        """Summarise all rounds for the table."""
        flops = step_flops(PAPER, self.config, BATCH)
        middle = statistics.median
        step = middle(one.step[0] for one in self.rounds)
        return {
            "case": f"{self.preset_name}, {self.precision}",
            "step s": f"{step:.3f}",
            "GFLOP/s": f"{flops / step / 1e9:.0f}",
            "mm GFLOP/s": f"{flops / middle(one.products[0] for one in self.rounds) / 1e9:.0f}",
            "share": f"{middle(one.products[0] / one.step[0] for one in self.rounds):.0%}",
            "share by CPU": f"{middle(one.products[1] / one.step[1] for one in self.rounds):.0%}",
            "input": f"{middle(one.gather[0] / one.step[0] for one in self.rounds):.1%}",
            "peak GB": f"{self.peak / 1e9:.2f}",
            "samples/s": f"{BATCH / step:.0f}",
        }


def settings(preset_name: str, precision: str) -> TrainConfig:
    """Take a preset at a precision."""
    return replace(preset(preset_name), precision=precision)  # type: ignore[arg-type]


def make_draws(n_pairs: int, device: str) -> PairBatch:
    """Make expression of the size, scale and sign of log2 draws."""
    control, perturbed = 3 * torch.rand(2, n_pairs, PAPER.n_genes)
    p, b = torch.randint(PAPER.n_perturbations, (n_pairs,)), torch.randint(PAPER.n_batches, (n_pairs,))
    return PairBatch(*(part.to(device) for part in (control, perturbed, p, b, torch.zeros(n_pairs, 0))))


def gather(draws: PairBatch) -> PairBatch:
    """Copy a random batch out of draws in memory, as training does."""
    rows = torch.randperm(len(draws.p))[:BATCH].to(draws.p.device)
    return PairBatch(*(part[rows] for part in draws))


def make_products(config: TrainConfig, device: str) -> list[tuple[Callable[[], object], int]]:
    """Make operands of each needed product, transposed as in a step, and an output; with how often each is needed."""
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    return [
        (plain_product(product, dtype, device), count) for product, count in step_products(PAPER, config, BATCH).items()
    ]


def plain_product(product: Product, dtype: torch.dtype, device: str) -> Callable[[], object]:
    """Make a call of torch.mm for one product."""
    m, k, n = product.rows, product.inner, product.columns
    a = torch.randn(k, m, device=device).to(dtype).T if product.kind == "weight" else torch.randn(m, k, device=device)
    b = torch.randn(n, k, device=device).T if product.kind == "forward" else torch.randn(k, n, device=device)
    a, b, out = a.to(dtype), b.to(dtype), torch.empty(m, n, dtype=dtype, device=device)
    return lambda: torch.mm(a, b, out=out)


def timed(run: Callable[[], object], device: str) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wait(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def wait(device: str) -> None:
    """Wait until a device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def peak_bytes(device: str) -> int:
    """Most memory held so far: of the process, or on the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def loss_terms(preset_name: str, precision: str, device: str) -> dict[str, float]:
    """Compute all loss terms of one batch without dropout, random numbers drawn on the CPU whatever the device."""
    config = settings(preset_name, precision)
    config = replace(config, model=replace(config.model, dropout=0.0))
    torch.manual_seed(0)
    nets = Generators(PAPER, config.model).to(device), Critics(PAPER, config.model).to(device)
    batch = make_draws(BATCH, device)
    randn, rand = torch.randn, torch.rand

    def on_cpu(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *shape, dtype, device: draw(*shape, dtype=dtype).to(device)

    with (
        patch.object(torch, "randn", on_cpu(randn)),
        patch.object(torch, "rand", on_cpu(rand)),
        torch.no_grad(),
        low_precision(config.precision, batch.control.device),
    ):
        terms, fakes = generator_terms(*nets, batch, config, 1.0)
        terms |= critic_terms(nets[1], batch, fakes, config)
    return {name: term.item() for name, term in terms.items()}


def agreement(device: str) -> list[str]:
    """Say how far each precision's loss terms on a device are from the CPU's in float32, largest relative difference."""
    lines = []
    for preset_name, precision in CASES.values():
        exact, found = loss_terms(preset_name, "float32", "cpu"), loss_terms(preset_name, precision, device)
        name, gap = max(((name, abs(found[name] / exact[name] - 1)) for name in exact), key=lambda pair: pair[1])
        lines.append(f"{preset_name}, {precision} on {device}: within {gap:.1e} of float32 on the CPU ({name})")
    return lines


def measure(case: str, device: str, threads: int, rounds: int) -> dict[str, str]:
    """Measure one case."""
    torch.set_num_threads(threads)
    bench = Bench(*CASES[case], device)
    for _ in range(rounds):
        bench.round()
    return bench.row()


def line(row: dict[str, str]) -> str:
    """Lay out a row of the table."""
    return f"{row['case']:28}" + "".join(f"{row[column]:>14}" for column in COLUMNS[1:])


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES), metavar="CASE")
    parser.add_argument("--agreement", action="store_true", help="loss terms on the device against the CPU's")
    given = parser.parse_args()
    print(
        f"One step: {PAPER}, batch {BATCH}, {given.threads} threads, device {given.device}, torch {torch.__version__}"
    )
    print(line(dict(zip(COLUMNS, COLUMNS, strict=True))), flush=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        for case in given.cases:
            print(line(fresh.submit(measure, case, given.device, given.threads, given.rounds).result()), flush=True)
    if given.agreement or given.device != "cpu":
        print("\n".join(agreement(given.device)))


if __name__ == "__main__":
    main()
