"""Scoring block by block: equal to the bit, whatever the blocks; kept summaries; memory that does not grow."""

from __future__ import annotations

import multiprocessing
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from benchmarks.contract import Prediction
from benchmarks.errors import StoreError
from benchmarks.scoring import references as references_module
from benchmarks.scoring import scored_set
from benchmarks.scoring.cell_sets import Recent, mean_profile, take
from benchmarks.scoring.evaluate import evaluate
from benchmarks.scoring.metrics import retrieval
from benchmarks.scoring.references import calibrate, planted, planted_conditions, references
from benchmarks.scoring.scored_fold import scored_fold_of
from benchmarks.scoring.scored_set import BlockedFold, KeptFiles, Profiles, ScoredSet, block_size, scratch
from benchmarks.scoring.summaries import summarise_predictions, summarise_truth
from benchmarks.scoring.training_summary import find_components, summarise_training
from tests.unit.benchmarks.scoring.screens import fold, screen


def make_fold(direction="n2p", *, threads=1):
    cells = screen(n_cells=30, n_controls=60)
    split = fold(cells)
    training = summarise_training(cells, split.train, 0)
    return scored_fold_of(cells, split, direction, training, space="log2_cp10k", seed=3, threads=threads)


def predict(scored, number):
    """Moved input cells, of which one condition has none and one a mean alone."""
    cells = scored.input_cells(number).toarray() * 1.1
    name = scored.perturbations[number]
    if name == "G1":
        return None
    return Prediction(cells.mean(axis=0), unit="mean") if name == "G2" else Prediction(cells, unit="cell")


def score_in_blocks(scored, size):
    blocked = BlockedFold(scored, size=size)
    with scratch() as means, scratch() as truths:
        done = ScoredSet(scored, means)
        for block in blocked.blocks():
            done.add(block, summarise_predictions(block.fold, block.truth, lambda n, b=block: predict(b.fold, n)))
        return done.all(blocked.profiles(truths))


def test_a_scratch_file_on_a_full_disk_is_named(tmp_path):
    for place in (None, tmp_path):
        with (
            pytest.raises(StoreError, match=str(place or "TMPDIR")),
            scratch(place),
            Path("/dev/full").open("wb", buffering=0) as full,
        ):
            full.write(b"x")


def assert_same(values, others):
    assert list(values) == list(others)
    for name, scores in values.items():
        np.testing.assert_array_equal(scores.values, others[name].values, err_msg=name)
        np.testing.assert_array_equal(scores.status, others[name].status, err_msg=name)


@pytest.mark.parametrize("direction", ["n2p", "p2n"])
def test_blocks_equal_the_whole(direction):
    whole = make_fold(direction)
    truth = summarise_truth(whole)
    expected = evaluate(whole, truth, summarise_predictions(whole, truth, lambda n: predict(whole, n)))
    for size in (1, 2, 3, 4):
        assert_same(expected, score_in_blocks(make_fold(direction), size))


@pytest.mark.parametrize("direction", ["n2p", "p2n"])
def test_references_do_not_depend_on_the_blocks(direction):
    whole, blocks = (dict(references(BlockedFold(make_fold(direction), size=size))) for size in (4, 3))
    assert whole.keys() == blocks.keys()
    for name, values in whole.items():
        assert_same(values, blocks[name])


def test_planted_predictors_do_not_depend_on_the_blocks():
    whole, blocks = (planted(BlockedFold(make_fold(threads=threads), size=size)) for size, threads in ((4, 1), (3, 2)))
    pd.testing.assert_frame_equal(whole, blocks, check_exact=True)


def test_planted_predictors_are_scored_on_a_sample(monkeypatch):
    every = planted(BlockedFold(make_fold()))
    monkeypatch.setattr(references_module, "PLANTED_CONDITIONS", 3)
    scored = make_fold()
    chosen = planted_conditions(scored)
    assert len(chosen) == 3
    few = planted(BlockedFold(scored, size=2))
    names = scored.perturbations[chosen]
    assert set(few["perturbation"]) == set(names)
    same = every[every["perturbation"].isin(names) & ~every["metric"].str.contains("pds|centroid_acc|rank_")]
    other = few[~few["metric"].str.contains("pds|centroid_acc|rank_")]
    np.testing.assert_array_equal(same["value"], other["value"])


def test_conditions_with_one_true_state_draw_the_same_of_it():
    """In p2n the true cells are the context's controls: the halves are those of the state, not of the condition."""
    backward, forward = make_fold("p2n"), make_fold("n2p")
    for scored, n_different in ((backward, 1), (forward, 4)):
        drawn = {tuple(scored.truth_generator(n, "halves", 0).permutation(20)) for n in range(len(scored))}
        assert len(drawn) == n_different


def test_references_are_of_few_cells(monkeypatch):
    scored = make_fold("p2n")
    positions = scored.true_positions()[0]
    assert references_module.few(scored, positions) is positions
    monkeypatch.setattr(references_module, "REFERENCE_CELLS", 7)
    chosen = references_module.few(scored, positions)
    assert len(chosen) == 7
    assert np.array_equal(chosen, references_module.few(make_fold("p2n"), positions))
    assert np.isin(chosen, positions).all()


def kept_in(folder, depends_on="data", **hooks):
    return BlockedFold(make_fold(), KeptFiles(folder, depends_on, **hooks), size=3)


def count_summaries(monkeypatch):
    """Count how often true cells are summarised."""
    made = []
    monkeypatch.setattr(scored_set, "summarise_truth", lambda part: made.append(part) or summarise_truth(part))
    return made


def test_truth_is_summarised_once_for_the_same_data_and_code(tmp_path, monkeypatch):
    made = count_summaries(monkeypatch)
    first, again = ([block.truth for block in kept_in(tmp_path).blocks()] for _ in range(2))
    assert len(made) == 2
    for one, other in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.positions, other.positions, strict=True))
        for name in ("profiles", "significant", "lfc", "bandwidths", "margin_bound", "half_margin_bound"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    list(kept_in(tmp_path, "other data").blocks())
    assert len(made) == 4
    monkeypatch.setattr(scored_set, "code_hash", lambda: "other code")
    list(kept_in(tmp_path).blocks())
    assert len(made) == 6


def test_damaged_or_untrusted_summaries_are_made_again(tmp_path, monkeypatch):
    made, written = count_summaries(monkeypatch), []
    list(kept_in(tmp_path, made=written.append).blocks())
    assert len(made) == len(written) == 2
    written[0].write_bytes(written[0].read_bytes()[:50])
    list(kept_in(tmp_path).blocks())
    assert len(made) == 3
    list(kept_in(tmp_path, trusts=lambda path: False).blocks())
    assert len(made) == 5


def test_calibration_is_kept(tmp_path, monkeypatch):
    first = calibrate(kept_in(tmp_path))
    monkeypatch.setattr(references_module, "planted", lambda blocked: pytest.fail("computed again"))
    again = calibrate(kept_in(tmp_path))
    pd.testing.assert_frame_equal(first.planted, again.planted)
    for name, values in first.references.items():
        assert_same(values, again.references[name])


def test_profiles_are_a_file_of_numpy(tmp_path):
    rows = np.arange(12.0).reshape(4, 3)
    with (tmp_path / "means.npy").open("x+b") as file:
        profiles = Profiles.new(file, 4, 3)
        profiles.append(rows[:3])
        profiles.append(rows[3:])
        assert np.array_equal([profiles[n] for n in range(4)], rows)
    assert np.array_equal(np.load(tmp_path / "means.npy"), rows)
    np.save(tmp_path / "other.npy", rows.astype(np.float32))
    with (tmp_path / "other.npy").open("rb") as file, pytest.raises(ValueError, match="expected float64"):
        Profiles(file)


def test_recent_keeps_what_was_used_last():
    recent, made = Recent(most=2000), []

    def get(name):
        return recent.get(name, lambda: made.append(name) or np.zeros(100))

    for name in "abacab":
        get(name)
    assert made == ["a", "b", "c", "b"]
    assert Recent(most=1).get("large", lambda: (np.zeros(100), 1))[1] == 1


def test_components_are_found_in_a_sample_of_the_training_cells(monkeypatch):
    cells = screen()
    split = fold(cells)
    whole = find_components(cells, split.train, 0)
    monkeypatch.setattr("benchmarks.scoring.training_summary.COMPONENT_CELLS", 80)
    few, again = (find_components(cells, split.train, 0) for _ in range(2))
    assert np.array_equal(few.axes, again.axes)
    assert not np.array_equal(few.axes, whole.axes)
    assert not np.allclose(few.centre, mean_profile(take(cells, split.train)))


def test_blocks_take_the_memory_they_may(monkeypatch):
    scored = make_fold()
    monkeypatch.setattr(scored_set, "BLOCK_BYTES", 1)
    assert block_size(scored) == 1
    monkeypatch.setattr(scored_set, "BLOCK_BYTES", 2 * 60 * (8 * scored_set.ARRAYS + 4 * 20))
    assert block_size(scored) == 2


def _peak(n_conditions, queue):
    """Score that many conditions with the same cells; puts the growth of the process's peak memory, MB."""
    retrieval.BLOCK = 1 << 15  # which holds neither fold
    cells = screen(n_cells=30, n_controls=60)
    wide = cells[:, np.tile(np.arange(60), 40)].copy()
    wide.var_names = [f"G{n}" for n in range(2400)]
    split = fold(cells)
    many = tuple(replace(split.conditions[n % 4], perturbation=f"G{n}", dose=float(n + 1)) for n in range(n_conditions))
    training = summarise_training(wide, split.train, 0, [replace(c, dose=None) for c in many])
    training = replace(training, effects={(None, c.dose): training.effects[None, None] for c in many})
    scored = scored_fold_of(
        wide, replace(split, conditions=many), "n2p", training, space="log2_cp10k", seed=3, recent=Recent(most=1 << 20)
    )
    warm = BlockedFold(scored.part(range(8)), size=4)
    for blocked in (warm, BlockedFold(scored, size=4)):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with scratch() as means, scratch() as truths:
            done = ScoredSet(blocked.fold, means)
            for block in blocked.blocks():
                own = block.fold
                done.add(
                    block,
                    summarise_predictions(
                        own, block.truth, lambda n, own=own: Prediction(own.input_cells(n), unit="cell")
                    ),
                )
            done.all(blocked.profiles(truths))
    queue.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def test_memory_does_not_depend_on_the_number_of_conditions():
    """Four times as many conditions; one array [condition, gene] of the larger fold alone would take 6 MB."""
    context, grown = multiprocessing.get_context("spawn"), []
    for n_conditions in (80, 320):
        queue = context.Queue()
        process = context.Process(target=_peak, args=(n_conditions, queue))
        process.start()
        grown.append(queue.get(timeout=300))
        process.join()
    assert grown[1] - grown[0] < 6, grown


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array])
def test_mean_profiles_of_every_form_of_cells(form):
    x = np.random.default_rng(0).poisson(0.7, (31, 17)).astype(np.float32) / 3
    x[:, -1] = 0.0
    np.testing.assert_allclose(mean_profile(form(x)), x.astype(np.float64).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(Prediction(form(x), unit="cell").mean(), x.astype(np.float64).mean(axis=0), rtol=1e-14)
