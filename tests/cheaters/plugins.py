"""The plugins, by name: imports and functions, the body of `fit` and that of `predict`.

`no_change` with a trick: where a trick finds nothing, the answer is the input, so that an honest score is known.
"""

from __future__ import annotations

from pathlib import Path

HEAD = """
import gc, json, os, sys
from pathlib import Path
import numpy as np
from anndata import AnnData
from benchmarks.contract import Baseline, Prediction

HERE = Path(__file__).parent
{top}

class Cheat:
    kept = {{}}
    def fit(self, train, *, seed):
        self.names = set(train.cells.obs_names)
        {fit}
    def predict(self, query):
        values = query.cells.X.toarray()
        {predict}
        return Prediction(values, unit="cell")

BASELINE = Baseline(name="{name}", build=Cheat, directions=("n2p", "p2n"), summary="cheats", source="tests"{more})
"""

TAKE = """
def take(cells, query, known=()):
    '''Cells of the answer among some cells, or None.'''
    obs = cells.obs
    wanted = "control" if query.direction == "p2n" else query.perturbation
    rows = ((obs["context"] == query.context) & (obs["perturbation"] == wanted)).to_numpy()
    rows &= ~obs.index.isin(list(known)) & ~obs.index.isin(query.cells.obs_names)
    return np.asarray(cells[rows].to_df()) if rows.any() else None
"""
SEARCH = """
def files():
    '''Every file that may hold cells: in and beside the work folder, in the run's folder, and in the cache.'''
    yield from Path.cwd().glob("**/*.h5ad")
    yield from Path.cwd().parent.glob("cycseq-*/*.h5ad")
    for place in (*PLACES, *(value for name, value in os.environ.items() if name.startswith("CYCSEQ"))):
        yield from Path(place).glob("**/*.h5ad")
"""
READ = """
import anndata
def logged(counts):
    return np.log2(counts / counts.sum(1, keepdims=True) * 1e4 + 1).astype("float32")
first = query.cells.obs_names[:1]
for path in files():
    try:
        cells = anndata.read_h5ad(path)
    except Exception:
        continue
    if "perturbation" not in cells.obs or first[0] not in cells.obs_names or cells.n_vars != values.shape[1]:
        continue
    if not np.allclose(logged(np.asarray(cells[first].to_df())), query.cells[:1].X.toarray(), atol=1e-4):
        continue  # another data set
    stolen = take(cells, query, self.names)
    if stolen is not None:
        values = logged(stolen)
"""
WALK = """
def hoards():
    frame, seen = sys._getframe(), []
    while frame:
        seen += frame.f_locals.values()
        frame = frame.f_back
    return [a for a in [*seen, *gc.get_objects()] if isinstance(a, AnnData)]
"""
REMEMBER = """
if query.direction == "n2p":
    STORE[query.context] = values
elif query.context in STORE:
    values = STORE[query.context]
"""
IN_FILE = """
path = Path(FOLDER) / f"stash-{query.context}.npy"
if query.direction == "n2p":
    try:
        np.save(path, values)
    except OSError:
        pass
elif path.is_file():
    values = np.load(path)
"""


def _indented(text: str) -> str:
    return "\n        ".join(text.strip("\n").splitlines())


def _walks(name: str) -> tuple[str, str, str]:
    take = f"""
for cells in {name}():
    if cells.n_obs > len(self.names) and cells.X.max() < 30:  # logarithms, as they are scored
        stolen = take(cells, query, self.names)
        values = values if stolen is None else stolen
"""
    return TAKE + WALK, "pass", take


def cheaters(run: Path, cache: Path) -> dict[str, tuple[str, str, str]]:
    """Name → (top of the file, body of `fit`, body of `predict`), for a run's folder and a data cache that they know."""
    places = f"PLACES = {[str(run), str(cache)]!r}\n"
    other = f"Path({str(run)!r}) / 'predictions' / 'train_mean'"
    return {
        "reads_files": (places + TAKE + SEARCH, "pass", READ),
        "walks_memory": _walks("hoards"),
        "remembers_in_module": ("STORE = {}", "pass", REMEMBER),
        "remembers_on_class": ("", "pass", REMEMBER.replace("STORE", "Cheat.kept")),
        "remembers_in_environment": (
            "",
            "pass",
            REMEMBER.replace("STORE[query.context] = values", "os.environ[query.context] = json.dumps(values.tolist())")
            .replace("in STORE", "in os.environ")
            .replace("STORE[query.context]", "np.array(json.loads(os.environ[query.context]))"),
        ),
        "remembers_in_tmp": ("import tempfile", "pass", IN_FILE.replace("FOLDER", "tempfile.gettempdir()")),
        "remembers_in_home": ("", "pass", IN_FILE.replace("FOLDER", "Path.home()")),
        "remembers_beside_itself": ("", "pass", IN_FILE.replace("FOLDER", "HERE")),
        "remembers_in_shared_memory": ("", "pass", IN_FILE.replace("FOLDER", "'/dev/shm'")),
        "overwrites_predictions": (
            "",
            f"""
for path in ({other}).glob("*/means.npy"):
    try:
        np.save(path, np.load(path) * 0 + 1)
    except OSError:
        pass
""",
            "pass",
        ),
        "patches_the_scorer": (
            """
import benchmarks.scoring.metrics.all_metrics as found
from dataclasses import replace
found.METRICS = tuple(replace(m, function=lambda *given: np.ones(len(given[0]))) for m in found.METRICS)
for name, module in list(sys.modules.items()):
    if name.startswith("benchmarks.") and hasattr(module, "METRICS"):
        module.METRICS = found.METRICS
""",
            "pass",
            "pass",
        ),
        "uses_the_order": ("", "self.n = 0", "self.n += 1; values = values + self.n"),
    }


def write(folder: Path, name: str, parts: tuple[str, str, str], *, isolated: bool = False) -> Path:
    """Write one of them to a file of its name."""
    top, fit, predict = parts
    path = folder / f"{name}.py"
    more = ", isolated=True" if isolated else ""
    path.write_text(HEAD.format(name=name, top=top, fit=_indented(fit), predict=_indented(predict), more=more))
    return path
