"""Every model has a colour and shape of its own, the same everywhere, and colours that can be seen."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from benchmarks import registry
from reports.figures.style import MARKERS, model_looks
from reports.model_styles import FAMILIES, OTHERS, SHAPES, model_styles, vega_shape, without_direction

OWN = [name for name in registry.available(()) if not name.startswith("_")]
STRANGE = [f"plugin_{number}" for number in range(20)]
CVD = {
    # Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def linear(colour: str) -> np.ndarray:
    values = np.array(to_rgb(colour))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def test_every_model_has_a_pair_of_its_own() -> None:
    names = [*OWN, *STRANGE]
    assert len({without_direction(name) for name in names}) >= 30
    styles = model_styles(names)
    pairs = {(style.colour, style.shape): without_direction(name) for name, style in styles.items()}
    assert len(pairs) == len({without_direction(name) for name in names})
    assert all(pairs[style.colour, style.shape] == without_direction(name) for name, style in styles.items())


def test_styles_stay_with_their_model() -> None:
    every = model_styles([*OWN, *STRANGE])
    for name in OWN:
        assert model_styles([name, "zebra"])[name] == every[name]
    assert every["cycseq_n2p"] == every["cycseq_p2n"]


def test_families_share_a_hue_and_differ_by_shape() -> None:
    styles = model_styles(OWN)
    for family in FAMILIES:
        own = [styles[name] for name in OWN if styles[name].family == family.name and not name.endswith("_p2n")]
        assert {style.colour for style in own} <= set(family.shades)
        assert len({style.shape for style in own}) == len(own)
    assert not [name for name in OWN if styles[name].family == OTHERS.name], "give it a family"


@pytest.mark.parametrize("eyes", ["normal", *CVD])
def test_pairs_differ_by_shape_where_colours_look_alike(eyes: str) -> None:
    """Two models of different families may look alike in colour to some eyes; then their shapes differ, or few are alike."""
    matrix = np.array(CVD[eyes]) if eyes in CVD else np.eye(3)
    styles = model_styles(name for name in OWN if not name.endswith("_p2n"))
    seen = {name: matrix @ linear(style.colour) for name, style in styles.items()}
    alike = [
        (one, two)
        for one, two in combinations(styles, 2)
        if styles[one].shape == styles[two].shape and np.abs(seen[one] - seen[two]).max() < 0.06
    ]
    assert alike == []


@pytest.mark.parametrize("family", [*FAMILIES, OTHERS], ids=lambda family: family.name)
def test_colours_stand_out_from_white(family) -> None:
    for shade in family.shades:
        luminance = linear(shade) @ (0.2126, 0.7152, 0.0722)
        assert 1.05 / (luminance + 0.05) > 2.1, shade


def test_every_shape_can_be_drawn_by_vega() -> None:
    named = {"circle", "square", "cross", "diamond", *(f"triangle-{way}" for way in ("up", "down", "left", "right"))}
    drawn = {shape: vega_shape(shape) for shape in SHAPES}
    assert len(set(drawn.values())) == len(SHAPES)
    assert {shape for shape, path in drawn.items() if not path.startswith("M")} == named
    for path in (path for path in drawn.values() if path.startswith("M")):
        assert np.abs([float(number) for number in re.findall(r"-?\d*\.?\d+", path)]).max() <= 1


def test_quick_models_are_hollow() -> None:
    looks = model_looks(["knn", "scgen"], quick={"scgen"})
    assert looks["scgen"].hollow
    assert looks["scgen"].points()["markerfacecolor"] == "white"
    assert looks["knn"].points()["markerfacecolor"] == looks["knn"].colour
    assert set(MARKERS) == set(SHAPES)
    assert len(set(MARKERS.values())) == len(SHAPES)
