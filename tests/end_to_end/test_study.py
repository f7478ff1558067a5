"""The study on the smoke screen: tables and figures, and going on where it was left."""

import pandas as pd
import pytest

from benchmarks.analyses import cycseq_study
from benchmarks.errors import StoreError
from benchmarks.execution.executor import Execution


@pytest.mark.slow
def test_study_writes_tables_resumes_and_refuses_another_run(tmp_path):
    smoke = (cycseq_study.SMOKE,)
    wanted = cycseq_study.Study(questions=smoke, variants=("cycseq_plus",), ablations=(), others=("linear",), seeds=2)
    execution = Execution(jobs=2)
    assert cycseq_study.run_study(wanted, tmp_path, execution)[1] == 0
    table = pd.read_csv(tmp_path / "study.csv")
    own = table[(table["metric"] == "pearson_delta") & (table["direction"] == "n2p")].set_index("model")
    assert own.loc["cycseq_plus_n2p", "n_seeds"] == 2
    assert own.loc["linear", "n_seeds"] == 1
    assert own.loc["cycseq_plus_n2p", "mean"] > own.loc["no_change", "mean"]
    assert own["low"].le(own["mean"]).loc["cycseq_plus_n2p"]
    assert not own.index.str.endswith("_p2n").any()
    assert (tmp_path / "study-unseen_context-p2n.png").stat().st_size > 5000
    outcomes = sorted((tmp_path / "runs").rglob("outcome.json"))
    times = [path.stat().st_mtime_ns for path in outcomes]
    assert len(outcomes) > 5
    assert cycseq_study.run_study(wanted, tmp_path, execution)[1] == 0
    assert [path.stat().st_mtime_ns for path in outcomes] == times  # nothing is trained twice
    manifest = next((tmp_path / "runs").rglob("manifest.json"))
    manifest.write_text(manifest.read_text().replace('"key": "', '"key": "0'))
    with pytest.raises(StoreError, match=r"manifest|other data"):
        cycseq_study.run_study(wanted, tmp_path, execution)
