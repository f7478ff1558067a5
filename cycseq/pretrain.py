"""Pre-train from a store of draws: `python -m cycseq.pretrain --draws STORE --save model.pt`.

The same under torchrun trains with several processes: `torchrun --nproc-per-node 2 -m cycseq.pretrain …`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from anndata import read_h5ad

from cycseq.api import CycSeq
from cycseq.config import PRESETS, TrainConfig, from_json, preset
from cycseq.data.draw_store import DrawStore, check_storable
from cycseq.devices import current, joined, resolve
from cycseq.errors import ConfigError, CycSeqError, DataError
from cycseq.files import check_place


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train; what is not usable ends with its reason and exit status 2."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        config = from_json(_text(given.config)) if given.config else preset(given.preset)
        check_storable(config)
        check_place(given.save)
        with joined(resolve(given.device)) as device:
            store = DrawStore.open(current().from_first(lambda: _store(given, config).path))
            model = CycSeq(store.configure(config), store.seed, device, lambda *said: _say(said[2]))
            history = model.pretrain(store, state=given.state, log=given.log)
            if current().first:
                model.save(given.save)
                for warning in history.warnings():
                    _say(f"warning: {warning}")
    except CycSeqError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cycseq.pretrain", description=__doc__)
    parser.add_argument("--draws", type=Path, required=True, help="folder of the draws")
    parser.add_argument("--save", type=Path, required=True, help="model file to write")
    parser.add_argument("--cells", type=Path, help="make the draws from these cells (h5ad), if they are not there yet")
    parser.add_argument("--seed", type=int, help="of draws and training; default: that of the draws, or 0 for new ones")
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    settings.add_argument("--config", type=Path, help="configuration as JSON, as cycseq.config.to_json writes it")
    parser.add_argument("--state", type=Path, help="file that makes training resumable")
    parser.add_argument("--log", type=Path, help="folder of a TensorBoard log")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    return parser


def _store(given: argparse.Namespace, config: TrainConfig) -> DrawStore:
    """Open the draws; with cells, make them, or see that those in the folder are of these cells."""
    if given.cells is not None:
        if not given.cells.is_file():
            raise DataError(f"--cells {given.cells}: there is no such file; expected an h5ad file.")
        try:
            cells = read_h5ad(given.cells)
        except OSError as error:
            raise DataError(f"--cells {given.cells}: cannot be read ({error}); expected an h5ad file.") from error
        return DrawStore.from_adata(given.draws, cells, config, given.seed or 0)
    store = DrawStore.open(given.draws)
    if given.seed not in (None, store.seed):
        raise ConfigError(
            f"--seed {given.seed}: the draws in '{given.draws}' have {store.seed}. Leave it out, or make others."
        )
    for name, value in store.settings.items():
        if value != getattr(config, name):
            _say(f"{name}: {value}, as the draws have it (not {getattr(config, name)})")
    return store


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path}: cannot be read ({error}); expected a JSON file.") from error


if __name__ == "__main__":
    main()
