"""Damage files at random and give them to the commands: `python -m tests.faults.damaged_files --files 2000`.

Every command must end with an exit status that it documents. A traceback, a crash, a hang, or other tables from a file that
the project itself wrote with a digest, is a fault.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tests.faults.killed_runs import run_folder, start, tables, write_screen

SECONDS = 120
GIGABYTES = 16
STATUSES = (0, 1, 2)
TRACEBACK = 70
Damage = Callable[[Path, np.random.Generator], str]


@dataclass(frozen=True)
class Target:
    """A kind of file, and what is done with a damaged one."""

    name: str
    file: Path
    """The file, in `folder`."""
    folder: Path
    """Copied before the file is damaged."""
    command: Callable[[Path, Path], list[str]]
    """(copy of the folder, damaged file) → arguments of `cycseq-bench`."""
    guarded: bool = False
    """Whether the project wrote the file and keeps a digest of it: then the tables must stay as they were."""


# --- how files are damaged -------------------------------------------------------------------------------------------


def flip_bytes(path: Path, rng: np.random.Generator) -> str:
    """Change up to eight bytes."""
    data = bytearray(path.read_bytes())
    places = rng.integers(0, max(1, len(data)), rng.integers(1, 9))
    for place in places[: len(data)]:
        data[place] ^= int(rng.integers(1, 256))
    path.write_bytes(data)
    return f"{len(places)} bytes changed"


def cut(path: Path, rng: np.random.Generator) -> str:
    """Cut the end off."""
    data = path.read_bytes()
    size = int(rng.integers(0, max(1, len(data))))
    path.write_bytes(data[:size])
    return f"cut to {size} of {len(data)} bytes"


def blank(path: Path, rng: np.random.Generator) -> str:
    """Fill a stretch with zeros."""
    data = bytearray(path.read_bytes())
    low = int(rng.integers(0, max(1, len(data))))
    high = min(len(data), low + int(rng.integers(1, 4096)))
    data[low:high] = bytes(high - low)
    path.write_bytes(data)
    return f"bytes {low} to {high} are zero"


TEXTS = [
    b"\xff\xfe\x00",
    b"[" * 5000,
    b'{"a":' * 3000,
    b"nan",
    b"-1",
    b"1e400",
    b'"',
    b"\n\n",
    b",,,,",
    "é|<script>".encode(),
    b"null",
]


def change_text(path: Path, rng: np.random.Generator) -> str:
    """Replace, double or leave out a stretch of text."""
    data = path.read_bytes()
    low = int(rng.integers(0, max(1, len(data))))
    high = min(len(data), low + int(rng.integers(0, 40)))
    new = [*TEXTS, data[low:high] * 2, b""][int(rng.integers(0, len(TEXTS) + 2))]
    path.write_bytes(data[:low] + new + data[high:])
    return f"bytes {low} to {high} became {new[:20]!r}"


def change_hdf5(path: Path, rng: np.random.Generator) -> str:
    """Change one dataset or attribute of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        places: list[str] = []
        file.visit(places.append)
        place = places[int(rng.integers(0, len(places)))]
        item = file[place]
        attributes = list(item.attrs)
        if attributes and rng.random() < 0.3:
            name = attributes[int(rng.integers(0, len(attributes)))]
            del item.attrs[name]
            if rng.random() < 0.6:
                item.attrs[name] = ["odd", -1, np.array([3, -5]), "9.9.9"][int(rng.integers(0, 4))]
            return f"attribute {name} of {place}"
        if rng.random() < 0.15 or isinstance(item, h5py.Group):
            del file[place]
            return f"{place} left out"
        return f"{place}: {_change_dataset(file, place, item, rng)}"


def _change_dataset(file: h5py.File, place: str, item: h5py.Dataset, rng: np.random.Generator) -> str:
    values, attributes = item[()], dict(item.attrs)
    how = int(rng.integers(0, 4))
    if np.ndim(values) and how == 0:
        values, text = values[: int(rng.integers(0, len(values) + 1))], "shorter"
    elif np.ndim(values) and how == 1:
        values, text = np.concatenate([values, values[: max(1, len(values) // 3)]]), "longer"
    elif np.size(values) and np.issubdtype(np.asarray(values).dtype, np.number):
        odd = [np.nan, np.inf, -1, -(10**9), 2**31, 2**62, 1e30, 0.5][int(rng.integers(0, 8))]
        values = np.asarray(values, dtype=np.float64 if isinstance(odd, float) else np.int64).copy()
        values.reshape(-1)[int(rng.integers(0, values.size))] = odd
        text = f"a value is {odd}"
        if not np.isnan(odd) and rng.random() < 0.7 and np.issubdtype(item.dtype, np.integer):
            with np.errstate(all="ignore"):
                values = values.astype(item.dtype)
    else:
        values, text = b"odd", "one text"
    del file[place]
    new = file.create_dataset(place, data=values)
    for name, value in attributes.items():
        with suppress(TypeError, ValueError, OSError):
            new.attrs[name] = value
    return text


def damages(path: Path) -> list[Damage]:
    """List what can be done to a file."""
    general: list[Damage] = [flip_bytes, cut, blank]
    if path.suffix in (".h5ad", ".h5"):
        return [*general, *[change_hdf5] * 6]
    return [*general, *[change_text] * 4] if path.suffix in (".csv", ".json", ".toml", ".txt") else general


# --- what is done with them ------------------------------------------------------------------------------------------


def make_targets(folder: Path) -> list[Target]:
    """Make whole files of every kind: a screen, a run, and a trained CycSeq."""
    base = folder / "base"
    base.mkdir()
    write_screen(base / "screen.h5ad")
    start(base / "screen.h5ad", base).wait()
    keys = ["--context-key", "line"]
    score = ["--no-figures", "--no-calibrate", *keys]

    def run_of(place: Path) -> str:
        return str(run_folder(place))

    def resume(place: Path, _: Path) -> list[str]:
        models = "no_change,train_mean,linear,knn"
        own = ["run", "--h5ad", str(base / "screen.h5ad"), *keys, "--models", models]
        return [*own, "--no-figures", "--threads", "1", "--out", str(place), "--resume", "--executor", "inline"]

    screen = base / "screen.h5ad"
    targets = [
        Target("score: truth", screen, base, lambda p, f: ["score", str(screen), "--truth", str(f), *score, "--out", str(p)]),
        Target("score: prediction", screen, base, lambda p, f: ["score", str(f), "--truth", str(screen), *score, "--out", str(p)]),
        Target("data summary", screen, base, lambda p, f: ["data", "summary", "--h5ad", str(f), *keys, "--out", str(p / "s")]),
    ]  # fmt: skip
    run = run_folder(base)
    if run is None:
        raise RuntimeError(f"The run in {base} made nothing; see its log.txt.")
    for path in sorted(
        p for p in run.rglob("*") if p.is_file() and p.suffix not in (".md", ".png") and p.stat().st_size
    ):
        relative = path.relative_to(run)
        targets.append(Target(f"resume: {relative.parts[0]}", path, base, resume, guarded=True))
        if path.suffix in (".csv", ".json") and len(relative.parts) == 1:
            targets.append(Target("report", path, base, lambda p, f: ["report", run_of(p)]))
            targets.append(Target("regress", path, base, lambda p, f: ["regress", run_of(p), str(run)]))
    return [*targets, Target("CycSeq.load", _model(folder), folder / "model", lambda p, f: ["CycSeq.load", str(f)])]


def _model(folder: Path) -> Path:
    """Train a small CycSeq and save it."""
    from anndata import read_h5ad

    from cycseq import CycSeq, ModelConfig, Stage, TrainConfig

    cells = read_h5ad(folder / "base" / "screen.h5ad")
    cells.X = np.log2(1 + cells.X / cells.X.sum(axis=1, keepdims=True) * 1e4)
    cells.obs = cells.obs.rename(columns={"line": "context"}).assign(batch="1")
    config = TrainConfig(
        model=ModelConfig(hidden=(16, 8), latent=4, embedding=4, n_blocks=1, n_tokens=2),
        cells_per_draw=10,
        draws_per_condition=4,
        pretrain=Stage("pretrain", epochs=1, batch_size=32, learning_rate=1e-3, optimizer="adam", patience=10),
        finetune=Stage("finetune", epochs=1, batch_size=16, learning_rate=1e-3, optimizer="adam", patience=5),
    )
    model = CycSeq(config, seed=0)
    model.pretrain(cells)
    path = folder / "model" / "model.pt"
    path.parent.mkdir()
    model.save(path)
    return path


def outcome_of(arguments: list[str], log: Path) -> str:
    """Run a command in a process of its own: its exit status, or "traceback", "crash" or "hang"."""
    child = os.fork()
    if not child:
        status = TRACEBACK
        try:
            resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30,) * 2)
            signal.alarm(SECONDS)
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            status = _call(arguments)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001 - whatever escapes is what is looked for
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        return "hang" if os.WTERMSIG(ended) == signal.SIGALRM else f"crash (signal {os.WTERMSIG(ended)})"
    status = os.WEXITSTATUS(ended)
    return str(status) if status in STATUSES else "traceback"


def _call(arguments: list[str]) -> int:
    if arguments[0] == "CycSeq.load":
        from cycseq import CycSeq
        from cycseq.errors import CycSeqError

        try:
            CycSeq.load(Path(arguments[1]))
        except CycSeqError as error:
            print(error)
            return 2
        return 0
    from benchmarks.cli.app import app

    app(arguments)
    return 0


def damage_files(n: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Damage so many files; returns counts of (target, outcome), and the faults."""
    rng, counts, faults = np.random.default_rng(seed), Counter[str](), list[str]()
    targets = make_targets(folder)
    run = run_folder(folder / "base")
    expected = tables(run) if run else {}
    by_name: dict[str, list[Target]] = {}
    for target in targets:
        by_name.setdefault(target.name, []).append(target)
    for number in range(n):
        kind = by_name[list(by_name)[number % len(by_name)]]
        target = kind[int(rng.integers(0, len(kind)))]
        copy = folder / "copy"
        shutil.copytree(target.folder, copy)
        damaged = copy / target.file.relative_to(target.folder)
        options = damages(damaged)
        what = options[int(rng.integers(0, len(options)))](damaged, rng)
        outcome = outcome_of(target.command(copy, damaged), folder / "log.txt")
        if outcome == "0" and target.guarded:
            found = run_folder(copy)
            moved = [name for name, data in tables(found).items() if expected.get(name) != data] if found else []
            outcome = f"moved {', '.join(moved)}" if moved else outcome
        counts[f"{target.name}: {outcome}"] += 1
        if not outcome.isdigit():
            lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
            faults.append(
                f"{number}: {target.name}, {target.file.name}, {what}: {outcome}: {' | '.join(lines[-2:])[-300:]}"
            )
            print(faults[-1], flush=True)
        shutil.rmtree(copy)
    return counts, faults


def main() -> int:
    """Damage files, print what happened; the exit status is 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="damaged-files-") as folder:
        counts, faults = damage_files(options.files, options.seed, Path(folder))
    for name, n in sorted(counts.items()):
        print(f"{n:5d} {name}")
    print(f"{len(faults)} faults in {options.files} files")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
