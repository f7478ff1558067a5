"""The tutorial in the package's README runs, block by block, and prints what it says it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[3] / "cycseq" / "README.md"
PRINTED = "# → "


def python_blocks(page: Path) -> list[str]:
    """The blocks of Python of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


BLOCKS = python_blocks(README)


def expected(block: str) -> list[str]:
    """What a block says it prints."""
    return [line.removeprefix(PRINTED) for line in block.splitlines() if line.startswith(PRINTED)]


def printed(block: str, names: dict[str, object], page: Path = README) -> list[str]:
    """What it does print; `names` are the variables of the blocks before, and of this one afterwards."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, str(page), "exec"), names)
    return out.getvalue().splitlines()


def test_the_tutorial_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert len(BLOCKS) >= 12
    for number, block in enumerate(BLOCKS, start=1):
        assert printed(block, names) == expected(block), f"block {number}"
    assert sum(len(expected(block)) for block in BLOCKS) >= 20


def test_every_print_is_followed_by_what_it_prints() -> None:
    for block in BLOCKS:
        assert ("print(" in block) == bool(expected(block)), block


def test_a_wrong_line_would_be_found() -> None:
    block = "value = 1 + 1\nprint(value)\n# → 3\n"
    assert printed(block, {}) != expected(block)
