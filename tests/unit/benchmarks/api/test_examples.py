"""The examples in docstrings and in docs/python-api.md run, and print what they say."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import pytest

from tests.unit.cycseq.test_readme import expected, printed, python_blocks

PAGE = Path(__file__).parents[4] / "docs" / "python-api.md"
MODULES = ("arguments", "evaluation", "listing", "result", "running", "toy")


@pytest.fixture(autouse=True)
def no_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draw into memory, in a folder of the test's own."""
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "Agg"}):
        yield
        plt.close("all")


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str) -> None:
    found = doctest.testmod(import_module(f"benchmarks.api.{name}"), optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


def test_examples_of_the_page() -> None:
    blocks, names = python_blocks(PAGE), dict[str, object]()
    assert len(blocks) >= 8
    for number, block in enumerate(blocks, start=1):
        assert printed(block, names, PAGE) == expected(block), f"block {number}"
    assert sum(len(expected(block)) for block in blocks) >= 8
