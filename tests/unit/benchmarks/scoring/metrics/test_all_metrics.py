"""The listing of metrics: a new file is found, in a stable order."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.scoring import metrics
from benchmarks.scoring.metrics import all_metrics
from benchmarks.scoring.metrics.all_metrics import METRICS

NEW = '''"""A metric of a user."""
import numpy as np
from benchmarks.scoring.metrics.metric import PAIR, Metric
def largest_error(truth, predicted):
    """Largest absolute error of the mean profile over genes."""
    return np.abs(truth - predicted).max(axis=-1)
METRICS = (Metric(name="largest_error", family="profile", function=largest_error, needs=PAIR, best=0.0),)
'''


def test_new_file_is_found(tmp_path, monkeypatch):
    (tmp_path / "a_new_family.py").write_text(NEW)
    monkeypatch.setattr("benchmarks.scoring.metrics.__path__", [*metrics.__path__, str(tmp_path)])
    found = all_metrics.list_metrics()
    assert found[: len(METRICS)] == METRICS
    assert [metric.name for metric in found[len(METRICS) :]] == ["largest_error"]
    assert found[-1].summary.startswith("Largest absolute error")


def test_listing_is_light():
    code = "import sys; from benchmarks.scoring.metrics.all_metrics import METRICS; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "scipy", "sklearn", "pandas"} & set(loaded)
