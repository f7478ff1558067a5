"""The charts of `report.html` as Vega-Lite, without their numbers: `report.js` adds these and draws.

Texts that begin with "@" are put in by `report.js`. Rows have their colour and shape in fields, the same for a model in every
chart. `python -m reports.html.charts` writes charts.json, which pages are made from: Altair takes longer to start than a page
takes to make.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHARTS = Path(__file__).parent / "templates" / "charts.json"

_TICKS = 5
_ROOM = {"zero": False, "nice": False, "padding": 14}
"""Scale with pixels between the outermost points and the axes; `label` in `report.js` counts on it."""


def chart_specs() -> dict[str, dict[str, Any]]:
    """Return every chart by its name in the page, as charts.json has it."""
    found: dict[str, dict[str, Any]] = json.loads(CHARTS.read_text(encoding="utf-8"))
    return found


def make_specs() -> dict[str, dict[str, Any]]:
    """Make every chart by Altair; the version of the schema is left out, since the page has one of Vega-Lite."""
    makers: dict[str, Callable[[Any], Any]] = {
        "ranking": _ranking,
        "contexts": _contexts,
        "conditions": _conditions,
        "effect": _effect,
        "cost": _cost,
        "calibration": _calibration,
        "copying": _copying,
        "genes": _genes,
        "cells": _cells,
    }
    import altair as alt  # of the extra `dev`

    specs = {name: make(alt).to_dict() for name, make in makers.items()}
    return {name: {key: part for key, part in spec.items() if key != "$schema"} for name, spec in specs.items()}


def _rows(alt: Any, name: str = "rows") -> Any:
    return alt.Chart(alt.NamedData(name=name))


def _lines(alt: Any, field: str, height: int) -> dict[str, Any]:
    """Properties of a chart that has a line of so many pixels for every value of a field."""
    return {"width": "container", "height": alt.Step(height), "usermeta": {"lines": field}}


def _own_colour(alt: Any) -> Any:
    """Colours that stand in the rows."""
    return alt.Color("colour:N", scale=None)


def _legend(alt: Any) -> Any:
    """Legend above a chart, one below the other where the page is narrow."""
    return alt.Legend(orient="top", columns=alt.ExprRef(expr="width > 400 ? 4 : 1"))


def _points(alt: Any, base: Any) -> Any:
    """Points in the models' shapes; those of models trained short are hollow."""
    return base.mark_point(size=75, strokeWidth=1.6, opacity=1).encode(
        color=_own_colour(alt), fill=alt.Fill("fill:N", scale=None), shape=alt.Shape("shape:N", scale=None)
    )


def _names(alt: Any, base: Any) -> Any:
    """Names beside the points that have room for one."""
    side, gap = (alt.ExprRef(expr=f"datum.left ? {left} : {right}") for left, right in (("'right'", "'left'"), (-9, 9)))
    return base.mark_text(align=side, dx=gap, dy=alt.ExprRef(expr="datum.shift || 0"), fontSize=11).encode(
        text="label:N"
    )


def _ranking(alt: Any) -> Any:
    """Mean and interval of every model; references as lines with bands."""
    x = alt.X("low:Q", title="@metric", scale=alt.Scale(**_ROOM), axis=alt.Axis(tickCount=_TICKS))
    base = _rows(alt).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=190, grid=True)),
        tooltip=[
            alt.Tooltip("model:N"),
            alt.Tooltip("text:N", title="mean [95 % interval]"),
            alt.Tooltip("note:N", title="remarks"),
        ],
    )
    bars = base.mark_rule(strokeWidth=2.5).encode(x=x, x2="high:Q", color=_own_colour(alt))
    dots = _points(alt, base.encode(x=alt.X("mean:Q", title="@metric")))
    references = _rows(alt, "references").encode(
        tooltip=[alt.Tooltip("model:N", title="reference"), alt.Tooltip("text:N", title="mean [95 % interval]")]
    )
    bands = references.mark_rect(opacity=0.12, color="#808080").encode(x=alt.X("low:Q", title="@metric"), x2="high:Q")
    dash = alt.StrokeDash(
        "model:N",
        sort=None,
        legend=alt.Legend(title="references", orient="bottom", symbolSize=400, symbolStrokeWidth=2),
    )
    lines = references.mark_rule(strokeWidth=1.6, color="#808080").encode(
        x=alt.X("mean:Q", title="@metric"), strokeDash=dash
    )
    return alt.layer(bands, lines, bars, dots).properties(
        **_lines(alt, "model", 24), description="Mean and 95 % interval of every model"
    )


def _heat(alt: Any, x: Any, y: Any) -> Any:
    """Coloured cells; the better end of the scale is the lighter one."""
    colour = alt.Color(
        "value:Q",
        title="@metric",
        scale=alt.Scale(scheme="cividis", reverse=alt.ExprRef(expr="lower")),
        legend=alt.Legend(orient="top", gradientLength=180, titleLimit=320),
    )
    tips = [alt.Tooltip(f"{name}:N") for name in ("model", "condition", "text")]
    lower = alt.param(name="lower", value=False)
    return _rows(alt).add_params(lower).encode(x=x, y=y, tooltip=tips), colour


def _contexts(alt: Any) -> Any:
    """Model × context, with the numbers."""
    x = alt.X("condition:N", sort=None, title="context", axis=alt.Axis(labelAngle=-35, labelLimit=140))
    y = alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=190))
    base, colour = _heat(alt, x, y)
    texts = base.mark_text(fontSize=11).encode(text="label:N", color=alt.Color("ink:N", scale=None))
    layers = alt.layer(base.mark_rect().encode(color=colour), texts).resolve_scale(color="independent")
    return layers.properties(**_lines(alt, "model", 22), description="Mean of every model in every context")


def _conditions(alt: Any) -> Any:
    """Condition × model."""
    x = alt.X("model:N", sort=None, title=None, axis=alt.Axis(orient="top", labelAngle=-50, labelLimit=130))
    y = alt.Y("condition:N", sort=None, title=None, axis=alt.Axis(labelLimit=170))
    base, colour = _heat(alt, x, y)
    return (
        base.mark_rect()
        .encode(color=colour)
        .properties(**_lines(alt, "condition", 15), description="Score of every model on every condition")
    )


def _model_scale(alt: Any) -> Any:
    scale = alt.Scale(domain=["@models"], range=["@colours"])
    return alt.Color(
        "model:N",
        scale=scale,
        sort=None,
        title=None,
        legend=alt.Legend(orient="top", columns=alt.ExprRef("width > 500 ? 4 : 2")),
    )


def _effect(alt: Any) -> Any:
    """Score of some models against the number of genes that the condition changes."""
    x = alt.X(
        "x:Q", title="@effect", scale=alt.Scale(type="symlog", constant=5, **_ROOM), axis=alt.Axis(tickCount=_TICKS)
    )
    tips = [alt.Tooltip(f"{name}:N") for name in ("model", "condition", "text")]
    base = _rows(alt).encode(x=x, y=alt.Y("y:Q", title="@metric", scale=alt.Scale(**_ROOM)), color=_model_scale(alt))
    dots = base.mark_circle(size=28, opacity=0.45).encode(tooltip=tips)
    lines = base.transform_loess("x", "y", groupby=["model"], bandwidth=0.7).mark_line(strokeWidth=2.5)
    return alt.layer(dots, lines).properties(
        width="container", height=320, description="Score against the number of genes that a condition changes"
    )


def _cost(alt: Any) -> Any:
    """Mean and interval against seconds of training."""
    x = alt.X(
        "seconds:Q",
        title="seconds to fit",
        scale=alt.Scale(type="log", nice=False, padding=14),
        axis=alt.Axis(tickCount=_TICKS),
    )
    base = _rows(alt).encode(x=x, tooltip=[alt.Tooltip(f"{name}:N") for name in ("model", "text", "time")])
    y = alt.Y("mean:Q", title="@metric", scale=alt.Scale(**_ROOM))
    bars = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title="@metric"), y2="high:Q", color=_own_colour(alt)
    )
    dots = _points(alt, base.encode(y=y))
    return alt.layer(bars, dots, _names(alt, base.encode(y=y))).properties(
        width="container", height=360, description="Score against the time of training"
    )


def _calibration(alt: Any) -> Any:
    """For every metric where split half and best model lie between baseline and ceiling."""
    x = alt.X(
        "value:Q",
        title="0: @baseline, 1: ceiling",
        scale=alt.Scale(domain=[-0.25, 1.25], clamp=True, nice=False),
        axis=alt.Axis(tickCount=_TICKS),
    )
    base = _rows(alt).encode(
        x=x,
        y=alt.Y("metric:N", sort=None, title=None, axis=alt.Axis(labelLimit=190, grid=True)),
        tooltip=[alt.Tooltip(f"{name}:N") for name in ("metric", "what", "text", "verdict")],
    )
    colour = alt.Color(
        "verdict:N",
        title=None,
        scale=alt.Scale(domain=["can rank", "uninformative"], range=["#1b7fbd", "#b06000"]),
        legend=_legend(alt),
    )
    shape = alt.Shape(
        "what:N",
        title=None,
        scale=alt.Scale(domain=["split half", "best model"], range=["diamond", "circle"]),
        legend=_legend(alt),
    )
    dots = base.mark_point(size=80, filled=True, opacity=1).encode(color=colour, shape=shape)
    ends = (
        alt.Chart(alt.Data(values=[{"at": 0}, {"at": 1}]))
        .mark_rule(strokeDash=[4, 3], color="#808080")
        .encode(x="at:Q")
    )
    return alt.layer(ends, dots).properties(
        **_lines(alt, "metric", 20), description="Where split half and best model lie for every metric"
    )


def _diagonal(alt: Any, x: str, y: str) -> Any:
    return _rows(alt, "diagonal").mark_line(strokeDash=[5, 4], color="#808080", strokeWidth=1.3).encode(x=x, y=y)


def _copying(alt: Any) -> Any:
    """Likeness to the truth against likeness to other cells of the input's state."""
    x = alt.X(
        "x:Q",
        title="likeness of prediction and reference controls",
        scale=alt.Scale(**_ROOM),
        axis=alt.Axis(tickCount=_TICKS),
    )
    y = alt.Y(
        "y:Q", title="likeness of prediction and truth", scale=alt.Scale(**_ROOM), axis=alt.Axis(tickCount=_TICKS)
    )
    base = _rows(alt).encode(x=x, y=y, tooltip=[alt.Tooltip(f"{name}:N") for name in ("model", "flagged")])
    return alt.layer(_diagonal(alt, "x:Q", "y:Q"), _points(alt, base), _names(alt, base)).properties(
        width="container", height=360, description="Likeness to the truth against likeness to the input's state"
    )


def _genes(alt: Any) -> Any:
    """Predicted against true change of some genes of one condition."""
    x = alt.X("true:Q", title="true change (@unit)", scale=alt.Scale(**_ROOM), axis=alt.Axis(tickCount=_TICKS))
    y = alt.Y(
        "predicted:Q", title="predicted change (@unit)", scale=alt.Scale(**_ROOM), axis=alt.Axis(tickCount=_TICKS)
    )
    zero = alt.Chart(alt.Data(values=[{"at": 0}]))
    base = _rows(alt).encode(
        x=x,
        y=y,
        tooltip=[
            alt.Tooltip("gene:N"),
            alt.Tooltip("true:Q", format=".3f"),
            alt.Tooltip("predicted:Q", format=".3f"),
            alt.Tooltip("kind:N"),
        ],
    )
    kinds = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(
            domain=["perturbed gene", "largest true changes", "other genes"], range=["#d55e00", "#1b7fbd", "#8a8a8a"]
        ),
        legend=_legend(alt),
    )
    dots = base.mark_circle(size=40, opacity=0.75).encode(color=kinds)
    return alt.layer(
        zero.mark_rule(color="#808080", opacity=0.5).encode(x="at:Q"),
        zero.mark_rule(color="#808080", opacity=0.5).encode(y="at:Q"),
        _diagonal(alt, "true:Q", "predicted:Q"),
        dots,
        _names(alt, base),
    ).properties(width="container", height=400, description="Predicted against true change of genes")


def _cells(alt: Any) -> Any:
    """UMAP of input, true and predicted cells."""
    axis = alt.Axis(ticks=False, labels=False, grid=False)
    sets = alt.Color(
        "cells:N",
        title=None,
        scale=alt.Scale(domain=["input", "true", "predicted"], range=["#9a9a9a", "#1b7fbd", "#d55e00"]),
        legend=alt.Legend(orient="top"),
    )
    shape = alt.Shape(
        "unit:N",
        title="unit",
        scale=alt.Scale(domain=["cell", "mean", "draw"], range=["circle", "diamond", "triangle"]),
        legend=None,
    )
    return (
        _rows(alt)
        .mark_point(filled=True, size=34, opacity=0.7)
        .encode(
            x=alt.X("x:Q", title="UMAP 1", axis=axis, scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", title="UMAP 2", axis=axis, scale=alt.Scale(zero=False)),
            color=sets,
            shape=shape,
            tooltip=[alt.Tooltip("cells:N"), alt.Tooltip("unit:N")],
        )
        .properties(width="container", height=400, description="UMAP of input, true and predicted cells")
    )


if __name__ == "__main__":
    CHARTS.write_text(json.dumps(make_specs(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
