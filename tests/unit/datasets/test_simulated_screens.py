"""The simulated data sets that are drawn block by block: what each is for, and that none changes by accident."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.cards import read_card
from benchmarks.data.expression_space import convert
from benchmarks.data.simulation.perturbed_states import DOSES_NM
from benchmarks.data.simulation.screen import Screen
from benchmarks.data.sources import load_reader
from benchmarks.data.store.content_hash import digest
from benchmarks.errors import DataError
from benchmarks.scoring.metrics import differential
from benchmarks.scoring.metrics.rank_sum import sort_cells
from tests.conftest import validate

NAMES = ("norman_simulated", "replogle_simulated", "sciplex_simulated", "triangular_simulated")
PINNED = json.loads((Path(__file__).parent / "pinned_digests.json").read_text())


@pytest.fixture(scope="module")
def first_blocks():
    """The first block of each data set: controls and the first conditions of its first context."""
    readers = {name: load_reader(name) for name in NAMES}
    return {name: next(Screen(r.design(), r.SEED).blocks()) for name, r in readers.items()}


@pytest.mark.parametrize("name", NAMES)
def test_first_block_is_canonical_and_what_it_was(name, first_blocks):
    assert digest(validate(first_blocks[name])) == PINNED[name], "the data set has changed: say so in CHANGELOG.md"


@pytest.mark.parametrize("name", NAMES)
def test_card_says_simulated(name):
    card = read_card(name)
    assert card.source == "simulated"
    assert "simulated" in card.title
    assert not card.files


def test_one_knock_down_is_strong_and_one_weak(first_blocks):
    """763 and 7 genes were reported for MED30 and TTK in K562; twelve redraws of the cells give 761 ± 21 and 6.2 ± 2.5."""
    block = first_blocks["triangular_simulated"]
    x, labels = convert(block.X.copy(), "counts"), block.obs["perturbation"].to_numpy()
    assert (labels == "control").sum() == 1000
    reference = sort_cells(x[labels == "control"])
    found = {}
    for name in ("SIM_MED30", "SIM_TTK"):
        cells = sort_cells(x[labels == name])
        assert cells.n_cells == 150
        found[name] = (
            differential.test_genes(
                cells, reference, differential.linear_mean(cells), differential.linear_mean(reference)
            )
            .significant()
            .sum()
        )
    assert found["SIM_MED30"] == pytest.approx(763, abs=60)
    assert 2 <= found["SIM_TTK"] <= 13


def test_compounds_have_four_doses_and_names_to_refer_to(first_blocks):
    reader = load_reader("sciplex_simulated")
    design = reader.design()
    assert {c.dose for c in design.conditions} == set(DOSES_NM)
    assert len(design.conditions) == 24 * 4
    assert set(reader.NAMED) < {c.perturbation for c in design.conditions}
    obs = first_blocks["sciplex_simulated"].obs
    assert obs.loc[obs["is_control"], "dose"].isna().all()
    assert set(obs.loc[~obs["is_control"], "dose"]) == set(DOSES_NM)


def test_half_of_the_pairs_interact():
    reader = load_reader("norman_simulated")
    kinds = reader.pairs().kinds
    design = reader.design()
    assert len(kinds) == 48
    assert list(kinds.values()).count("additive") == 24
    assert {c.perturbation for c in design.conditions if "+" in c.perturbation} == set(kinds)
    assert design.activity > 0
    assert set(reader.pairs(interacting=0.0).kinds.values()) == {"additive"}


def test_thousands_of_perturbations_in_dozens_of_contexts_come_in_blocks():
    reader = load_reader("replogle_simulated")
    screen = Screen(reader.design(n_perturbations=2000, n_contexts=24, n_genes=6742, cells=20), reader.SEED)
    assert screen.n_cells > 900_000
    block = next(screen.blocks())
    assert block.n_vars == 6742
    assert block.n_obs * block.n_vars <= 8_000_000
    assert block.obs["perturbation"].nunique() > 10
    assert np.ptp(screen.sizes) > 50


def test_no_context_is_refused():
    with pytest.raises(DataError, match="at least 1 context"):
        load_reader("replogle_simulated").design(n_contexts=0)
