"""Cell labels as they come → canonical obs: controls in any spelling, sorted combinations, doses in nM."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
NOTHING = frozenset(("", "na", "nan", "none", "*", "<na>"))
"""Labels of cells whose perturbation is not known."""
_LIKE_CONTROLS = re.compile(
    r"(sg)?ntc?[-_ .]?(g|sg|guide)?[-_ .]?\d+|ntc([-_ .].*|\d*)|.*non[-_ .]?target.*|.*safe[-_ .]?(target|harbou?r).*|.*intergenic.*|"
    r"aavs1.*|rosa26.*|(neg(ative)?|scrambled?)([-_ .]?(ctrl|control|guide))?[-_ .]?\d*|.*(ctrl|control)[-_ .]?\d*|"
    r"(vehicle|dmso|pbs|mock|un(treated|perturbed|stimulated|infected)|(si|sh|sg)?(luc(iferase)?|lacz|e?gfp|ntc?|neg)|water|saline|"
    r"media|medium|baseline|sham|blank|naive|no[-_ .]?(treatment|stim(ulation)?|drug|target)|wild[-_ .]?type|wt|"
    r"ev|empty([-_ .]?vector)?)([-_ .]?\d*|[-_ .]\d.*)|0(\.0)?|false",
    re.IGNORECASE,
)
_LIKE_NOTHING = re.compile(
    r"no[-_ .]?(guide|sgrna|grna|call|perturbation)|un(assigned|known|mapped|determined)|multi(plet|ple)s?|doublets?|ambiguous",
    re.IGNORECASE,
)
_PARTS = re.compile("[_,;|/]")
_GUIDE = re.compile(r"(sg|g|guide|rep|p)?\d*", re.IGNORECASE)


@dataclass(frozen=True)
class Labelling:
    """How perturbation labels are written in a source."""

    separator: str | None = None
    """Between the parts of a combination; None or "": labels are single."""
    controls: tuple[str, ...] = ()
    """Labels of controls, in any case, or patterns such as "NTC_*"; `CONTROL_WORDS` where none is given."""
    genes: bool = True
    """Whether perturbations are genes, whose names may have become dates."""


def is_control(label: str, controls: Sequence[str] = ()) -> bool:
    """Say whether a label means control, whatever its case: "Non-Targeting", "CTRL", "NegCtrl10"."""
    if controls:
        return any(fnmatchcase(label.strip().casefold(), c.strip().casefold()) for c in controls)
    word = re.sub(r"[^a-z0-9]", "", label.casefold())
    return word in CONTROL_WORDS or (len(word) > 6 and word.rstrip("0123456789") in CONTROL_WORDS)


def doubtful(names: Iterable[str]) -> dict[str, list[str]]:
    """Find perturbations whose names look like controls, like no perturbation, or like combinations.

    Returns
    -------
    dict
        "controls", "nothing" and "combinations" → the names, sorted; a combination is one whose parts are perturbations too.
    """
    known = set(names)
    found: dict[str, list[str]] = {"controls": [], "nothing": [], "combinations": []}
    for name in sorted(known):
        parts = _PARTS.split(name)
        perturbed = [part for part in parts if not (is_control(part) or _GUIDE.fullmatch(part))]
        if _LIKE_NOTHING.fullmatch(name):
            found["nothing"].append(name)
        elif len(parts) > 1 and perturbed and (known.issuperset(parts) or any(is_control(part) for part in parts)):
            found["combinations"].append(name)
        elif _LIKE_CONTROLS.fullmatch(name):
            found["controls"].append(name)
    return found


def likely(names: Iterable[str], most: int = 8) -> str:
    """List some labels, those that look like controls first."""
    like = [name for name in names if _LIKE_CONTROLS.fullmatch(name)]
    found = [*sorted(like), *sorted(set(names).difference(like))]
    return ", ".join(found[:most]) + (f" … ({len(found)} in all)" if len(found) > most else "")


def tell_doubtful(labels: pd.Series, source: str, notes: list[str]) -> None:
    """Note perturbations [cell] that look like something else, and what to pass."""
    counts = labels[labels != CONTROL].value_counts()
    found = doubtful(str(name) for name in counts.index)
    words = {
        "controls": ("look like controls", "if they are, give each label or a pattern with --control"),
        "nothing": ("look like cells without a perturbation", "if they are, leave them out or label them 'nan'"),
        "combinations": ("look like combinations", "if they are, give what joins them with --separator"),
    }
    for kind, names in found.items():
        if names:
            what, remedy = words[kind]
            some = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
            notes.append(
                f"{source}: {len(names)} perturbations ({int(counts[names].sum())} cells) {what} and are taken as "
                f"perturbations: {some}; {remedy}."
            )


def name_perturbations(
    labels: pd.Series, source: str, how: Labelling, notes: list[str] | None = None, *, controls: bool = True
) -> pd.Series:
    """Bring perturbation labels into canonical form.

    Parameters
    ----------
    labels
        As they come [cell]; missing where a cell's perturbation is not known.
    source
        The file, for messages and `notes`, which take what was changed.
    how
        How the labels are written.
    controls
        Whether some cell must be a control.

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
    text = known(labels)
    names_given = text.dropna().unique()
    if not len(names_given):
        raise DataError(
            f"{source}: no cell has a perturbation. Are the guide or hash calls of these cells in the file?"
        )
    if CONTROL in names_given and not is_control(CONTROL, how.controls):
        raise DataError(
            f"{source}: {int((text == CONTROL).sum())} cells are labelled '{CONTROL}', which is not among the labels given with "
            f"--control ({', '.join(how.controls)}). Give it too, or rename the perturbation."
        )
    names = {label: _name(label, how) for label in names_given}
    spellings = sorted(label for label, name in names.items() if name == CONTROL)
    if not spellings and controls:
        expected = (
            " or ".join(f"'{c}'" for c in how.controls) or f"one of {', '.join(sorted(CONTROL_WORDS))}, in any case"
        )
        raise DataError(
            f"{source}: no cell is a control; expected {expected}, it has labels such as {likely(names_given)}. Name the "
            "control's label with --control (several times for several), or another column with --perturbation-key."
        )
    if notes is not None and len(spellings) > 1 and len({s.casefold() for s in spellings}) < len(spellings):
        notes.append(
            f"{source}: controls are spelled in {len(spellings)} ways ({', '.join(spellings[:4])}); all are taken."
        )
    named = text.map(names)
    if notes is not None:
        tell_doubtful(named.dropna(), source, notes)
    if not how.genes:
        return named
    kept = list(named.dropna().unique())
    return named.map(dict(zip(kept, restore(kept, source, notes=notes), strict=True)))


def _name(label: str, how: Labelling) -> str:
    if is_control(label, how.controls):
        return CONTROL
    if not how.separator:
        return label.replace("+", "plus")  # "+" joins combinations; a compound may have it in its name, as (+)-JQ1
    parts = [part.strip() for part in label.split(how.separator)]
    kept = [part.replace("+", "plus") for part in parts if part and not is_control(part, how.controls)]
    return condition_name("+".join(sorted(set(kept)))) if kept else CONTROL


def parse_doses(values: pd.Series, source: str, unit: str = "nM") -> np.ndarray:
    """Read doses, with or without a unit, as nM.

    Parameters
    ----------
    values
        Numbers or text such as "10", "1e3", "0.1 uM" [cell]; missing is NaN. Six digits count.
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
            "expected a number of 0 or more, alone or with pM, nM, uM, mM or M. Mend these, or leave the cells out; of doses "
            "in another unit give the numbers alone."
        )
    return text.map(doses).to_numpy(dtype=np.float64, na_value=np.nan)


def _dose(label: str, unit: str) -> float:
    found = _DOSE.fullmatch(label)
    if not found:
        return np.nan
    dose = float(found["number"]) * UNITS[(found["unit"] or unit).casefold()]
    return float(f"{dose:.6g}")  # 0.07 µM is 70 nM, and a dose that was once float32 is what it was


def canonical_obs(
    source: str,
    perturbation: pd.Series,
    context: pd.Series | str,
    batch: pd.Series | str,
    arm: pd.Series | str = "none",
    dose: np.ndarray | None = None,
    *,
    whole: bool = True,
) -> pd.DataFrame:
    """Make the obs table of canonical cells; raises as `schema.validate_labels`, to which `whole` goes.

    Parameters
    ----------
    source
        The file, for messages.
    perturbation
        Canonical names [cell]; the index names the cells.
    context, batch, arm
        As they come: [cell], or one text for all.
    dose
        nM [cell]; None where perturbations have no dose. A control's dose is NaN whatever is given, and so is a dose of 0.
    """
    index = pd.Index(perturbation.index.astype(str))
    text = {"perturbation": perturbation, "context": context, "arm": arm, "batch": batch}
    obs = pd.DataFrame({name: _text(value, len(index)) for name, value in text.items()}, index=index)
    obs["control_group"] = np.where(obs["arm"] == "none", obs["context"], obs["context"] + "|" + obs["arm"])
    control = obs["perturbation"] == CONTROL
    obs["dose"] = np.nan if dose is None else np.where(control | (dose == 0), np.nan, dose)
    obs = obs.assign(is_control=control.astype(bool))
    validate_labels(obs, source, whole=whole)
    return obs.astype(dict.fromkeys((*text, "control_group"), "category"))


def known(values: pd.Series) -> pd.Series:
    """Write labels as text, missing where they say nothing; see `as_text` and `NOTHING`."""
    text = as_text(values)
    return text.mask(text.str.casefold().isin(NOTHING))


def tell_undosed(names: pd.Series, doses: np.ndarray, source: str, notes: list[str]) -> None:
    """Note perturbed cells [cell] without a dose, or with a dose of 0, which some files give to untreated cells."""
    perturbed = (names != CONTROL).to_numpy()
    missing, zero = int((perturbed & np.isnan(doses)).sum()), int((perturbed & (doses == 0)).sum())
    if missing and missing < perturbed.sum():
        notes.append(
            f"{source}: {missing} of {perturbed.sum()} perturbed cells have no dose, and are conditions of their own."
        )
    if zero:
        notes.append(
            f"{source}: {zero} perturbed cells have dose 0 and are taken as perturbed, without a dose; label them as controls if "
            "they were not treated."
        )


def as_text(values: pd.Series) -> pd.Series:
    """Write labels as text without blanks around them; whole numbers that pandas holds as 1.0 are "1"."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype if values.cat.categories.dtype.kind == "f" else object)
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
