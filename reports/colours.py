"""One colour per model, the same in every figure and page, with a lighter form for dark pages."""

from collections.abc import Iterable
from itertools import cycle

REFERENCE = "#111111"
_OWN = {
    "cycseq_n2p": "#d55e00",
    "cycseq_p2n": "#d55e00",
    "cycseq_plus_n2p": "#56b4e9",
    "cycseq_plus_p2n": "#56b4e9",
    "cycseq_pretrained_n2p": "#8c2d04",
    "cycseq_pretrained_p2n": "#8c2d04",
    "scgen": "#0173b2",
    "scvi": "#332288",
    "biolord": "#6699cc",
    "cellot": "#7b6fd0",
    "gears": "#029e73",
    "grn_propagation": "#117733",
    "gsfa_like": "#44aa99",
    "linear": "#cc78bc",
    "linear_go": "#882255",
    "additive": "#aa4499",
    "knn": "#cc6677",
    "context_transfer": "#de8f05",
    "own_gene": "#999933",
    "ot_barycentric": "#b8860b",
    "no_change": "#9a9a9a",
    "train_mean": "#5c5c5c",
    "train_control": "#303030",
    "split_half": REFERENCE,
}
"""Models of the project: hues that the usual kinds of colour blindness keep apart, and lightness where hues repeat."""
_FREE = ("#ca9161", "#d4a900", "#e377c2", "#661100", "#2a9df4", "#6b8e23", "#b22222", "#008080", "#7f5f00", "#5d3fd3")


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """Give each model its colour as "#rrggbb"; brackets are grey, the split half is black.

    The models of this project keep their colour in every results folder; others take the free ones in alphabetical
    order, and share them when there are more than ten.
    """
    free = cycle(_FREE)
    return {name: _OWN[name] if name in _OWN else next(free) for name in sorted(set(models))}


def on_dark(colour: str) -> str:
    """Lighten a colour "#rrggbb" for a dark page: two fifths of the way to white, more where it is very dark."""
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    share = 0.4 if sum(parts) > 250 else 0.6
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in parts)
