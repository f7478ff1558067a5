"""One colour and shape for each model, the same in every picture, page and results folder; nothing here draws.

Models of a family share a hue; within it they differ by shade and by shape, so no two models share both. Hues are those of
Okabe and Ito, and of Tol, which people with colour blindness tell apart.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

SHAPES = (
    *("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x"),
    *("triangle-left", "triangle-right", "pentagon", "star", "hexagon"),
)
"""Names of shapes, those of Plotly."""


@dataclass(frozen=True)
class ModelStyle:
    """How a model is drawn."""

    colour: str
    """As "#rrggbb"."""
    shape: str
    """One of `SHAPES`."""
    family: str


@dataclass(frozen=True)
class Family:
    """Models that share a hue."""

    name: str
    shades: tuple[str, ...]
    models: tuple[str, ...]
    """In the order in which they get shapes and shades, without their direction."""
    first: int = 0
    """Place of the first model's shape: models of other families that look alike to some eyes have other shapes."""
    prefix: str = ""
    """Other models whose names begin so belong to it too; "": none."""


_CYCSEQ = ("cycseq", "cycseq_plus", "cycseq_pretrained", "cycseq_plus_pretrained")
FAMILIES = (
    Family("CycSeq", ("#d55e00", "#8f3a00", "#f0894a", "#5f2600"), _CYCSEQ, prefix="cycseq"),
    Family("linear", ("#b8558f", "#7f2f63", "#d98bb8"), ("linear", "linear_go", "additive", "gsfa_like"), 5),
    Family("neighbours and transfer", ("#e69f00", "#a87300"), ("context_transfer", "knn", "own_gene"), 10),
    Family("latent space", ("#0072b2", "#4b93c9", "#00456b"), ("scgen", "scvi", "biolord"), 9),
    Family("gene networks", ("#009e73", "#00644a"), ("gears", "grn_propagation"), 3),
    Family("optimal transport", ("#8a5a2b", "#5a3714"), ("cellot", "ot_barycentric"), 7),
    Family("brackets", ("#9a9a9a", "#5c5c5c", "#303030"), ("no_change", "train_mean", "train_control"), 1),
)
OTHERS = Family("others", ("#6f7f1f", "#332288", "#2f8f83", "#882255"), ())
"""Models that are in no family, such as plugins."""


def model_styles(models: Iterable[str]) -> dict[str, ModelStyle]:
    """Give each model a style of its own; the two directions of one model share it.

    Models of this project have the same style in every results folder. Others take what is left in alphabetical order, so all
    pictures of a folder ask for the styles of all its models.
    """
    given = sorted(set(models))
    names = sorted({without_direction(name) for name in given})
    places = {name: (family, place) for family in FAMILIES for place, name in enumerate(family.models)}
    taken = {family.name: len(family.models) for family in (*FAMILIES, OTHERS)}
    for name in (name for name in names if name not in places):
        family = next((f for f in FAMILIES if f.prefix and name.startswith(f.prefix)), OTHERS)
        places[name] = family, taken[family.name]
        taken[family.name] += 1
    return {name: _style(*places[without_direction(name)]) for name in given}


def vega_shape(shape: str) -> str:
    """Name a shape for Vega, which draws those that it has no name for as an SVG path within −1 and 1."""
    if shape == "x":
        return "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
    corners = {"pentagon": [1.0] * 5, "hexagon": [1.0] * 6, "star": [1.0, 0.45] * 5}.get(shape)
    if corners is None:
        return shape
    turns = [(radius, 2 * math.pi * place / len(corners)) for place, radius in enumerate(corners)]
    return "M" + "L".join(f"{r * math.sin(turn):.3f},{-r * math.cos(turn):.3f}" for r, turn in turns) + "Z"


def without_direction(model: str) -> str:
    """Take the direction off a model's name: `cycseq_n2p` and `cycseq_p2n` are one model."""
    return model.removesuffix("_n2p").removesuffix("_p2n")


def _style(family: Family, place: int) -> ModelStyle:
    """Pair shapes and shades, so that a pair comes again after all of them at the earliest."""
    shade = (place + place // len(SHAPES)) % len(family.shades)
    return ModelStyle(family.shades[shade], SHAPES[(family.first + place) % len(SHAPES)], family.name)


def on_dark(colour: str) -> str:
    """Lighten a colour "#rrggbb" for a dark page: two fifths of the way to white, more where it is very dark."""
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    share = 0.4 if sum(parts) > 250 else 0.6
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in parts)
