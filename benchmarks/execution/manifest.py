"""The manifest: all that is needed to say what a run was, and to run it again."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from benchmarks import confinement
from benchmarks.data.store import atomic_files
from benchmarks.execution.command_line import command_of
from benchmarks.execution.executor import Execution
from benchmarks.execution.models.model_environment import environment_of
from benchmarks.execution.plan import Plan, budget_of, settings_of

if TYPE_CHECKING:
    from benchmarks.execution.board import Board, Kept

PROJECT = "cycseq-bench"


class _Manifest(BaseModel, extra="allow"):
    """Types of what is read from a manifest."""

    key: str = ""
    state: str = ""
    space: str = ""
    question: dict[str, Any] = {}
    execution: dict[str, Any] = {}
    dataset: dict[str, Any] = {}
    splits: dict[str, str] = {}
    models: dict[str, dict[str, Any]] = {}


def write_manifest(
    folder: Path,
    board: Board,
    execution: Execution,
    state: str,
    trainings: Sequence[Mapping[str, object]] = (),
    **times: float,
) -> None:
    """Write `manifest.json` of all that was asked of a folder: question, execution, data hashes, splits, settings, versions, git revision, machine.

    `state` is "running", "stopped" (by Ctrl-C or an error: it can be resumed) or "complete"; `trainings` are cost and seed
    of every training, `times` seconds by name.
    """
    plan, question = board.plan, board.question
    card = plan.dataset.card
    atomic_files.write_json(
        folder / "manifest.json",
        {
            "state": state,
            "key": plan.key,
            "command": command_of(question, execution),
            "started": started_of(folder),
            "suite": plan.suite.name,
            "title": plan.suite.title,
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
                "cells": len(plan.cells.obs),
                "genes": len(plan.cells.var_names),
                "genes_annotated": len(plan.dataset.annotation),
            },
            "splits": {f"{plan.protocol}-fold{fold}": digest for fold, digest in plan.split_digests.items()},
            "models": {
                name: {**_facts(plan, name, kept), "record": kept.record, "seeds": kept.seeds}
                for name, kept in board.models.items()
            },
            "trainings": list(trainings),
            "versions": dict(versions()),
            "git": git_revision(),
            "machine": platform.platform(),
            "landlock": confinement.version(),
            "seconds": {name: round(value, 2) for name, value in times.items()},
        },
    )


def started_of(folder: Path) -> str:
    """When a run's folder was first written to, in this machine's time to the second; now, where it is new."""
    before = read_manifest(folder).get("started")
    return str(before) if before else datetime.now().isoformat(timespec="seconds")


def _facts(plan: Plan, name: str, kept: Kept) -> Mapping[str, object]:
    """Settings, budget and environment of a model; of one that is not asked now, what the manifest had."""
    record = plan.baselines.get(name)
    if record is None:
        return kept.facts
    settings = settings_of(record, plan.question)
    environment = environment_of(record).installed() if record.isolated else ""
    facts = {"settings": settings, "budget": budget_of(record, settings), "environment": environment}
    return {**facts, "source": record.source, "licence": record.licence}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a run's manifest; empty if it has none, or one of another shape."""
    try:
        found = _Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found.model_dump(exclude_unset=True)


@cache
def versions() -> Mapping[str, str]:
    """Installed versions of what the numbers depend on: Python, this project and all that it requires."""
    found = {"python": platform.python_version()}
    with suppress(importlib.metadata.PackageNotFoundError):  # the project is not installed
        for requirement in (PROJECT, *(importlib.metadata.requires(PROJECT) or ())):
            if "extra ==" not in requirement:
                name = re.split(r"[^\w.-]", requirement)[0]
                found[name] = importlib.metadata.version(name)
    return MappingProxyType(found)


@cache
def git_revision() -> str:
    """Commit of the checkout this code lies in, "+changes" if it is not clean; empty outside one. Asked once a process."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
