"""One optimisation step at the paper's size beside plain torch.mm, by pytest-benchmark: `make bench`.

All cases run in one process here, so that a peak is that of the cases so far; `python -m tests.bench.cycseq_step`, which
`make bench` runs too, gives each a process.
"""

from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_limits

from tests.bench.cycseq_step import BATCH, CASES, COLUMNS, PAPER, Bench, gather, line

pytestmark = pytest.mark.bench
THREADS, ROUNDS = 2, 5


@pytest.fixture(autouse=True)
def two_threads():
    """State the threads: two, for everything here."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    with threadpool_limits(THREADS), torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(before)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", CASES)
def test_step(benchmark, case, capsys):
    bench = Bench(*CASES[case])
    for _ in range(ROUNDS):
        bench.round()
    benchmark.pedantic(bench.stepper.step, setup=lambda: ((gather(bench.draws),), {}), rounds=ROUNDS)
    row = bench.row()
    benchmark.extra_info.update(row, threads=THREADS, batch=BATCH, sizes=str(PAPER))
    with capsys.disabled():
        print("\n" + line(dict(zip(COLUMNS, COLUMNS, strict=True))) + "\n" + line(row))
    assert float(row["step s"]) > 0
