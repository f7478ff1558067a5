"""Scoring time and memory of this project and its peers, in turn on the same files: `python -m tests.bench.peers`.

Every scorer runs in a fresh process with the same number of threads; a first run on a tiny case fills caches of compiled code
where a package keeps one. Results: OUT/peers.csv (every run), OUT/ratios.csv, OUT/targets.csv, OUT/agreement.csv, OUT/scaling.png.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from tests.bench.scorers import SCORERS, installed
from tests.bench.targets import Row
from tests.bench.targets import table as target_table

THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
FASTER = {"A": (10, 5), "B": (10, 5), "C": (40, 12)}
"""Case → how many times faster than cell-eval and than cell-eval2 plain scoring should be, whole processes."""
CALIBRATED = {"A": (4, 2)}
"""The same of scoring with references and planted predictors."""
SMALLER = ("B", "C")
"""Cases in which memory should be at most a third of a peer's."""
STEP = [sys.executable, "-m", "tests.bench.steps"]
"""What needs arrays runs in processes of its own, so that this one stays small beside what it measures."""


def main() -> None:
    """Parse the command line, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default="A,B,C", help="cases of tests/bench/cases.py; 'large' is not in the default")
    parser.add_argument("--scorers", default=",".join(installed()), help="default: all that are installed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a run is given up")
    parser.add_argument("--data-dir", type=Path, help="folder with perturbench_devel/devel.h5ad: the real grid too")
    parser.add_argument("--scaling", action="store_true", help="cost against cells, genes and conditions, as a figure")
    parser.add_argument("--out", type=Path, default=Path("build/peers"))
    given = parser.parse_args()
    unknown = set(given.scorers.split(",")) - set(installed())
    if unknown:
        parser.error(f"not installed or not known: {', '.join(sorted(unknown))}; installed: {', '.join(installed())}")
    measure_all(given)


def measure_all(given: argparse.Namespace) -> None:
    """Measure what was asked for; a table is written after every run, so that nothing is lost."""
    scorers, cases = given.scorers.split(","), given.cases.split(",")
    cases += ["perturbench_devel"] if given.data_dir else []
    for name in scorers:
        measure(name, prepare("tiny", given), given)
    runs = []
    for case in cases:
        files = prepare(case, given)
        for repeat in range(given.repeats):
            for name in scorers:  # in turn, so that other load on the machine falls on all
                runs.append({"case": case, "repeat": repeat, **measure(name, files, given)})
                pd.DataFrame(runs).to_csv(given.out / "peers.csv", index=False)
                print(_line(runs[-1]), flush=True)
    table = ratios(pd.DataFrame(runs))
    table.to_csv(given.out / "ratios.csv", index=False)
    print(table.to_string(index=False))
    reached = target_table(targets(pd.DataFrame(runs)))
    reached.to_csv(given.out / "targets.csv", index=False)
    print(reached.to_string(index=False))
    scored = {run["case"]: None for run in runs if run["scorer"] == "cell_eval" and run["ended"] == "ok"}
    for case in scored:
        run_step("agree", str(case), given)
    if given.scaling:
        scale(given)


def prepare(case: str, given: argparse.Namespace) -> dict[str, str]:
    """Write a case's files where they are not there yet; returns what identifies them to a scorer."""
    return json.loads(run_step("write", case, given).splitlines()[-1])


def run_step(what: str, case: str, given: argparse.Namespace) -> str:
    """Run one step of `tests.bench.steps` and pass its output on."""
    folder = ["--data-dir", str(given.data_dir)] if given.data_dir else []
    train = ["--train"] if what == "write" and "ours_calibrated" in given.scorers else []
    done = subprocess.run(
        [*STEP, what, case, str(given.out), *folder, *train], check=True, capture_output=True, text=True
    )
    if what != "write":
        print(done.stdout, end="")
    return done.stdout


def measure(name: str, files: dict[str, str], given: argparse.Namespace) -> dict[str, object]:
    """Run one scorer in a fresh process; wall and CPU seconds of all of it, and what it says of itself."""
    out = given.out / f"{name}_{files['case']}"
    job = {"name": name, "out": str(out), "threads": given.threads, **{k: v for k, v in files.items() if k != "case"}}
    if name != "ours_calibrated":
        job.pop("train", None)
    threads = dict.fromkeys(THREAD_SETTINGS, str(given.threads))
    out.with_suffix(".json").unlink(missing_ok=True)
    log = out.with_suffix(".log")
    before, started = os.times(), time.perf_counter()
    with log.open("w") as sink:
        command = [sys.executable, "-m", "tests.bench.scorers"]
        environment = {**os.environ, **threads, "BENCH_JOB": json.dumps(job)}
        try:
            code = subprocess.run(
                command, env=environment, stdout=sink, stderr=sink, timeout=given.timeout, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    ended = {0: "ok", None: f"given up after {given.timeout:g} s"}.get(code, f"failed, see {log}")
    said = json.loads(out.with_suffix(".json").read_text()) if code == 0 else {}
    return {"scorer": name, "ended": ended, "wall_s": wall, "cpu_s": cpu, "load": os.getloadavg()[0], **said}


def ratios(runs: pd.DataFrame) -> pd.DataFrame:
    """Medians over repeats, their spread, and how many times ours each scorer takes."""
    runs = runs.assign(peak_gib=runs["peak_bytes"] / 2**30 if "peak_bytes" in runs else float("nan"))
    ok = runs[runs["ended"] == "ok"]
    columns = ["wall_s", "cpu_s", "work_s", "peak_gib"]
    groups = ok.groupby(["case", "scorer"], sort=False)
    table = groups[columns].median()
    table["wall_range"] = groups["wall_s"].agg(lambda s: f"{s.min():.1f}–{s.max():.1f}")
    table[["runs", "metrics"]] = groups.agg(runs=("wall_s", "size"), metrics=("metrics", "first"))
    if "ours" not in table.index.get_level_values("scorer"):
        return table.reset_index().round(2)
    own = table.xs("ours", level="scorer").reindex(table.index.get_level_values("case"))
    for column in columns:
        table[f"{column.split('_')[0]}_ratio"] = table[column].to_numpy() / own[column].to_numpy()
    return table.reset_index().round(2)


def targets(runs: pd.DataFrame) -> list[Row]:
    """List how many times longer than ours each peer takes in each round, and ours as a share of its memory."""
    rows = []
    ok = runs[runs["ended"] == "ok"]
    for case, part in ok.groupby("case", sort=False):
        rounds = part.pivot(index="repeat", columns="scorer", values=["wall_s", "peak_bytes"])
        for number, peer in enumerate(("cell_eval", "cell_eval2")):
            for own, wanted in (("ours", FASTER), ("ours_calibrated", CALIBRATED)):
                if ("wall_s", peer) not in rounds or ("wall_s", own) not in rounds:
                    continue
                least = wanted[case][number] if case in wanted else float("-inf")
                ratio = (rounds["wall_s", peer] / rounds["wall_s", own]).dropna()
                rows.append(Row(f"{case}: {peer} / {own}, time", "×", ratio.tolist(), at_least=least))
                if own == "ours":
                    share = (rounds["peak_bytes", own] / rounds["peak_bytes", peer]).dropna()
                    most = 1 / 3 if case in SMALLER else float("inf")
                    rows.append(Row(f"{case}: {own} / {peer}, memory", "×", share.tolist(), at_most=most))
    return rows


def scale(given: argparse.Namespace) -> None:
    """Measure ours on one size at a time and draw the curves."""
    sizes = json.loads(run_step("sizes", "all", given).splitlines()[-1])
    rows = []
    for size in sizes:
        files = prepare(size["name"], given)
        for name in [s for s in given.scorers.split(",") if s in ("ours", "cell_eval")]:
            rows.append({**size, **measure(name, files, given)})
            print(_line({"case": size["name"], **rows[-1]}), flush=True)
    pd.DataFrame(rows).to_csv(given.out / "scaling.csv", index=False)
    run_step("draw", "all", given)


def _line(run: dict[str, object]) -> str:
    memory = f"{float(str(run['peak_bytes'])) / 2**30:.2f} GiB" if "peak_bytes" in run else ""
    does = SCORERS[str(run["scorer"])].does
    return f"{run['case']:>12} {run['scorer']:>16} {run['wall_s']:8.1f} s {run['cpu_s']:8.1f} CPU s {memory:>9} {run['ended']} ({does})"


if __name__ == "__main__":
    main()
