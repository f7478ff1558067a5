"""Saving of predictors whose attributes are arrays, tables and plain values."""

from pathlib import Path


def save_attributes(model: object, folder: Path) -> None:
    """Write all attributes of a fitted predictor."""
    import joblib

    joblib.dump(vars(model), folder / "model.joblib")


def load_attributes(model: object, folder: Path) -> None:
    """Restore the attributes that `save_attributes` wrote; the file has to come from a trusted source."""
    import joblib

    vars(model).update(joblib.load(folder / "model.joblib"))
