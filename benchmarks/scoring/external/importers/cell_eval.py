"""cell-eval: `results.csv`, a line per perturbation and a column per metric, one file a model; and `agg_results.csv`.

`agg_results.csv` holds statistics over perturbations; of these the means are taken, one value a metric, which can be ranked but
has no interval.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from benchmarks.errors import DataError
from benchmarks.scoring.external.imported_tables import Importer, MetricFacts, ResultFile, read_numbers, read_rows

AGGREGATED = "statistic"
"""Column of agg_results.csv that names the statistic of a line."""
ENDINGS = ("agg_ceiling_results", "ceiling_results", "agg_results", "results")
"""Ends of file names, behind the cell type where the results were split by it."""
CEILING = "ceiling"
METRICS = {
    r"pearson_delta": MetricFacts(True, "correlation of true and predicted mean change from control", "change", 1.0),
    r"(mse|mae)": MetricFacts(False, "error of the predicted mean profile", "profile", 0.0),
    r"(mse|mae)_delta": MetricFacts(False, "error of the predicted mean change from control", "change", 0.0),
    r"discrimination_score_(l1|l2|cosine)": MetricFacts(
        True,
        "rank of the true perturbation among all by distance to the prediction, 1 is the nearest",
        "retrieval",
        1.0,
    ),
    r"top_k_accuracy": MetricFacts(True, "share of perturbations found among the k nearest", "retrieval", 1.0),
    r"pearson_edistance": MetricFacts(
        True, "correlation over perturbations of true and predicted E-distance from control", "distribution", 1.0
    ),
    r"overlap_at_(N|\d+)": MetricFacts(
        True, "share of the top genes of the truth that are predicted", "expression", 1.0
    ),
    r"precision_at_(N|\d+)": MetricFacts(True, "share of the predicted top genes that are true", "expression", 1.0),
    r"de_spearman_(sig|lfc_sig)": MetricFacts(
        True, "rank correlation of true and predicted differential expression", "expression", 1.0
    ),
    r"de_direction_match": MetricFacts(True, "share of significant genes of the right sign", "expression", 1.0),
    r"de_sig_genes_recall": MetricFacts(True, "share of significant genes that are predicted", "expression", 1.0),
    r"(pr|roc)_auc": MetricFacts(True, "recovery of significant genes", "expression", 1.0),
    r"de_nsig_counts_(real|pred)": MetricFacts(None, "number of significant genes", "expression"),
    r"clustering_agreement": MetricFacts(True, "agreement of clusters of perturbations", "distribution", 1.0),
}
"""Pattern of a metric's name → what it is."""


def read(files: Sequence[ResultFile]) -> pd.DataFrame:
    """Read the tables of all models: either results.csv of all, or agg_results.csv of all."""
    tables = [(_named(file), read_rows(file.path, ())) for file in files]
    aggregated = [AGGREGATED in table for _, table in tables]
    if any(aggregated) and not all(aggregated):
        raise DataError(
            "Some files are agg_results.csv and some results.csv; give one kind, results.csv where you have them."
        )
    parts = [_means(*one) if aggregated[0] else _wide(*one) for one in tables]
    names = [(file.model, file.context) for file, _ in tables]
    for name in (name for name in names if names.count(name) > 1):
        raise DataError(
            f"Two files are of model {name[0]}, context {name[1]}; name each: MODEL=FILE or MODEL/CONTEXT=FILE."
        )
    return pd.concat(parts, ignore_index=True).assign(dataset="cell-eval", seed=0)


def facts(name: str) -> MetricFacts | None:
    """What is known of a metric."""
    return next((known for pattern, known in METRICS.items() if re.fullmatch(pattern, name)), None)


def _named(file: ResultFile) -> ResultFile:
    """Name model and context after folder and file, where the user has not: MODEL/results.csv, MODEL/CONTEXT_results.csv."""
    stem = file.path.stem
    ending = next((end for end in ENDINGS if stem == end or stem.endswith(f"_{end}")), "")
    context = stem.removesuffix(ending).rstrip("_") if ending else ""
    by_name = CEILING if CEILING in ending else file.path.resolve().parent.name if ending else stem
    return ResultFile(file.path, file.model or by_name, file.context or context or "all")


def _wide(file: ResultFile, table: pd.DataFrame) -> pd.DataFrame:
    if "perturbation" not in table:
        raise DataError(f"{file.path} lacks column perturbation; expected results.csv or agg_results.csv of cell-eval.")
    return _long(file, table, [name for name in table if name != "perturbation"])


def _means(file: ResultFile, table: pd.DataFrame) -> pd.DataFrame:
    mean = table[table[AGGREGATED] == "mean"]
    if len(mean) != 1:
        raise DataError(f"{file.path} has {len(mean)} lines of statistic 'mean'; expected one, as cell-eval writes.")
    return _long(file, mean.assign(perturbation="mean of all"), [name for name in table if name != AGGREGATED])


def _long(file: ResultFile, table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Lay a wide table out as one row a value."""
    columns = {name: read_numbers(table[name], file.path) for name in metrics}
    parts = [
        pd.DataFrame({"perturbation": table["perturbation"], "metric": name, "value": values})
        for name, values in columns.items()
    ]
    if not parts:
        raise DataError(f"{file.path} has no column of a metric.")
    return pd.concat(parts, ignore_index=True).assign(model=file.model, context=file.context)


IMPORTER = Importer("cell-eval", "https://github.com/ArcInstitute/cell-eval", read, facts)
