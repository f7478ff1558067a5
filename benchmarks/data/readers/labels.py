"""Cell labels as they come → canonical obs: controls in any spelling, sorted combinations, doses in nM."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL
from benchmarks.data.readers.gene_columns import restore
from benchmarks.data.schema import condition_name, validate_labels
from benchmarks.errors import DataError

_CONTROL_WORDS = (
    "control ctrl ctl nontargeting nontargetting nontarget negctrl negcontrol negativecontrol nt ntc vehicle dmso "
    "unperturbed untreated mock pbs"
)
CONTROL_WORDS = frozenset(_CONTROL_WORDS.split())
"""Labels of controls, without case, blanks, signs and trailing numbers."""
UNITS = {"pm": 1e-3, "nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "mm": 1e6, "m": 1e9}
"""nM in one of each unit."""
_DOSE = re.compile(r"(?P<number>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)\s*(?P<unit>[pnuµμm]?M)?", re.IGNORECASE)
NOTHING = frozenset(("", "na", "nan", "none", "*"))
"""Labels of cells whose perturbation is not known."""


@dataclass(frozen=True)
class Labelling:
    """How perturbation labels are written in a source."""

    separator: str | None = None
    """Between the parts of a combination; None: labels are single."""
    controls: tuple[str, ...] = ()
    """Labels of controls, in any case; `CONTROL_WORDS` where none is given."""
    genes: bool = True
    """Whether perturbations are genes, whose names may have become dates."""


def is_control(label: str, controls: Sequence[str] = ()) -> bool:
    """Say whether a label means control, whatever its case: "Non-Targeting", "CTRL", "NegCtrl10"."""
    if controls:
        return label.strip().casefold() in {c.strip().casefold() for c in controls}
    word = re.sub(r"[^a-z0-9]", "", label.casefold())
    return word in CONTROL_WORDS or (len(word) > 6 and word.rstrip("0123456789") in CONTROL_WORDS)


def name_perturbations(labels: pd.Series, source: str, how: Labelling, notes: list[str] | None = None) -> pd.Series:
    """Bring perturbation labels into canonical form.

    Parameters
    ----------
    labels
        As they come [cell]; missing where a cell's perturbation is not known.
    source
        The file, for messages and `notes`, which take what was changed.
    how
        How the labels are written.

    Returns
    -------
    Series
        "control", a name, or names sorted and joined by "+"; missing stays missing. A control named as part of a
        combination is left out of it: "AHR+ctrl" is "AHR".

    Raises
    ------
    DataError
        No cell is a control, none has a label, or a date may be more than one gene.
    """
    text = labels.astype("string").str.strip()
    text = text.mask(text.str.casefold().isin(NOTHING))
    known = text.dropna().unique()
    if not len(known):
        raise DataError(
            f"{source}: no cell has a perturbation. Are the guide or hash calls of these cells in the file?"
        )
    names = {label: _name(label, how) for label in known}
    spellings = sorted(label for label, name in names.items() if name == CONTROL)
    if not spellings:
        expected = (
            " or ".join(f"'{c}'" for c in how.controls) or f"one of {', '.join(sorted(CONTROL_WORDS))}, in any case"
        )
        raise DataError(
            f"{source}: no cell is a control; expected {expected}, it has labels such as {', '.join(sorted(known)[:8])}. "
            "Name the control's label."
        )
    if notes is not None and len(spellings) > 1 and len({s.casefold() for s in spellings}) < len(spellings):
        notes.append(
            f"{source}: controls are spelled in {len(spellings)} ways ({', '.join(spellings[:4])}); all are taken."
        )
    named = text.map(names)
    if not how.genes:
        return named
    kept = list(named.dropna().unique())
    return named.map(dict(zip(kept, restore(kept, source, notes=notes), strict=True)))


def _name(label: str, how: Labelling) -> str:
    if is_control(label, how.controls):
        return CONTROL
    if how.separator is None:
        return label.replace("+", "plus")  # "+" joins combinations; a compound may have it in its name, as (+)-JQ1
    parts = [part.strip() for part in label.split(how.separator)]
    kept = [part.replace("+", "plus") for part in parts if part and not is_control(part, how.controls)]
    return condition_name("+".join(sorted(set(kept)))) if kept else CONTROL


def parse_doses(values: pd.Series, source: str, unit: str = "nM") -> np.ndarray:
    """Read doses, with or without a unit, as nM.

    Parameters
    ----------
    values
        Numbers or text such as "10", "1e3", "0.1 uM" [cell]; missing is NaN.
    unit
        Of values that name none: pM, nM, uM, mM or M.

    Raises
    ------
    DataError
        A dose that is not a number, is negative, or an unknown unit.
    """
    if unit.casefold() not in UNITS:
        raise DataError(f"Dose unit '{unit}' is not known; expected pM, nM, uM, mM or M.")
    text = values.astype("string").str.strip()
    text = text.mask(text.str.casefold().isin(NOTHING))
    doses = {label: _dose(label, unit) for label in text.dropna().unique()}
    bad = sorted(label for label, dose in doses.items() if not 0 <= dose < np.inf)
    if bad:
        raise DataError(
            f"{source}: {int(text.isin(bad).sum())} cells have a dose that is not a number, such as '{bad[0]}'; "
            "expected a number of 0 or more, alone or with pM, nM, uM, mM or M. Mend these, or leave the cells out."
        )
    return text.map(doses).to_numpy(dtype=np.float64, na_value=np.nan)


def _dose(label: str, unit: str) -> float:
    found = _DOSE.fullmatch(label)
    return float(found["number"]) * UNITS[(found["unit"] or unit).casefold()] if found else np.nan


def canonical_obs(
    source: str,
    perturbation: pd.Series,
    context: pd.Series | str,
    batch: pd.Series | str,
    arm: pd.Series | str = "none",
    dose: np.ndarray | None = None,
) -> pd.DataFrame:
    """Make the obs table of canonical cells; raises as `schema.validate_labels`.

    Parameters
    ----------
    source
        The file, for messages.
    perturbation
        Canonical names [cell]; the index names the cells.
    context, batch, arm
        As they come: [cell], or one text for all.
    dose
        nM [cell]; None where perturbations have no dose. A control's dose is NaN whatever is given.
    """
    index = pd.Index(perturbation.index.astype(str))
    text = {"perturbation": perturbation, "context": context, "arm": arm, "batch": batch}
    obs = pd.DataFrame({name: _text(value, len(index)) for name, value in text.items()}, index=index)
    obs["control_group"] = np.where(obs["arm"] == "none", obs["context"], obs["context"] + "|" + obs["arm"])
    control = obs["perturbation"] == CONTROL
    obs["dose"] = np.nan if dose is None else np.where(control, np.nan, dose)
    obs = obs.assign(is_control=control.astype(bool))
    validate_labels(obs, source)
    return obs.astype(dict.fromkeys((*text, "control_group"), "category"))


def as_text(values: pd.Series) -> pd.Series:
    """Write labels as text without blanks around them; whole numbers that pandas holds as 1.0 are "1"."""
    if pd.api.types.is_float_dtype(values.dtype) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    text = values.astype("string").str.strip()
    return text.mask(text == "")


def _text(value: pd.Series | str, n: int) -> np.ndarray:
    if isinstance(value, str):
        return np.full(n, value, dtype=object)
    return as_text(value).to_numpy(dtype=object, na_value=None)


def tell_missing(wanted: Iterable[str], found: Iterable[str], source: str, notes: list[str]) -> None:
    """Note the conditions that were planned and have no cell."""
    absent = sorted(set(wanted) - set(found))
    if absent:
        notes.append(
            f"{source}: no cell has {', '.join(absent[:8])}{' …' if len(absent) > 8 else ''} ({len(absent)} in all)."
        )
