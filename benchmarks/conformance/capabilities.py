"""The capabilities that a record states, compared with what its predictor does when parts of a screen are left out of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.conformance.checks import CheckResult, Screen, fitted, same_values
from benchmarks.contract import Baseline, Prediction, Query, Train
from benchmarks.errors import Unsupported, explain
from benchmarks.seeds import derive
from benchmarks.training_data import CellsInMemory

DOSES = (10.0, 100.0, 1000.0)
"""nM; the highest is predicted."""
EXPECTED = {
    "yes": "it answers, and not as it answers without it",
    "fallback": "it answers, and its note says with what",
    "ignored": "it answers the same as without it",
    "no": "it raises Unsupported",
}
"""Word of `Can` → what the predictor must do."""
Answer = Prediction | Unsupported
Probes = dict[str, tuple[Query, Query]]
"""Ability → a question beyond the training cells, and one within them that differs in this alone; the cells are the same."""


def check_abilities(record: Baseline, screen: Screen) -> list[CheckResult]:
    """Compare what a record states in `can` with what the predictor does, each on a training that leaves something out.

    It is trained at most twice, with its quick settings. Abilities that the record does not state are left out.
    """
    stated = {name: word for name, word in vars(record.can).items() if word}
    found = {}
    try:
        queries = screen.queries(record.directions[0])
        for training, probes in (_held_out(screen.train, queries), _dosed(screen.train, queries)):
            if not probes.keys() & stated.keys():
                continue
            model = _attempt(fitted, record, training, derive(0, record.training))
            for name in [name for name in stated if name in probes]:
                answer, known = (
                    model if isinstance(model, Unsupported) else _attempt(model.predict, q) for q in probes[name]
                )
                found[name] = _judge(stated[name], name, answer, known)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its author wants to read it
        return [CheckResult("can", "it can be trained on a part of the screen, and on doses", explain(error))]
    return [
        CheckResult(f"can_{name}", f"{name} is '{word}' in the record's `can`: {EXPECTED[word]}", found[name])
        for name, word in stated.items()
    ]


def _held_out(train: Train, queries: Sequence[Query]) -> tuple[Train, Probes]:
    """Leave one perturbation out everywhere, and all perturbations out of one context."""
    obs = train.cells.obs
    context, *_, new_context = sorted(set(obs["context"]))
    new, first, second = sorted(set(obs.loc[~obs["is_control"], "perturbation"]))[:3]
    gone = (obs["perturbation"] == new) | ((obs["context"] == new_context) & ~obs["is_control"])
    training = replace(train, data=CellsInMemory(train.cells[~gone.to_numpy()].copy()))
    here = _question(queries, context, first)
    there = _question(queries, new_context, first)
    return training, {
        "unseen_perturbation": (_question(queries, context, new), here),
        "unseen_context": (there, replace(there, context=context)),
        "combination": (_question(queries, context, f"{first}+{second}"), here),
    }


def _dosed(train: Train, queries: Sequence[Query]) -> tuple[Train, Probes]:
    """Relabel the perturbations as drugs at three doses, and leave the highest dose of one drug out."""
    cells = train.cells.copy()
    obs, perturbed = cells.obs, ~cells.obs["is_control"].to_numpy()
    dose = np.full(cells.n_obs, np.nan)
    dose[perturbed] = np.resize(DOSES, int(perturbed.sum()))
    obs["dose"] = dose
    low, middle, high = DOSES
    context = sorted(set(obs["context"]))[0]
    drug = sorted(set(obs.loc[perturbed & (obs["context"] == context).to_numpy(), "perturbation"]))[0]
    gone = (obs["perturbation"] == drug).to_numpy() & (dose == high)
    query = _question(queries, context, drug)
    query.cells.obs["perturbation"] = drug
    steps = ((middle, high), (low, middle)) if query.direction == "n2p" else ((high, None), (middle, None))
    asked, known = (replace(query, start_dose=start, dose=end, cells=query.cells.copy()) for start, end in steps)
    for probe in (asked, known):
        probe.cells.obs["dose"] = probe.start_dose
    return replace(train, data=CellsInMemory(cells[~gone].copy()), perturbation_type="drug"), {"dose": (asked, known)}


def _question(queries: Sequence[Query], context: str, perturbation: str) -> Query:
    """Make a query of a perturbation in a context, with the cells of another query of that context."""
    query = next(q for q in queries if q.context == context)
    cells = query.cells.copy()
    if query.direction == "p2n":
        cells.obs["perturbation"] = perturbation
    return replace(query, perturbation=perturbation, cells=cells)


def _attempt(do: Callable[..., Any], *arguments: object) -> Any:
    """Return what a call returns, or the `Unsupported` that it raises."""
    try:
        return do(*arguments)
    except Unsupported as error:
        return error


def _judge(word: str, name: str, answer: Answer, known: Answer) -> str:
    """Describe what differs from the record; "" if nothing does."""
    if isinstance(answer, Unsupported):
        return "" if word == "no" else f"{name} is '{word}', but it raised Unsupported: {answer}"
    if word == "no":
        return f"{name} is 'no', but it answered ({answer.note or 'without a note'}); raise Unsupported, or say 'fallback'."
    if word == "fallback":
        return "" if answer.note else f"{name} is 'fallback', but the prediction has no note that says with what."
    same = isinstance(known, Prediction) and same_values(known, answer)
    if word == "ignored" and not same:
        return f"{name} is 'ignored', but the answer differs from that to the same question without it."
    if word == "yes" and same and name != "unseen_context":  # one effect for all contexts is an answer to a new one
        return f"{name} is 'yes', but the answer is that to the same question without it; say 'ignored'."
    return ""
