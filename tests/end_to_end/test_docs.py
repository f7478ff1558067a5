"""The documentation site builds without a warning, its notebooks run, and recipes name files and options that exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import yaml

import benchmarks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.md"))
ACTION = ROOT / "tools" / "github-action" / "action.yml"
CONTAINERS = ROOT / "tools" / "containers"
TORCH = re.search(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]


@pytest.fixture
def no_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draw into memory, in a folder of the test's own."""
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "Agg"}):
        yield
        plt.close("all")


def build(out: Path, builder: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--fresh-env", "--quiet", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, "--builder", builder, "-d", str(out / "doctrees"), str(DOCS), str(out / builder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_site_builds_without_warnings(tmp_path: Path) -> None:
    # reads every page and resolves every link; a page that is in no table of contents is a warning
    done = build(tmp_path, "dummy", "-D", "nb_execution_mode=off")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_site_shows_results_and_names(tmp_path: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    done = build(tmp_path, "html")
    assert done.returncode == 0, done.stderr
    site = tmp_path / "html"
    with (site / "objects.inv").open("rb") as file:
        names = {name for kind in InventoryFile.load(file, "", os.path.join).data.values() for name in kind}
    assert {f"benchmarks.{name}" for name in benchmarks.__all__} <= names
    assert {"cycseq.CycSeq", "cycseq.CycSeq.predict"} <= names
    page = (site / "notebooks" / "my-own-screen.html").read_text(encoding="utf-8")
    assert "SIMULATED" in page
    assert page.count("image/png") + page.count('src="../_images/') >= 2, "a picture for each plot"


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("no_window")
def test_notebook_runs(page: Path) -> None:
    cells = re.findall(
        r"^```\{code-cell\}[^\n]*\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(cells) >= 5
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells, start=1):
        exec(compile(cell, f"{page.name}, cell {number}", "exec"), names)
    assert set(names["result"].scores["source"]) == {"simulated"}


def test_three_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["my-own-screen", "score-my-predictions", "write-a-model"]


def copied(recipe: str) -> list[str]:
    """Paths that a recipe copies into the image, relative to the project."""
    text = (CONTAINERS / recipe).read_text()
    if recipe == "Dockerfile":
        return [path for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for path in line.split()[:-1]]
    return re.findall(r"^ +(\S+) /src/\S+$", text, re.MULTILINE)


@pytest.mark.parametrize("recipe", ["Dockerfile", "cycseq-bench.def"])
def test_container_installs_what_make_env_installs(recipe: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml", "LICENSE"}
    assert set(copied(recipe)) == needed
    assert all((ROOT / path).exists() for path in needed)
    text = (CONTAINERS / recipe).read_text()
    assert re.findall(r"torch==\S+", text) == [TORCH]
    (extras,) = re.findall(r"'\.\[(\S+)\]'", text)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
    assert "cycseq-bench" in project["project"]["scripts"]


def test_container_copies_are_not_ignored() -> None:
    kept = {line[1:] for line in (CONTAINERS / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    assert kept == set(copied("Dockerfile"))


def test_container_has_a_user() -> None:
    orders = dict(line.split(" ", 1) for line in (CONTAINERS / "Dockerfile").read_text().splitlines() if " " in line)
    assert orders["USER"] != "root"
    assert orders["ENTRYPOINT"] == '["cycseq-bench"]'


def commands_of(action: dict, inputs: dict[str, str], folder: Path) -> list[list[str]]:
    """Run the steps of an action with stand-ins for its programs, and return what they were called with."""
    log, programs = folder / "calls", folder / "bin"
    programs.mkdir()
    for name in ("pip", "cycseq-bench"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" "" >> "{log}"\n')
        (programs / name).chmod(0o755)
    given = {name: str(known.get("default", "")) for name, known in action["inputs"].items()} | inputs
    for step in action["runs"]["steps"]:
        if "run" not in step:
            continue
        filled = {
            name: re.sub(r"\$\{\{ inputs\.(\S+) \}\}", lambda found: given[found[1]], value)
            for name, value in step["env"].items()
        }
        path = {"PATH": f"{programs}:{os.environ['PATH']}", "GITHUB_ACTION_PATH": str(ACTION.parent)}
        subprocess.run([shutil.which("bash") or "bash", "-euc", step["run"]], env=path | filled, check=True)
    return [call.split("\n") for call in log.read_text().strip("\n").split("\n\n")]


@pytest.mark.parametrize("more", [{}, {"plugin": "my model.py", "torch-index": "URL", "requirements": "r.txt"}])
def test_commands_of_the_action_parse(more: dict[str, str], tmp_path: Path) -> None:
    from typer.main import get_command

    from benchmarks.cli.app import application

    action = yaml.safe_load(ACTION.read_text())
    inputs = {"models": "my_model,no_change", "reference": "reference/smoke.csv.gz"} | more
    assert {name for name, known in action["inputs"].items() if known.get("required")} <= set(inputs)
    torch, project, run, regress = commands_of(action, inputs, tmp_path)
    assert torch[:3] == ["pip", "install", TORCH]
    assert (ROOT / "pyproject.toml").samefile(Path(project[2].partition("[")[0]) / "pyproject.toml")
    parsed = {}
    for program, name, *arguments in (run, regress):
        assert program == "cycseq-bench"
        parsed[name] = get_command(application(name)).make_context(name, arguments).params
    assert parsed["run"]["models"] == inputs["models"]
    assert [str(path) for path in parsed["run"]["plugin"] or []] == [more[key] for key in ("plugin",) if key in more]
    made = Path(parsed["run"]["out"]) / parsed["run"]["suite"] / parsed["run"]["name"]
    assert made == Path(regress[2])
    assert regress[3] == inputs["reference"]


def test_example_workflow_uses_the_action() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / "regression.md").read_text(), re.MULTILINE | re.DOTALL)
    steps = yaml.safe_load(example)["jobs"]["regression"]["steps"]
    (step,) = [step for step in steps if "github-action" in step["uses"]]
    assert (ROOT / re.search(r"tools/[^@]+", step["uses"])[0] / "action.yml").samefile(ACTION)
    known = yaml.safe_load(ACTION.read_text())["inputs"]
    assert {name for name, about in known.items() if about.get("required")} <= set(step["with"]) <= set(known)


def test_commands_of_how_to_parse() -> None:
    from typer.main import get_command

    from benchmarks.cli.app import application

    text = "\n".join((DOCS / page).read_text(encoding="utf-8") for page in ("index.md", "how-to.md"))
    commands = re.findall(r"^\.venv/bin/cycseq-bench (.+?)$", text, re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        name, *arguments = shlex.split(command)
        get_command(application(name)).make_context(name, arguments)


def test_first_figure_keeps_a_notebook_interactive(tmp_path: Path) -> None:
    # the backend of notebooks turns interactive drawing on when it is loaded, which is at the first figure
    (tmp_path / "like_inline.py").write_text(
        "from matplotlib.backends.backend_agg import *\nimport matplotlib\nmatplotlib.interactive(True)\n"
    )
    code = (
        "import matplotlib\nfrom benchmarks.api.result import _axes\n"
        "with _axes(None, 2.0):\n    pass\nassert matplotlib.is_interactive()"
    )
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = os.environ | {"MPLBACKEND": "module://like_inline", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
