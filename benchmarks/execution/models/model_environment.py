"""Python environments of models that cannot live beside the others: one in the cache for each set of requirements."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.contract import Baseline
from benchmarks.data.download import cache_dir
from benchmarks.data.store.atomic_files import Progress, ignore_progress, make_once
from benchmarks.errors import IsolationError
from benchmarks.execution.models import serve
from benchmarks.registry import FOLDER as BASELINES

CONTRACT = ("anndata>=0.10", "jaxtyping>=0.2.25")
"""What `benchmarks.contract` needs, installed beside a model's own requirements."""
INSTALLED = "installed.txt"
LIST = "from importlib.metadata import distributions as d; print(*sorted({f'{p.name}=={p.version}' for p in d()}), sep='\\n')"
BENCHMARKS = Path(__file__).parents[2]


def root() -> Path:
    """Folder of all environments, in the cache that the downloads go to; `CYCSEQ_CACHE` moves it."""
    return cache_dir() / "environments"


@dataclass(frozen=True)
class Environment:
    """An environment, named by its content: requirements, Python version, kind of machine."""

    model: str
    requirements: tuple[str, ...]

    @cached_property
    def folder(self) -> Path:
        """Where it lies once it is made; models with the same requirements share it."""
        python = f"{platform.python_implementation()} {platform.python_version()}"
        content = (python, sys.platform, platform.machine(), *self.all_requirements)
        return root() / hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]

    @property
    def all_requirements(self) -> list[str]:
        """The model's own and those of the contract that it does not name itself."""
        own = {_package(requirement) for requirement in self.requirements}
        return sorted([*self.requirements, *(r for r in CONTRACT if _package(r) not in own)])

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """Whether it is made, and the Python that it was made from is still there."""
        return self.python.exists()

    @property
    def command(self) -> str:
        """The command that makes it."""
        return f"python -m benchmarks.environments create {self.model}"

    def installed(self) -> list[str]:
        """All packages in it, "name==version"; empty if it is not made."""
        path = self.folder / INSTALLED
        return path.read_text(encoding="utf-8").split() if path.is_file() else []


def environment_of(record: Baseline) -> Environment:
    """Name the environment of an isolated model."""
    return Environment(record.name, record.requirements)


def create(environment: Environment, report: Progress = ignore_progress) -> bool:
    """Make an environment if it is not there; returns whether it was made now.

    It appears under its name only once it works. `report` is called with what is being done. Raises `IsolationError` if
    the requirements cannot be installed or the contract cannot be imported there, and `StoreError` if the disk refuses.
    """
    if environment.ready:
        return False
    if environment.folder.is_dir():  # its Python is gone, as after an upgrade of the machine
        shutil.rmtree(environment.folder)

    def make(folder: Path) -> None:
        report(f"making {environment.model}'s environment: {', '.join(environment.requirements)}")
        python = str(folder / "bin" / "python")
        making, installing = install_commands(folder, environment.all_requirements)
        _run(making, environment)
        settings = Path(sys.prefix) / "pip.conf"
        if settings.is_file():  # the index that this environment was configured with, where it is not the machine's
            shutil.copy(settings, folder)
        _run(installing, environment)
        _run(serve_command(Path(python)), environment)
        (folder / INSTALLED).write_text(_run([python, "-I", "-c", LIST], environment), encoding="utf-8")
        # compiled now, under the paths that the files will have; a few packages hold files that do not compile
        paths = "-s", str(folder), "-p", str(environment.folder), str(folder / "lib")
        subprocess.run([python, "-m", "compileall", "-q", *paths], capture_output=True, check=False)

    return make_once(environment.folder, make, report)


def install_commands(folder: Path, requirements: list[str]) -> tuple[list[str], list[str]]:
    """Two commands that make an environment in a folder and fill it: uv's where it is installed, else venv's and pip's."""
    python, uv = str(folder / "bin" / "python"), shutil.which("uv")
    if uv:
        making = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)]
        return making, [uv, "pip", "install", "--quiet", "--python", python, *requirements]
    pip = [python, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile", "--disable-pip-version-check"]
    return [sys.executable, "-m", "venv", str(folder)], [*pip, *requirements]


def remove(environment: Environment) -> bool:
    """Remove an environment; returns whether there was one."""
    there = environment.folder.is_dir()
    shutil.rmtree(environment.folder, ignore_errors=True)
    return there


def serve_command(python: Path) -> list[str]:
    """The command line that serves a model: isolated from `PYTHONPATH` and the user's packages."""
    return [str(python), "-I", str(Path(serve.__file__)), str(BENCHMARKS), str(BASELINES)]


def _package(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def _run(command: list[str], environment: Environment) -> str:
    """Run a command; returns its output, raises `IsolationError` with its last error line."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=variables)
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["no output"]
    wrong = [line for line in lines if line.startswith("ERROR")] or lines
    raise IsolationError(
        f"{environment.model} needs an environment of its own ({', '.join(environment.all_requirements)}), and it could not "
        f"be made: {wrong[-1][:300]} With a package index that can be reached: {environment.command}"
    )
