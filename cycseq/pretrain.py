"""Pre-train from a store of draws: `python -m cycseq.pretrain --draws STORE --save model.pt`.

The same under torchrun trains with several processes: `torchrun --nproc-per-node 2 -m cycseq.pretrain …`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from anndata import read_h5ad

from cycseq import parallel
from cycseq.api import CycSeq
from cycseq.config import PRESETS, TrainConfig, from_json, preset
from cycseq.devices import resolve
from cycseq.draws import DrawStore


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    given = _parser().parse_args(arguments)
    config = from_json(given.config.read_text()) if given.config else preset(given.preset)
    with parallel.joined(resolve(given.device)) as device:
        peers = parallel.current()
        store = peers.from_first(lambda: _store(given, config).path)
        _pretrain(DrawStore.open(store), config, device, given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cycseq.pretrain", description=__doc__)
    parser.add_argument("--draws", type=Path, required=True, help="folder of the draws")
    parser.add_argument("--save", type=Path, required=True, help="model file to write")
    parser.add_argument("--cells", type=Path, help="make the draws from these cells (h5ad) if they are not there yet")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draws, where they are made; training has the draws'"
    )
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    settings.add_argument("--config", type=Path, help="configuration as JSON, as cycseq.config.to_json writes it")
    parser.add_argument("--state", type=Path, help="file that makes training resumable")
    parser.add_argument("--log", type=Path, help="folder of a TensorBoard log")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    return parser


def _store(given: argparse.Namespace, config: TrainConfig) -> DrawStore:
    if given.cells is None or given.draws.exists():
        return DrawStore.open(given.draws)
    return DrawStore.from_adata(given.draws, read_h5ad(given.cells), config, given.seed)


def _pretrain(store: DrawStore, config: TrainConfig, device: str, given: argparse.Namespace) -> None:
    """Train in every process; the first one reports and writes the model."""
    model = CycSeq(store.configure(config), store.seed, device, _report)
    history = model.pretrain(store, state=given.state, log=given.log)
    if parallel.current().first:
        model.save(given.save)
        for warning in history.warnings():
            print(f"warning: {warning}", file=sys.stderr)


def _report(done: int, total: int, text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
