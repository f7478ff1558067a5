"""The manifest: all that is needed to say what a run was, and to run it again."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.data.store import atomic_files
from benchmarks.execution.executor import Execution
from benchmarks.execution.models import confinement
from benchmarks.execution.models.model_environment import environment_of
from benchmarks.execution.plan import Plan, budget_of, settings_of

PROJECT = "cycseq-bench"


def write_manifest(
    folder: Path,
    plan: Plan,
    execution: Execution,
    state: str,
    trainings: Sequence[Mapping[str, object]] = (),
    **times: float,
) -> None:
    """Write `manifest.json`: question, execution, data hashes, splits, settings, versions, git revision, machine.

    `state` is "running", "stopped" (by Ctrl-C or an error: it can be resumed) or "complete"; `trainings` are cost and seed
    of every training, `times` seconds by name.
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
                **{name: getattr(card, name) for name in ("name", "source", "licence", "citation", "notes")},
                "sha256": plan.dataset.digest,
                "files": plan.dataset.files,
                "cells": plan.cells.n_obs,
                "genes": plan.cells.n_vars,
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
            "landlock": confinement.version(),
            "seconds": {name: round(value, 2) for name, value in times.items()},
        },
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a run's manifest; empty if it has none."""
    try:
        return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def versions() -> dict[str, str]:
    """Installed versions of what the numbers depend on: Python, this project and all that it requires."""
    found = {"python": platform.python_version()}
    with suppress(importlib.metadata.PackageNotFoundError):  # the project is not installed
        for requirement in (PROJECT, *(importlib.metadata.requires(PROJECT) or ())):
            if "extra ==" not in requirement:
                name = re.split(r"[^\w.-]", requirement)[0]
                found[name] = importlib.metadata.version(name)
    return found


def git_revision() -> str:
    """Commit of the checkout this code lies in, "+changes" if it is not clean; empty outside one."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
