"""What a confined process can read and write; each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import confinement

pytestmark = pytest.mark.skipif(not confinement.version(), reason="this kernel has no Landlock")


def confined(tmp_path: Path, body: str) -> str:
    """Run code in a process whose folder is `own`, from which `secret` is hidden; returns its output."""
    own, secret = tmp_path / "own", tmp_path / "secret"
    (secret / "below").mkdir(parents=True)
    own.mkdir()
    (secret / "below" / "x.txt").write_text("secret")
    (tmp_path / "open.txt").write_text("open")
    code = (
        "import os, sys; from pathlib import Path; from benchmarks.confinement import confine\n"
        f"own, secret, folder = Path({str(own)!r}), Path({str(secret)!r}), Path({str(tmp_path)!r})\n"
        "assert confine(own, [str(secret)], [sys.prefix, sys.base_prefix])\n"
        f"try:\n    {body}\nexcept PermissionError:\n    print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("print((secret / 'below' / 'x.txt').read_text())", "refused"),
        ("print((folder / 'open.txt').read_text())", "open"),
        ("(folder / 'open.txt').write_text('1')", "refused"),
        ("(folder / 'new.txt').write_text('1')", "refused"),
        ("(folder / 'open.txt').unlink()", "refused"),
        ("(folder / 'open.txt').rename(own / 'open.txt')", "refused"),
        ("os.symlink(secret / 'below' / 'x.txt', own / 'l'); print((own / 'l').read_text())", "refused"),
        (
            "(own / 'new').mkdir(); (own / 'new' / 'x').write_text('mine'); print((own / 'new' / 'x').read_text())",
            "mine",
        ),
        ("open(f'/proc/{os.getppid()}/mem', 'rb'); print('looked')", "refused"),
        ("import subprocess; print(subprocess.run(['cat', secret / 'below' / 'x.txt']).returncode)", "1"),
        ("open('/dev/null', 'w').write('x'); print('written')", "written"),
    ],
)
def test_reads_and_writes(tmp_path: Path, body: str, found: str) -> None:
    assert confined(tmp_path, body) == found


def test_without_landlock_nothing_is_confined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert confinement.version() == 0
    assert not confinement.confine(tmp_path)


def test_numba_that_is_loaded_already_writes_into_the_folder(tmp_path: Path) -> None:
    code = (
        "import numba; from pathlib import Path; from benchmarks.confinement import keep_scratch_in\n"
        f"keep_scratch_in(Path({str(tmp_path)!r})); print(numba.config.CACHE_DIR)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path)
