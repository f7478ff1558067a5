"""Damage files at random and give them to the commands: `python -m tests.faults.damaged_files --files 2000 --seed 0`.

Every command must end with an exit status that it documents. A traceback, a crash, a hang, too much memory, a file that
contradicts itself and is accepted, or other tables from a file whose content is what it was, is a fault. `--only N` repeats
one case of a seed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp

from cycseq.config import ModelConfig, Stage, TrainConfig
from tests.faults import damage
from tests.faults.damage import REFUSED, SAME, STRUCTURE, Damage, change_sparse, damages
from tests.faults.processes import MODELS, fork, import_commands, run_folder, tables, warm_up, write_screen
from tests.unit.datasets import upstream_files

SECONDS = 60
GIGABYTES = 3
"""Memory that a command may take beyond what is taken when it starts."""
STATUSES = (0, 1, 2)
READ = "read.csv"
"""What a call has read, for one whose file the project keeps digests of."""
KEYS = ("--context-key", "line")
SCORE = ("--no-figures", "--no-calibrate", *KEYS)


@dataclass(frozen=True)
class Target:
    """A kind of file, and what is done with a damaged one."""

    name: str
    file: Path
    """The file, in `folder`."""
    folder: Path
    """Copied before the file is damaged."""
    command: Callable[[Path, Path], list[str]]
    """(copy of the folder, damaged file) → arguments of `cycseq-bench`, or of one of `CALLS`."""
    guarded: bool = False
    """Whether the project wrote the file and keeps a digest of it: then the tables must stay as they were."""
    weight: int = 1


@dataclass
class Report:
    """What happened to damaged files."""

    counts: Counter[str] = field(default_factory=Counter)
    """Files by target and outcome."""
    faults: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    """By target."""


# --- calls that are no commands --------------------------------------------------------------------------------------


def _load_model(path: Path) -> None:
    from cycseq import CycSeq

    CycSeq.load(path)


def _read_draws(path: Path) -> None:
    """Open a store and read every pair of it; what was read goes to `READ`."""
    from cycseq import DrawStore

    store, hasher = DrawStore.open(path.parent), hashlib.sha256()
    for part in (store.train(), store.validation()):
        for batch in part.epoch(16):
            for values in batch:
                hasher.update(values.numpy().tobytes())
    about = [store.vocabulary, store.settings, store.seed, store.cells, store.train().statistics]
    (path.parents[1] / READ).write_text(f"{hasher.hexdigest()}\n{about}\n")


def _resume_training(path: Path) -> None:
    """Train from draws that lie beside a training's state."""
    from cycseq import CycSeq, DrawStore

    store = DrawStore.open(path.parent / "draws")
    CycSeq(_small_config(), store.seed, "cpu").pretrain(store, state=path)


def _read_config(path: Path) -> None:
    from cycseq.config import from_json
    from cycseq.pretrain import _text

    from_json(_text(path))


def _read_data_set(path: Path) -> None:
    """Read the files of a data set, in a folder of its name."""
    from benchmarks.data.cards import read_card
    from benchmarks.data.sources import load_reader

    folder = path.parent
    places = {file.key: folder / file.filename for file in read_card(folder.name).files}
    reading = load_reader(folder.name).read({key: place for key, place in places.items() if place.exists()})
    for block in reading.blocks:
        if not np.isfinite(block.X.data).all():
            raise RuntimeError(f"{path} was read, and has values that are not finite")


def _read_gene_sets(path: Path) -> None:
    from benchmarks.analyses.gene_set_enrichment.prerank import read_gene_sets

    read_gene_sets(path)


def _read_card(path: Path) -> None:
    from benchmarks.data.cards import read_card

    read_card(path.parent.name, path.parent.parent)


def _read_annotation(path: Path) -> None:
    from benchmarks.data.annotation import read_annotation

    read_annotation(path)


CALLS: dict[str, Callable[[Path], None]] = {
    "CycSeq.load": _load_model,
    "DrawStore": _read_draws,
    "CycSeq.pretrain": _resume_training,
    "config": _read_config,
    "data set": _read_data_set,
    "read_gene_sets": _read_gene_sets,
    "read_card": _read_card,
    "read_annotation": _read_annotation,
}


def call(arguments: list[str]) -> int:
    """Do a command or one of `CALLS`; errors of the project are status 2."""
    from benchmarks.cli.app import app
    from benchmarks.errors import BenchmarkError
    from cycseq.errors import CycSeqError

    if arguments[0] not in CALLS:
        app(arguments)
        return 0
    try:
        CALLS[arguments[0]](Path(arguments[1]))
    except (CycSeqError, BenchmarkError) as error:
        print(error)
        return 2
    return 0


def outcome_of(arguments: list[str], log: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command in a child: its exit status, or "traceback", "crash", "hang" or "memory"."""

    def limited() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (GIGABYTES << 30),) * 2)
        signal.alarm(SECONDS)
        return call(arguments)

    ended = os.waitpid(fork(limited, log, environment), 0)[1]
    if os.WIFSIGNALED(ended):
        return "hang" if os.WTERMSIG(ended) == signal.SIGALRM else f"crash (signal {os.WTERMSIG(ended)})"
    status, said = os.WEXITSTATUS(ended), log.read_text(errors="replace")
    if "Traceback (most recent call last)" in said or status not in STATUSES:
        return "memory" if "MemoryError" in said else f"traceback (status {status})"
    return str(status)


# --- what is damaged -------------------------------------------------------------------------------------------------


def make_targets(folder: Path) -> list[Target]:
    """Make whole files of every kind: screens, a run with its cache, a trained CycSeq, a card and annotations."""
    files = folder / "files"
    files.mkdir()
    screen = files / "screen.h5ad"
    write_screen(screen, perturbations=3, genes=40)
    cells = ad.read_h5ad(screen)
    for name, make in (("csr", sp.csr_matrix), ("csc", sp.csc_matrix)):
        cells.X = make(cells.X)
        cells.write_h5ad(files / f"{name}.h5ad")
    base = folder / "base"
    run = ["run", "--h5ad", str(screen), *KEYS, "--models", MODELS, "--folds", "1", "--no-figures", "--threads", "1"]
    run += ["--direction", "n2p"]
    run += ["--executor", "inline", "--resume", "--out"]
    environment = {"CYCSEQ_CACHE": str(base / "cache")}
    if outcome_of([*run, str(base)], folder / "log.txt", environment) != "0":
        raise RuntimeError(f"The first run failed:\n{(folder / 'log.txt').read_text()}")
    (files / "card").mkdir()
    shutil.copy(Path(__file__).parents[2] / "datasets" / "kang" / "card.toml", files / "card" / "card.toml")
    text = (files / "card" / "card.toml").read_text(encoding="utf-8")
    (files / "card" / "card.toml").write_text(text.replace('name = "kang"', 'name = "card"', 1), encoding="utf-8")
    (files / "terms.json").write_text('{"GENE0": ["GO:1", "GO:2"], "GENE1": ["GO:1"]}', encoding="utf-8")
    row = [
        "UniProtKB",
        "Q1",
        "GENE0",
        "",
        "GO:1",
        "r",
        "IEA",
        "",
        "P",
        "n",
        "",
        "protein",
        "taxon:9606",
        "20200101",
        "U",
    ]
    (files / "terms.gaf").write_text("!gaf-version: 2.2\n" + ("\t".join(row) + "\n") * 3, encoding="utf-8")
    (files / "sets.gmt").write_text("one\tabout\tGENE0\tGENE1\ntwo\t\tGENE2\n", encoding="utf-8")
    (files / "sets.gmt.gz").write_bytes(gzip.compress((files / "sets.gmt").read_bytes(), mtime=0))
    (files / "terms.gaf.gz").write_bytes(gzip.compress((files / "terms.gaf").read_bytes(), mtime=0))
    data = _data_files(folder / "data")
    return [*_user_files(files, run), *_run_files(base, run), *_library_files(folder, screen), *data]


def _user_files(files: Path, run: list[str]) -> list[Target]:
    """Files that users give."""
    screen = str(files / "screen.h5ad")

    def score(*given: str) -> Callable[[Path, Path], list[str]]:
        return lambda place, file: [
            "score", *(str(file) if word == "FILE" else word for word in given), *SCORE, "--out", str(place / "out")
        ]  # fmt: skip

    found = [
        Target("read_card", files / "card" / "card.toml", files / "card", lambda p, f: ["read_card", str(f)]),
        *(
            Target("read_annotation", files / f"terms.{kind}", files, lambda p, f: ["read_annotation", str(f)])
            for kind in ("json", "gaf", "gaf.gz")
        ),
        *(
            Target("read_gene_sets", files / f"sets.{kind}", files, lambda p, f: ["read_gene_sets", str(f)])
            for kind in ("gmt", "gmt.gz")
        ),
    ]
    for name in ("screen", "csr", "csc"):
        path = files / f"{name}.h5ad"
        found += [
            Target("score: truth", path, path, score(screen, "--truth", "FILE"), weight=3),
            Target("score: prediction", path, path, score("FILE", "--truth", screen), weight=3),
            Target("score: train", path, path, score(screen, "--truth", screen, "--train", "FILE")),
            Target("data summary", path, path, lambda p, f: ["data", "summary", "--h5ad", str(f), *KEYS, "--out", str(p / "s")]),
            Target("run --h5ad", path, path, lambda p, f: [
                *(str(f) if word == screen else word for word in run), str(p / "out"), "--models", "no_change"
            ], weight=2),
        ]  # fmt: skip
    return found


def _run_files(base: Path, run: list[str]) -> list[Target]:
    """Every file that a run leaves behind, in its folder and in the cache."""

    def resume(place: Path, _: Path) -> list[str]:
        return [*run, str(place)]

    def folder_of(place: Path) -> str:
        return str(run_folder(place))

    found, kept = [], run_folder(base)
    assert kept is not None
    for path in sorted(p for p in base.rglob("*") if p.is_file() and p.suffix not in (".md", ".png", ".lock")):
        in_run = path.is_relative_to(kept)
        parts = path.relative_to(kept if in_run else base).parts
        name = parts[0] if len(parts) > 1 else path.name
        if not path.stat().st_size:
            continue
        if not (in_run and path.suffix == ".csv" and len(parts) == 1):  # tables of results are written again
            found.append(Target(f"resume: {name}", path, base, resume, guarded=True))
        if in_run and path.suffix in (".csv", ".json") and len(parts) == 1:
            found.append(Target("report", path, base, lambda p, f: ["report", folder_of(p), "--draws", "50"]))
            found.append(Target("regress", path, base, lambda p, f: ["regress", folder_of(p), str(kept)]))
            found.append(Target("regress", path, base, lambda p, f: ["regress", str(kept), folder_of(p)]))
    reference = base / "reference.csv.gz"
    if outcome_of(["regress", str(kept), "--write", str(reference)], base / "log.txt") != "0":
        raise RuntimeError((base / "log.txt").read_text())
    found.append(Target("regress", reference, base, lambda p, f: ["regress", str(kept), str(f)], weight=8))
    board = kept / "leaderboard.csv"
    return [*found, Target("regress", board, base, lambda p, f: ["regress", str(kept), str(f)], weight=5)]


def _library_files(folder: Path, screen: Path) -> list[Target]:
    """A trained CycSeq, draws, a training's state and a configuration."""
    from anndata import read_h5ad

    from cycseq import CycSeq, DrawStore
    from cycseq.config import to_json

    cells = read_h5ad(screen)
    cells.X = np.log2(1 + cells.X / cells.X.sum(axis=1, keepdims=True) * 1e4)
    cells.obs = cells.obs.rename(columns={"line": "context"}).assign(batch="1")
    config = _small_config()
    path = folder / "model" / "model.pt"
    path.parent.mkdir()
    draws, state = path.parent / "draws", path.parent / "pretrain.state"
    DrawStore.from_adata(draws, cells, config)
    (path.parent / "config.json").write_text(to_json(config), encoding="utf-8")

    def train() -> int:
        CycSeq(config, seed=0).pretrain(DrawStore.open(draws), state=state)
        model = CycSeq(config, seed=0)
        model.pretrain(cells)
        model.fine_tune(cells, context="L1")
        model.save(path)
        return 0

    os.waitpid(fork(train, folder / "log.txt"), 0)  # training starts threads, which a process that forks cannot have
    return [
        Target("CycSeq.load", path, path, lambda p, f: ["CycSeq.load", str(f)]),
        Target("CycSeq.pretrain", state, path.parent, lambda p, f: ["CycSeq.pretrain", str(f)]),
        Target("config", path.parent / "config.json", path.parent, lambda p, f: ["config", str(f)]),
        *(
            Target("DrawStore", file, path.parent, lambda p, f: ["DrawStore", str(f)], guarded=True)
            for file in sorted(draws.iterdir())
            if file.stat().st_size
        ),
    ]


def _small_config() -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(hidden=(16, 8), latent=4, embedding=4, n_blocks=1, n_tokens=2),
        cells_per_draw=10,
        draws_per_condition=4,
        pretrain=Stage("pretrain", epochs=1, batch_size=32, learning_rate=1e-3, optimizer="adam", patience=10),
        finetune=Stage("finetune", epochs=1, batch_size=16, learning_rate=1e-3, optimizer="adam", patience=5),
    )


def _data_files(folder: Path) -> list[Target]:
    """Every file of some data sets, small ones in the form in which the studies publish them."""
    studies = {
        "norman": upstream_files.norman,
        "cropseq": upstream_files.cropseq,
        "kinker": upstream_files.kinker,
        "sciplex3": upstream_files.sciplex3,
        "replogle_k562": partial(upstream_files.replogle, line="K562"),
    }
    return [
        Target(f"data set: {name}", path, folder / name, lambda p, f: ["data set", str(f)])
        for name, write in studies.items()
        for path in write(folder / name).files.values()
    ]


# --- one case after another ------------------------------------------------------------------------------------------


SHARES = {
    "resume": 0.13,
    "report": 0.1,
    "regress": 0.1,
    "run --h5ad": 0.1,
    "data summary": 0.05,
    "score": 0.22,
    "CycSeq.load": 0.1,
    "DrawStore": 0.06,
    "data set": 0.06,
}
"""How often each kind of command is chosen; the rest is the others'."""


def _sparse(kind: str) -> Damage:
    return partial(change_sparse, kind=kind)


SAMPLE: list[tuple[str, str, Damage]] = [
    *(("score: truth", "csr.h5ad", _sparse(kind)) for kind in STRUCTURE),
    *(("score: prediction", "csc.h5ad", _sparse(kind)) for kind in list(STRUCTURE)[:1]),
    ("data summary", "csc.h5ad", _sparse("wrong shape")),
    ("run --h5ad", "csr.h5ad", _sparse("index too large")),
    ("score: truth", "screen.h5ad", damage.change_hdf5),
    ("score: truth", "screen.h5ad", damage.cut),
    ("read_card", "card.toml", damage.change_toml),
    ("read_card", "card.toml", damage.recode),
    ("read_annotation", "terms.json", damage.change_json),
    ("read_annotation", "terms.gaf", damage.recode),
    *(("report", f"{name}.csv", damage.recode) for name in ("scores", "models")),
    ("report", "planted.csv", damage.change_csv),
    ("report", "notes.json", damage.change_json),
    ("regress", "costs.csv", damage.flip_bytes),
    ("regress", "manifest.json", damage.change_json),
    ("resume", "manifest.json", damage.cut),
    ("resume", "outcome.json", damage.change_json),
    ("resume", "values.npz", damage.cut),
    ("resume", "means.npy", damage.cut),
    ("resume", "values.npz", damage.change_zip),
    *(("CycSeq.load", "model.pt", damage.change_model) for _ in range(3)),
    ("CycSeq.load", "model.pt", damage.change_zip),
    ("CycSeq.load", "model.pt", damage.pickle_instead),
    ("CycSeq.load", "model.pt", damage.other_file),
    ("CycSeq.pretrain", "pretrain.state", damage.change_model),
    *(("DrawStore", f"{name}.npy", damage.change_npy) for name in ("p", "means")),
    ("DrawStore", "control.npy", damage.flip_bytes),
    ("DrawStore", "store.json", damage.change_json),
    ("data set", "*matrix.mtx.gz", damage.change_text),
    ("data set", "*barcodes.tsv.gz", damage.cut),
    ("read_gene_sets", "sets.gmt.gz", damage.flip_bytes),
]
"""Target, file and damage of a fixed sample: each kind of damage, and those that once were faults."""


class Cases:
    """Damaged files by number; every number is a case of its own, whichever others are tried."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.targets = make_targets(folder)
        self.by_kind: dict[str, dict[str, list[Target]]] = {}
        for target in self.targets:
            kind = target.name.split(":")[0]
            kind = kind if kind in SHARES else "others"
            self.by_kind.setdefault(kind, {}).setdefault(target.name, []).extend([target] * target.weight)
        self.known: dict[tuple[str, Path], dict[str, bytes]] = {}
        """Tables of undamaged files, by command and folder: whichever file of a run is damaged, they are the same."""
        self.environment = {"TMPDIR": str(folder / "tmp")}
        (folder / "tmp").mkdir()

    def choose(self, number: int) -> tuple[Target, np.random.Generator]:
        """Choose the target of a case."""
        rng = np.random.default_rng([self.seed, number])
        rest = 1 - sum(SHARES.values())
        kind = rng.choice([*SHARES, "others"], p=[*SHARES.values(), rest])
        names = self.by_kind[str(kind)]
        targets = names[list(names)[int(rng.integers(0, len(names)))]]
        return targets[int(rng.integers(0, len(targets)))], rng

    def run(self, number: int, report: Report) -> None:
        """Do a case."""
        target, rng = self.choose(number)
        options = damages(target.file)
        self.damage(target, options[int(rng.integers(0, len(options)))], rng, report, str(number))

    def sample(self, report: Report) -> None:
        """Do the cases of `SAMPLE`."""
        for n, (name, pattern, change) in enumerate(SAMPLE):
            found = [t for t in self.targets if t.name.startswith(name) and t.file.match(pattern)]
            if not found:
                raise RuntimeError(f"SAMPLE has {name}, {pattern}, and no such file was made.")
            self.damage(found[0], change, np.random.default_rng(n), report, f"sample {n}")

    def damage(self, target: Target, change: Damage, rng: np.random.Generator, report: Report, label: str) -> None:
        """Damage one file and note what a command makes of it."""
        begun, copy = time.monotonic(), self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        damaged = self._copy(target, copy)
        what, follows = change(damaged, rng)
        outcome = self._outcome(target, copy, damaged)
        wrong = self._wrong(target, outcome, follows, copy)
        report.counts[f"{target.name}: {wrong or outcome}"] += 1
        report.seconds[target.name] += time.monotonic() - begun
        if wrong:
            lines = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()
            tail = " | ".join(lines[-2:])[-300:]
            report.faults.append(f"{label}: {target.name}, {target.file.name}, {what}: {wrong}: {tail}")

    def _copy(self, target: Target, copy: Path) -> Path:
        if target.folder.is_dir():
            shutil.copytree(target.folder, copy / target.folder.name)
            return copy / target.folder.name / target.file.relative_to(target.folder)
        copy.mkdir()
        return Path(shutil.copy(target.file, copy / target.file.name))

    def _outcome(self, target: Target, copy: Path, damaged: Path) -> str:
        place = copy / target.folder.name if target.folder.is_dir() else copy
        cache_folder = place / "cache" if (place / "cache").is_dir() else copy / "cache"
        environment = self.environment | {"CYCSEQ_CACHE": str(cache_folder)}
        return outcome_of(target.command(place, damaged), self.folder / "log.txt", environment)

    def _wrong(self, target: Target, outcome: str, follows: str, copy: Path) -> str:
        """Say what is wrong with an outcome; "" if nothing is."""
        if (copy / "ran").exists() or list(copy.rglob("ran")):
            return "code in the file was run"
        if not outcome.isdigit():
            return outcome
        if follows == REFUSED and outcome == "0":
            return "accepted, though it contradicts itself"
        if outcome == "0" and (target.guarded or follows == SAME):
            moved = [name for name, data in self.expected(target).items() if found_tables(copy).get(name) != data]
            return f"moved {', '.join(moved)}" if moved else ""
        return ""

    def expected(self, target: Target) -> dict[str, bytes]:
        """Return the tables of the undamaged file."""
        command = target.name.split(":")[0] if target.guarded else target.name, target.folder
        if command not in self.known:
            self.known[command] = self._expected(target)
        return self.known[command]

    def _expected(self, target: Target) -> dict[str, bytes]:
        place = self.folder / "whole"
        shutil.rmtree(place, ignore_errors=True)
        damaged = self._copy(target, place)
        if (outcome := self._outcome(target, place, damaged)) != "0":
            raise RuntimeError(
                f"{target.name}: an undamaged file gave {outcome}:\n{(self.folder / 'log.txt').read_text()}"
            )
        return found_tables(place)


def found_tables(place: Path) -> dict[str, bytes]:
    """Read the tables of whatever was made in a folder; those of a run do not depend on the name of its file."""
    for name in ("scores.csv", "contexts.csv", READ):
        if folders := [path.parent for path in place.rglob(name)]:
            return tables(folders[0])
    return {}


def damage_files(numbers: Sequence[int], seed: int, folder: Path, *, loud: bool = False) -> Report:
    """Try cases of a seed by number, or where there are none those of `SAMPLE`, in an empty folder."""
    import_commands()
    write_screen(folder / "warm.h5ad")
    warm_up(folder / "warm.h5ad", folder / "warm")
    cases, report = Cases(folder, seed), Report()
    if not numbers:
        cases.sample(report)
    for number in numbers:
        before = len(report.faults)
        cases.run(number, report)
        for line in report.faults[before:] if loud else ():
            print(line, flush=True)
    return report


def main() -> int:
    """Damage files, print what happened; the exit status is 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, action="append", help="repeat this case; several times for several")
    parser.add_argument("--sample", action="store_true", help="only the fixed sample: each kind of damage once")
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which is kept")
    options = parser.parse_args()
    numbers: Sequence[int] = (
        () if options.sample else options.only or range(options.first, options.first + options.files)
    )
    with tempfile.TemporaryDirectory(prefix="damaged-files-") as temporary:
        report = damage_files(numbers, options.seed, options.keep or Path(temporary), loud=True)
    for name, n in sorted(report.counts.items()):
        print(f"{n:5d} {name}")
    for name, seconds in report.seconds.most_common(8):
        print(f"{seconds:7.1f} s {name}")
    print(*(report.faults if options.sample else ()), sep="\n")
    print(
        f"seed {options.seed}: {len(report.faults)} faults in {len(numbers)} files, {sum(report.seconds.values()):.0f} s"
    )
    return bool(report.faults)


if __name__ == "__main__":
    sys.exit(main())
