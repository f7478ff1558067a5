"""Selection: named conditions, the control rule nk, quick sizes, half of the perturbations of one context."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.contract import CONTROL
from benchmarks.data import cards
from benchmarks.data.cards import NamedSet
from benchmarks.data.dataset import Dataset
from benchmarks.errors import DataError, UnknownName
from benchmarks.tasks.conditions import Condition, Scope, groups_of
from benchmarks.tasks.protocol import list_protocols
from benchmarks.tasks.question import Question
from benchmarks.tasks.selection import exposed, measured_only, reduce, scope_of
from benchmarks.tasks.splits import n_folds, split
from benchmarks.tasks.suites import CROPSEQ, PAPER, REPLOGLE, SCIPLEX, SUITES, TRIANGULAR, Size
from tests.conftest import make_cells


@pytest.fixture
def screen():
    names = ["MED30", "TTK", *(f"P{i}" for i in range(8))]
    sizes = {(c, p): 24 for c in ("K562", "RPE1") for p in names} | {(c, CONTROL): 40 for c in ("K562", "RPE1")}
    return make_cells(sizes)


def dataset(cells, kind="CRISPR", **sets):
    found = cards.read_card("triangular_simulated")
    found = replace(found, name="mine", perturbation_type=kind, sets=sets)
    return Dataset(found, cells, {}, None, "digest")


FIGURE3 = NamedSet("two genes", ("MED30", "TTK"), ("K562",))


def test_named_set_of_suite(screen):
    scope, text = scope_of(Question("triangular"), TRIANGULAR, dataset(screen, figure3=FIGURE3), screen.obs)
    assert (scope.perturbations, scope.contexts, text) == (("MED30", "TTK"), ("K562",), "")
    made = split(screen.obs, "unseen_context", 0, scope=scope)
    assert [c.condition for c in made.conditions] == [Condition("K562", "MED30"), Condition("K562", "TTK")]
    assert {c.pair for c in made.held_out} == {("K562", "MED30"), ("K562", "TTK")}
    assert n_folds(screen.obs, "unseen_context", scope) == 1


def test_perturbations_of_question_replace_named_set(screen):
    question = Question("triangular", perturbations=("P1",), contexts=("RPE1",))
    scope, _ = scope_of(question, TRIANGULAR, dataset(screen, figure3=FIGURE3), screen.obs)
    assert (scope.perturbations, scope.contexts) == (("P1",), ("RPE1",))
    made = split(screen.obs, "unseen_perturbation", 0, scope=scope)
    assert [c.condition for c in made.conditions] == [Condition("RPE1", "P1")]
    assert {c.pair for c in made.held_out} == {("K562", "P1"), ("RPE1", "P1")}, "hidden where it is not tested, too"


def test_absent_members_of_named_set(screen):
    some = NamedSet("one is there", ("MED30", "ABSENT"))
    scope, text = scope_of(Question("triangular"), TRIANGULAR, dataset(screen, figure3=some), screen.obs)
    assert scope.perturbations == ("MED30",)
    assert "ABSENT" in text
    with pytest.raises(DataError, match="none of ABSENT"):
        scope_of(Question("triangular"), TRIANGULAR, dataset(screen, figure3=NamedSet("", ("ABSENT",))), screen.obs)


@pytest.mark.parametrize(
    ("kind", "names", "match"),
    [
        ("CRISPR", {"perturbations": ("MED3",)}, "gene.*MED30"),
        ("drug", {"perturbations": ("TKK",)}, "compound.*TTK"),
        ("CRISPR", {"contexts": ("K652",)}, "context.*K562"),
        ("CRISPR", {"perturbations": ("figure2",)}, "figure3"),
    ],
)
def test_unknown_name_suggests_nearest(screen, kind, names, match):
    question = Question("triangular", **names)
    with pytest.raises(UnknownName, match=match):
        scope_of(question, TRIANGULAR, dataset(screen, kind, figure3=FIGURE3), screen.obs)


def test_one_context_holds_out_half_of_its_perturbations(screen):
    scope = Scope(one_context=True)
    assert n_folds(screen.obs, "unseen_context", scope) == 4
    folds = [split(screen.obs, "unseen_context", f, scope=scope) for f in range(4)]
    assert [{c.context for c in made.conditions} for made in folds] == [{"K562"}, {"RPE1"}] * 2
    assert [len(made.conditions) for made in folds] == [5] * 4
    pairs = [c.pair for made in folds for c in made.held_out]
    assert len(pairs) == len(set(pairs)) == 20, "every condition once"
    for made in folds:
        labels = screen.obs.iloc[made.train]
        line = made.conditions[0].context
        assert labels.loc[labels["context"] != line, "perturbation"].nunique() == 11
        assert labels.loc[labels["context"] == line, "perturbation"].nunique() == 6


def two_arms():
    parts = {
        (arm, p): n
        for arm, sizes in (("noNK", {"A": 30, "B": 19, CONTROL: 40}), ("NK", {"A": 25, "B": 25, CONTROL: 12}))
        for p, n in sizes.items()
    }
    cells = make_cells({(f"{arm}_{p}", p): n for (arm, p), n in parts.items()})
    arms = np.repeat([arm for arm, _ in parts], list(parts.values()))
    cells.obs = cells.obs.assign(arm=arms, context="line", batch=arms, control_group=[f"line|{a}" for a in arms])
    return cells


def test_nk_controls_are_unexposed_cells_of_same_knock_out():
    cells = two_arms()
    chosen, text = exposed(cells, "noNK")
    assert chosen.obs.groupby(["perturbation", "control_group"], observed=True).size().to_dict() == {
        ("A", "line|A"): 25,
        (CONTROL, "line|A"): 30,
    }, "B has 19 unexposed cells, too few to be started from; cells without a knock-out are left out"
    assert set(chosen.obs["batch"]) == {"line"}, "exposed and unexposed cells are runs of their own"
    assert "exposure to NK cells more than" in text
    made = split(chosen.obs, "held_out_cells", 0)
    assert set(chosen.obs["control_group"].iloc[made.conditions[0].input("n2p")]) == {"line|A"}


def test_nk_start_state_has_same_knock_out():
    cells = two_arms()
    more = cells[(cells.obs["arm"] == "noNK").to_numpy() & (cells.obs["perturbation"] == "B").to_numpy()].copy()
    more.obs_names = [f"more{i}" for i in range(more.n_obs)]
    import anndata

    chosen, _ = exposed(anndata.concat([cells, more]), "noNK")
    made = split(chosen.obs, "held_out_cells", 0)
    for condition in made.conditions:
        for role in (condition.control_a, condition.control_b):
            assert set(chosen.obs["control_group"].iloc[role]) == {f"line|{condition.perturbation}"}
    assert not set(made.conditions[0].control_a) & set(made.conditions[1].control_a)


def test_nk_without_exposed_cells_raises(screen):
    with pytest.raises(DataError, match="noNK"):
        exposed(screen, "noNK")


def test_suite_name_includes_control_rule():
    assert CROPSEQ.under("nontargeting") is CROPSEQ
    assert CROPSEQ.under("nk").name == "cropseq_nk"
    assert "nk" in CROPSEQ.under("nk").title


def test_reduce_keeps_tested_perturbations(screen):
    size = Size(genes=12, perturbations=5, cells=7, controls=9)
    made, text = reduce(screen, size, ("MED30", "TTK"))
    again, _ = reduce(screen, size, ("MED30", "TTK"))
    assert (made.obs_names == again.obs_names).all()
    assert {"MED30", "TTK", CONTROL} < set(made.obs["perturbation"])
    assert made.obs["perturbation"].nunique() == 6
    assert made.n_vars == 12
    assert {c.perturbation == CONTROL: len(rows) for c, rows in groups_of(made.obs).items()} == {True: 9, False: 7}
    shuffled = screen.copy()
    shuffled.X = screen.X[::-1].copy()
    assert (reduce(shuffled, size, ("MED30", "TTK"))[0].obs_names == made.obs_names).all(), "no value of a cell decides"
    assert "5 of 10 perturbations" in text


def test_reduce_keeps_perturbed_genes(screen):
    screen.var_names = ["MED30", "P3", *screen.var_names[2:]]
    made, _ = reduce(screen, Size(genes=6, perturbations=10, cells=24, controls=40))
    assert {"MED30", "P3"} < set(made.var_names)


def test_paper_suites_name_existing_data_sets():
    for name in PAPER:
        suite = SUITES[name]
        assert suite.protocol in list_protocols()
        for source in (suite.real, suite.simulated):
            found = cards.read_card(source)
            assert not suite.tests or found.sets[suite.tests].perturbations
    assert REPLOGLE.one_context
    assert SCIPLEX.directions == list_protocols()["low_to_high_dose"].directions


@pytest.mark.parametrize(
    ("given", "meant"), [("MED3O", "SIM_MED30"), ("med30", "SIM_MED30"), ("SIM_TKT", "SIM_TTK"), ("K652", "sim_K562")]
)
def test_nearest_name_ignores_prefix_and_case(given: str, meant: str) -> None:
    known = ("SIM_MED30", "SIM_TTK", "SIM_P003", "sim_K562", "sim_RPE1")
    assert f"Did you mean '{meant}'?" in str(UnknownName("name", given, known))


def test_measured_only_keeps_perturbations_of_measured_genes():
    cells = make_cells({("x", p): 1 for p in (CONTROL, "A", "A+B", "B", "C")}, n_genes=2)
    for genes, kept in ((["A", "B"], [CONTROL, "A", "A+B", "B"]), (["A", "X"], [CONTROL, "A"])):
        cells.var_names = genes
        assert list(measured_only(cells)[0].obs["perturbation"]) == kept
    cells.var_names = ["X", "Y"]
    with pytest.raises(DataError, match="measured genes"):
        measured_only(cells)
