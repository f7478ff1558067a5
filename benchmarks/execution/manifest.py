"""The manifest: all that is needed to say what a run was, and to run it again."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.data.store import atomic_files
from benchmarks.execution.models.model_environment import environment_of
from benchmarks.execution.plan import Plan, settings_of
from benchmarks.execution.run_spec import budget_of
from benchmarks.execution.settings import Execution

PACKAGES = (
    "torch",
    "torch-geometric",
    "numpy",
    "scipy",
    "pandas",
    "anndata",
    "scanpy",
    "scvi-tools",
    "scgen",
    "cell-gears",
    "scikit-learn",
    "cycseq-bench",
)


def write_manifest(
    folder: Path,
    plan: Plan,
    execution: Execution,
    state: str,
    trainings: Sequence[Mapping[str, object]] = (),
    **times: float,
) -> None:
    """Write `manifest.json`: question, execution, data hashes, splits, settings, versions, git revision, machine.

    Parameters
    ----------
    folder
        The run's folder.
    plan, execution
        What is run, and how.
    state
        "running", "stopped" (Ctrl-C or an error: resumable) or "complete".
    trainings
        Cost and seed of every training.
    times
        Seconds, by name.
    """
    question, card = plan.question, plan.dataset.card
    atomic_files.write_json(
        folder / "manifest.json",
        {
            "state": state,
            "key": plan.key,
            "suite": plan.suite.name,
            "protocol": plan.protocol,
            "directions": plan.directions,
            "preset": question.preset,
            "question": asdict(question),
            "execution": asdict(execution),
            "seeds": question.seeds,
            "base_seed": question.base_seed,
            "space": plan.space,
            "integration": asdict(plan.integration) if plan.integration else None,
            "dataset": {
                "name": card.name,
                "source": card.source,
                "sha256": plan.dataset.digest,
                "files": plan.dataset.files,
                "cells": plan.cells.n_obs,
                "genes": plan.cells.n_vars,
                "licence": card.licence,
                "citation": card.citation,
                "notes": card.notes,
                "genes_annotated": len(plan.dataset.annotation),
            },
            "splits": {f"{plan.protocol}-fold{fold}": digest for fold, digest in plan.split_digests.items()},
            "models": {
                name: {
                    "settings": settings_of(b, question),
                    "budget": budget_of(b, settings_of(b, question)),
                    "source": b.source,
                    "licence": b.licence,
                    "environment": environment_of(b).installed() if b.isolated else "",
                }
                for name, b in plan.baselines.items()
            },
            "trainings": list(trainings),
            "versions": versions(),
            "git": git_revision(),
            "machine": platform.platform(),
            "seconds": {name: round(value, 2) for name, value in times.items()},
        },
    )


def read_manifest(folder: Path) -> dict[str, object]:
    """Read a run's manifest; empty if it has none."""
    try:
        table: dict[str, object] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table


def versions() -> dict[str, str]:
    """Installed versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str:
    """Commit of the checkout this code lies in, "+changes" if it is not clean; empty outside one."""
    here = Path(__file__).parent
    try:
        revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return revision.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
