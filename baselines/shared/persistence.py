"""Files of fitted predictors."""

import pickle
from pathlib import Path


def save_attributes(model: object, folder: Path) -> None:
    """Write all attributes of a fitted predictor; `save = save_attributes` in a class makes this its method."""
    with (folder / "model.pickle").open("wb") as file:
        pickle.dump(vars(model), file)


def load_attributes(model: object, folder: Path) -> None:
    """Restore the attributes that `save_attributes` wrote; the file has to come from a trusted source."""
    with (folder / "model.pickle").open("rb") as file:
        vars(model).update(pickle.load(file))
