"""One scorer on one pair of files, in a process of its own: `python -m tests.bench.scorers NAME TRUTH PREDICTION OUT`.

Packages are imported inside the functions, so that a process pays for its own scorer only. Writes OUT.csv (perturbation,
metric, value) and OUT.json (seconds of importing and of scoring, peak memory, version).
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Job:
    """What a scorer is given."""

    truth: Path
    prediction: Path
    column: str
    control: str
    threads: int
    train: Path | None = None


@dataclass(frozen=True)
class Scorer:
    """A way to score: what it needs installed, what it imports, what it does.

    Parameters
    ----------
    package
        Distribution that must be installed.
    imports
        Modules that are imported before the clock of the work starts.
    score
        Does the work; returns perturbation, metric, value.
    does
        What is computed, for the table.
    """

    package: str
    imports: tuple[str, ...]
    score: Callable[[Job], "pd.DataFrame"]
    does: str


def ours(job: Job) -> pd.DataFrame:
    """Score with this project: every metric that needs no training cells."""
    from benchmarks.data.readers.h5ad import Keys
    from benchmarks.data.readers.labels import Labelling
    from benchmarks.scoring.external.score_files import ScoringRequest, score_files

    keys = Keys(job.column, labelling=Labelling("+", (job.control,)))
    wish = ScoringRequest(
        (job.prediction,),
        job.truth,
        train=job.train,
        keys=keys,
        calibrate=job.train is not None,
        threads=job.threads,
    )
    scores = score_files(wish).scores
    return scores[scores["model"] == job.prediction.stem][["perturbation", "metric", "value"]]


def cell_eval(job: Job) -> pd.DataFrame:
    """Score with cell-eval, profile full."""
    from cell_eval import MetricsEvaluator

    with tempfile.TemporaryDirectory() as folder:
        evaluator = MetricsEvaluator(
            adata_pred=str(job.prediction),
            adata_real=str(job.truth),
            control_pert=job.control,
            pert_col=job.column,
            num_threads=job.threads,
            outdir=folder,
        )
        wide, _ = evaluator.compute(profile="full", write_csv=False)
    return wide.to_pandas().melt("perturbation", var_name="metric")


def cell_eval2(job: Job) -> pd.DataFrame:
    """Score with cell-eval2, profile full, on the CPU."""
    from cell_eval2 import EvalConfig, compute_metrics
    from cell_eval2.config import DEParams

    config = EvalConfig(
        metrics="full",
        pert_col=job.column,
        control=job.control,
        input_type="lognorm",
        num_threads=job.threads,
        device="cpu",
        de=DEParams(backend="pdex"),
    )
    return compute_metrics(str(job.prediction), str(job.truth), config=config).to_pandas()


def scperteval(job: Job) -> pd.DataFrame:
    """Score with scPertEval, all protocols, differential expression by its default test."""
    import pandas as pd
    from scperteval.cli import main

    with tempfile.TemporaryDirectory() as folder:
        files = [str(job.truth), str(job.prediction)]
        labels = ["--perturbation-key", job.column, "--control-label", job.control]
        size = ["--workers", str(job.threads), "--min-cells", "2", "--out-dir", folder]
        main(["score", *files, "-p", "all", "--quiet", *labels, *size])
        table = pd.concat(pd.read_csv(path) for path in Path(folder).rglob("*.csv"))
    return table.rename(columns={"protocol": "metric", "score": "value"})[["perturbation", "metric", "value"]]


SCORERS = {
    "ours": Scorer("cycseq-bench", ("benchmarks.score",), ours, "all metrics without training cells"),
    "ours_calibrated": Scorer(
        "cycseq-bench", ("benchmarks.score",), ours, "all metrics, and references and planted predictors"
    ),
    "cell_eval": Scorer("cell-eval", ("cell_eval",), cell_eval, "profile full"),
    "cell_eval2": Scorer("cell-eval2", ("cell_eval2",), cell_eval2, "profile full"),
    "scperteval": Scorer("scperteval", ("scperteval.cli",), scperteval, "all protocols but optimal transport"),
}


def installed() -> list[str]:
    """Names of the scorers that can run here."""
    return [name for name, scorer in SCORERS.items() if name.startswith("ours") or version(scorer.package)]


def version(package: str) -> str:
    """Version of an installed distribution; "" where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def peak_memory() -> int:
    """Most memory this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss of a fresh process starts at its parent's size on Linux
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(name: str, out: Path, job: Job) -> None:
    """Run one scorer and write what it said and what it cost."""
    scorer = SCORERS[name]
    started = time.perf_counter()
    for module in scorer.imports:
        importlib.import_module(module)
    imported = time.perf_counter()
    values = scorer.score(job)
    finished = time.perf_counter()
    values.to_csv(out.with_suffix(".csv"), index=False)
    cost = {
        "import_s": imported - started,
        "work_s": finished - imported,
        "peak_bytes": peak_memory(),
        "version": version(scorer.package),
        "metrics": int(values["metric"].nunique()),
        "values": int(values["value"].notna().sum()),
    }
    out.with_suffix(".json").write_text(json.dumps(cost))


if __name__ == "__main__":
    given = json.loads(os.environ["BENCH_JOB"])
    files = {key: Path(given.pop(key)) for key in ("truth", "prediction", "train") if given.get(key)}
    main(given.pop("name"), Path(given.pop("out")), Job(**files, **given))
