"""scPerturBench: `performance.tsv`, a line per value, with all methods of a data set in one file.

Its values are distances of pertpy, correlations among them (1 − r), so less is better throughout. A metric on the genes with the
strongest differential expression is a metric of its own: `mse` on 100 genes is `mse_deg100`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from benchmarks.errors import DataError
from benchmarks.scoring.external.imported_tables import Importer, MetricFacts, ResultFile, read_numbers, read_rows

NEEDED = ("performance", "metric", "DataSet", "method", "perturb")
METRICS = {
    "mse": ("mean squared error of mean profiles", "profile"),
    "root_mean_squared_error": ("root of the mean squared error of mean profiles", "profile"),
    "mean_absolute_error": ("mean absolute error of mean profiles", "profile"),
    "euclidean": ("Euclidean distance of mean profiles", "profile"),
    "r2_distance": ("1 − R² of mean profiles", "profile"),
    "spearman_distance": ("1 − Spearman correlation of mean profiles", "profile"),
    "cosine_distance": ("1 − cosine of mean profiles", "profile"),
    "pearson_distance": ("1 − Pearson correlation of mean changes from control", "change"),
    "edistance": ("E-distance between true and predicted cells", "distribution"),
    "mmd": ("maximum mean discrepancy between true and predicted cells", "distribution"),
    "wasserstein": ("Wasserstein distance between true and predicted cells", "distribution"),
    "sym_kldiv": ("log2 of 1 + the symmetric Kullback–Leibler divergence", "distribution"),
    "mean_var_distribution": ("distance of the distributions of mean and variance", "distribution"),
}
"""Distance of pertpy → what it is, and its family; 0 is the best of each."""


def read(files: Sequence[ResultFile]) -> pd.DataFrame:
    """Read tables of one or more data sets."""
    return pd.concat([_read(file) for file in files], ignore_index=True)


def facts(name: str) -> MetricFacts | None:
    """What is known of a metric, on whatever number of genes."""
    metric, genes = re.fullmatch(r"(.*?)(?:_deg(\d+))?", name).groups()  # type: ignore[union-attr]
    if metric not in METRICS:
        return None
    words, family = METRICS[metric]
    return MetricFacts(
        False, words + (f", on the {genes} genes with the strongest change" if genes else ""), family, 0.0
    )


def _read(file: ResultFile) -> pd.DataFrame:
    table = read_rows(file.path, NEEDED, "\t")
    if file.model:
        raise DataError(f"{file.path} names its methods itself; give the file alone, and --rename for other names.")
    genes = "_deg" + table["DEG"] if "DEG" in table else ""
    numbers = set(table.get("hvg", []))
    found = {
        "dataset": table["DataSet"] + "_hvg" + table["hvg"] if len(numbers) > 1 else table["DataSet"],
        "model": table["method"],
        "seed": read_numbers(table["seed"], file.path).astype(int) if "seed" in table else 0,
        "context": file.context or table.get("outSample", "all"),
        "perturbation": table["perturb"],
        "metric": table["metric"] + genes,
        "value": read_numbers(table["performance"], file.path),
    }
    if "Nstimulated" in table:
        found["n_truth_cells"] = read_numbers(table["Nstimulated"], file.path)
    return pd.DataFrame(found)


IMPORTER = Importer("scperturbench", "https://github.com/bm2-lab/scPerturBench", read, facts)
