"""The capabilities that a record states, compared with what its predictor does when parts of a screen are left out of training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from anndata import AnnData

from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported
from benchmarks.execution.models.local_model import LocalModel
from benchmarks.execution.models.remote_model import Model
from benchmarks.seeds import derive

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


@dataclass(frozen=True)
class Probe:
    """A question beyond the training cells, and the same question within them."""

    ability: str
    query: Query
    known: Query
    """Differs from the query in the one thing that is probed; its cells are the same."""


def expectation(record: Baseline, ability: str) -> str:
    """Describe what the record states of a capability."""
    word = getattr(record.can, ability)
    return f"{ability} is '{word}' in the record's `can`: {EXPECTED[word]}"


def problems(record: Baseline, train: Train, queries: Sequence[Query]) -> dict[str, str]:
    """Compare what a predictor does with the capabilities of its record.

    Parameters
    ----------
    record
        The predictor; it is trained with its quick settings, at most twice.
    train
        Training cells of a genetic screen, two contexts and three perturbations or more.
    queries
        Questions about it in the first of the record's directions; only their cells are used.

    Returns
    -------
    dict
        Ability → what is wrong, "" if nothing is. Abilities that the record does not state are left out.
    """
    stated = [entry.name for entry in fields(Can) if getattr(record.can, entry.name)]
    found: dict[str, str] = {}
    for training, probes in (_held_out(train, queries), _dosed(train, queries)):
        due = [probe for probe in probes if probe.ability in stated]
        if not due:
            continue
        predictor = _fitted(record, training)
        for probe in due:
            answer, known = _ask(predictor, probe.query), _ask(predictor, probe.known)
            found[probe.ability] = _judge(getattr(record.can, probe.ability), probe, answer, known)
    return {name: found[name] for name in stated}


def _held_out(train: Train, queries: Sequence[Query]) -> tuple[Train, list[Probe]]:
    """Leave one perturbation out everywhere, and all perturbations out of one context."""
    obs = train.cells.obs
    new_context, context = sorted(set(obs["context"]))[-1], sorted(set(obs["context"]))[0]
    new, first, second = sorted(set(obs.loc[~obs["is_control"], "perturbation"]))[:3]
    gone = (obs["perturbation"] == new) | ((obs["context"] == new_context) & ~obs["is_control"])
    training = replace(train, cells=train.cells[~gone.to_numpy()].copy())
    here = _question(queries, context, first)
    there = _question(queries, new_context, first)
    return training, [
        Probe("unseen_perturbation", _question(queries, context, new), here),
        Probe("unseen_context", there, replace(there, context=context)),
        Probe("combination", _question(queries, context, f"{first}+{second}"), here),
    ]


def _dosed(train: Train, queries: Sequence[Query]) -> tuple[Train, list[Probe]]:
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
    n2p = query.direction == "n2p"
    asked, known = (
        replace(query, start_dose=start, dose=end, cells=_at_dose(query.cells, start))
        for start, end in (((middle, high), (low, middle)) if n2p else ((high, None), (middle, None)))
    )
    return replace(train, cells=cells[~gone].copy(), perturbation_type="drug"), [Probe("dose", asked, known)]


def _at_dose(cells: AnnData, dose: float) -> AnnData:
    cells = cells.copy()
    cells.obs["dose"] = dose
    return cells


def _question(queries: Sequence[Query], context: str, perturbation: str) -> Query:
    """Make a query of a perturbation in a context, with the cells of another query of that context."""
    query = next(q for q in queries if q.context == context)
    cells: AnnData = query.cells.copy()
    if query.direction == "p2n":
        cells.obs["perturbation"] = perturbation
    return replace(query, perturbation=perturbation, cells=cells)


def _fitted(record: Baseline, train: Train) -> Model | Unsupported:
    """Train a model with its quick settings; a model that refuses is its reason."""
    model = LocalModel(record, {**record.settings, **record.quick})
    with tempfile.TemporaryDirectory(dir=train.workdir) as folder:
        try:
            model.fit(replace(train, workdir=Path(folder)), seed=derive(0, record.training))
        except Unsupported as error:
            return error
    return model


def _ask(model: Model | Unsupported, query: Query) -> Answer:
    if isinstance(model, Unsupported):
        return model
    try:
        return model.predict(query)
    except Unsupported as error:
        return error


def _judge(word: str, probe: Probe, answer: Answer, known: Answer) -> str:
    """Describe what differs from the record; "" if nothing does."""
    name = probe.ability
    if isinstance(answer, Unsupported):
        return "" if word == "no" else f"{name} is '{word}', but it raised Unsupported: {answer}"
    if word == "no":
        return f"{name} is 'no', but it answered ({answer.note or 'without a note'}); raise Unsupported, or say 'fallback'."
    if word == "fallback":
        return "" if answer.note else f"{name} is 'fallback', but the prediction has no note that says with what."
    same = (
        isinstance(known, Prediction)
        and known.values.shape == answer.values.shape
        and np.allclose(known.values, answer.values, atol=1e-5)
    )
    if word == "ignored" and not same:
        return f"{name} is 'ignored', but the answer differs from that to the same question without it."
    if word == "yes" and same and name != "unseen_context":  # one effect for all contexts is an answer to a new one
        return f"{name} is 'yes', but the answer is that to the same question without it; say 'ignored'."
    return ""
