"""What the CycSeq paper prints, to be set beside results on real data and on nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

SOURCE = "CycSeq, IJCAI 2025: Tables 1 and 2, and the text on Figure 3"
NOTE = (
    f"Published values are those of {SOURCE}. Its R² is the squared Pearson correlation (r2_pearson here), its line MM1 is MM1S. "
    "They were measured on draws of cells that were trained on, with NK-exposed against unexposed cells as the two sides of the "
    "CROP-seq lines, after another pre-processing: they are shown for orientation, and a difference to ours is not an error of "
    "either. scGen's and GEARS's direction is not stated there; they stand with n2p."
)


def published(item: str) -> pd.DataFrame:
    """Read the published values of "table1", "table2" or "figure3": model, direction, name, metric, value."""
    table = pd.read_csv(Path(__file__).with_name("published.csv"))
    return table[table["item"] == item].drop(columns="item")
