"""Environments of isolated models: a venv in the cache for every set of requirements, made once."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.contract import Baseline
from benchmarks.data.download import cache_dir
from benchmarks.data.store.make_once import Teller, make_once, silent
from benchmarks.errors import IsolationError
from benchmarks.execution.environments import serve
from benchmarks.registry import FOLDER as BASELINES

CONTRACT = ("anndata>=0.10", "jaxtyping>=0.2.25")
"""What `benchmarks.contract` needs, installed beside a model's own requirements."""
INSTALLED = "installed.txt"
SECONDS_BETWEEN_SIGNS = 1.0


def root() -> Path:
    """Folder of all environments, in the cache that the downloads go to; `CYCSEQ_CACHE` moves it."""
    return cache_dir() / "environments"


@dataclass(frozen=True)
class Environment:
    """A venv, named by its content: requirements, Python version, kind of machine."""

    model: str
    requirements: tuple[str, ...]

    @cached_property
    def folder(self) -> Path:
        """Where it lies once it is made; models with the same requirements share it."""
        python = f"{platform.python_implementation()} {platform.python_version()}"
        words = (python, sys.platform, platform.machine(), *self.all_requirements)
        return root() / hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]

    @property
    def all_requirements(self) -> list[str]:
        """The model's own and the contract's, the latter left to the former where both name a package."""
        own = {_package(requirement) for requirement in self.requirements}
        return sorted([*self.requirements, *(r for r in CONTRACT if _package(r) not in own)])

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return interpreter(self.folder)

    @property
    def ready(self) -> bool:
        """Whether it is made, and the Python it was made from still there."""
        return self.python.exists()

    @property
    def command(self) -> str:
        """What makes it by hand."""
        return f"python -m benchmarks.environments create {self.model}"

    def installed(self) -> list[str]:
        """Versions of all packages in it, "name==version"; empty if it is not made."""
        path = self.folder / INSTALLED
        return path.read_text(encoding="utf-8").split() if path.is_file() else []


def environment_of(record: Baseline) -> Environment:
    """Name the environment of an isolated model."""
    return Environment(record.name, record.requirements)


def create(environment: Environment, tell: Teller = silent) -> bool:
    """Make an environment if it is not there; it appears under its name only once it works.

    Parameters
    ----------
    environment
        From `environment_of`.
    tell
        Called with what pip is doing.

    Returns
    -------
    bool
        Whether it was made now.

    Raises
    ------
    IsolationError
        pip could not install the requirements, or the contract cannot be imported there.
    StoreError
        The disk refuses.
    """
    if environment.ready:
        return False
    if environment.folder.is_dir():  # its Python is gone, as after an upgrade of the machine
        shutil.rmtree(environment.folder)

    def make(folder: Path) -> None:
        tell(f"making {environment.model}'s environment: {', '.join(environment.requirements)}")
        try:
            venv.create(folder, with_pip=True, symlinks=sys.platform != "win32")
        except subprocess.CalledProcessError as error:
            raise IsolationError(
                f"{sys.executable} cannot make a venv with pip ({error}); install the package of your system that has ensurepip."
            ) from error
        settings = Path(sys.prefix) / "pip.conf"
        if settings.is_file():  # the index this environment was configured with, if it was not the machine's
            shutil.copy(settings, folder / "pip.conf")
        _install(environment, folder, tell)
        _try(environment, folder)
        _compile(folder, environment.folder)

    return make_once(environment.folder, make, tell)


def remove(environment: Environment) -> bool:
    """Remove an environment; returns whether there was one."""
    there = environment.folder.is_dir()
    shutil.rmtree(environment.folder, ignore_errors=True)
    return there


def serve_command(python: Path) -> list[str]:
    """The command line of the process that serves a model: isolated from `PYTHONPATH` and the user's packages."""
    return [str(python), "-I", str(Path(serve.__file__)), str(Path(__file__).parents[2]), str(BASELINES)]


def interpreter(folder: Path) -> Path:
    """Where a venv's interpreter lies."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _package(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def _install(environment: Environment, folder: Path, tell: Teller) -> None:
    """Have the venv's own pip install from the index this machine is configured with."""
    command = ["install", "--no-input", "--no-compile", "--progress-bar", "off", *environment.all_requirements]
    lines: list[str] = []
    last = time.monotonic()
    with _pip(folder, command) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if time.monotonic() - last > SECONDS_BETWEEN_SIGNS:
                    tell(" ".join(line.split()[:3]))
                    last = time.monotonic()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        wrong = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["it said nothing"]
        raise IsolationError(
            f"{environment.model} needs an environment of its own, and pip could not make it: {wrong[-1][:300]} With a "
            f"package index that can be reached: {environment.command}"
        )
    with _pip(folder, ["list", "--format=freeze"]) as process:
        listed = process.stdout.read() if process.stdout else ""
    (folder / INSTALLED).write_text("\n".join(re.findall(r"^\S+==\S+$", listed, re.MULTILINE)), encoding="utf-8")


def _pip(folder: Path, command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(interpreter(folder)), "-m", "pip", "--disable-pip-version-check", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
    )


def _try(environment: Environment, folder: Path) -> None:
    """Start a model's process and let it end: it says "ready" if the contract can be imported."""
    done = subprocess.run(
        serve_command(interpreter(folder)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if "ready" not in done.stdout:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise IsolationError(
            f"The environment of {environment.model} cannot import the contract: {why[:300]} Its requirements "
            f"({', '.join(environment.requirements)}) must allow {' and '.join(CONTRACT)}."
        )


def _compile(folder: Path, final: Path) -> None:
    """Compile all modules now, under the paths they will have; a few packages hold files that do not compile."""
    command = [
        str(interpreter(folder)),
        "-m",
        "compileall",
        "-q",
        "-s",
        str(folder),
        "-p",
        str(final),
        str(folder / "lib"),
    ]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
