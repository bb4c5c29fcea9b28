"""Thresholds: best F1, middle of the plateau, borrowing where positives are rare, cross-fitting without leaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wusum.training.metrics import count_hits
from wusum.training.thresholds import choose_thresholds, crossfit_decisions


def micro_f1(decisions: np.ndarray, truth: np.ndarray) -> float:
    tp, fp, fn = (table.sum() for table in count_hits(decisions, truth))
    return float(2 * tp / max(1.0, 2 * tp + fp + fn))


def column(values: list[float]) -> np.ndarray:
    return np.array(values)[:, None]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0]), st.booleans()), min_size=1))
def test_without_shrinkage_no_threshold_is_better(rows: list[tuple[float, bool]]) -> None:
    scores, truth = column([score for score, _ in rows]), column([label for _, label in rows]).astype(bool)
    threshold = choose_thresholds(scores, truth, shrinkage=0)
    assert 0 < threshold[0] < 1
    best = max(micro_f1(scores >= t, truth) for t in np.linspace(0.01, 0.99, 99))
    assert micro_f1(scores >= threshold, truth) == pytest.approx(best)


def test_the_middle_of_the_plateau_is_taken() -> None:
    truth = column([1, 1, 0, 0]).astype(bool)
    assert choose_thresholds(column([0.9, 0.8, 0.2, 0.1]), truth, shrinkage=0) == pytest.approx([0.5])
    assert choose_thresholds(column([0.9, 0.8, 0.2, 0.1]), truth) == pytest.approx([0.5])
    assert choose_thresholds(column([0.9, 0.8]), np.ones((2, 1), dtype=bool)) == pytest.approx([0.4])


def test_of_equally_good_plateaus_the_widest_is_taken() -> None:
    # One of two positives alone, or both with two negatives: F1 2/3 either way, between 0.7 and 0.9 or 0.2 and 0.3.
    truth = column([1, 0, 0, 1, 0]).astype(bool)
    assert choose_thresholds(column([0.9, 0.7, 0.6, 0.3, 0.2]), truth, shrinkage=0) == pytest.approx([0.8])
    assert choose_thresholds(column([0.9, 0.8, 0.7, 0.6, 0.2]), truth, shrinkage=0) == pytest.approx([0.4])


def many_labels() -> tuple[np.ndarray, np.ndarray]:
    """Nine labels with 90 positives each and a best threshold near 0.5; the tenth, with two, looks best at 0.85."""
    generator = np.random.default_rng(3)
    truth = np.zeros((300, 10), dtype=bool)
    for k in range(9):
        truth[generator.choice(300, 90, replace=False), k] = True
    scores = np.clip(np.where(truth, 0.65, 0.35) + generator.normal(0, 0.1, truth.shape), 0.01, 0.99)
    truth[:2, 9] = True
    scores[:, 9] = generator.uniform(0.0, 0.3, 300)
    scores[:2, 9], scores[2:5, 9] = 0.9, 0.8
    return scores, truth


def test_a_rare_label_is_drawn_towards_the_common_threshold_and_a_frequent_one_is_not() -> None:
    scores, truth = many_labels()
    own, mild, strong = (choose_thresholds(scores, truth, shrinkage=value) for value in (0, 20, 1e6))
    assert own[9] == pytest.approx(0.85, abs=0.03)
    assert mild[9] < 0.65
    assert np.abs(mild[:9] - own[:9]).max() < 0.05
    assert np.ptp(strong) < 1e-3


def test_a_label_without_positives_gets_the_common_threshold() -> None:
    scores, truth = many_labels()
    truth[:, 9] = False
    thresholds = choose_thresholds(scores, truth)
    everything = np.tile(scores.ravel()[:, None], 1), truth.ravel()[:, None]
    assert thresholds[9] == choose_thresholds(*everything, shrinkage=0)[0]
    assert choose_thresholds(scores, np.zeros_like(truth)) == pytest.approx([0.5] * 10, abs=0.5)


def test_cells_not_judged_do_not_move_a_threshold() -> None:
    scores, truth = many_labels()
    judged = np.ones_like(truth)
    judged[2:5, 9] = False
    wrong = truth.copy()
    wrong[2:5, 9] = True
    found, expected = (choose_thresholds(scores, labels, judged=judged) for labels in (wrong, truth))
    assert np.array_equal(found, expected)


def test_documents_in_another_order_give_the_same_thresholds() -> None:
    scores, truth = many_labels()
    order = np.random.default_rng(0).permutation(len(scores))
    before = scores.copy()
    assert np.array_equal(choose_thresholds(scores, truth), choose_thresholds(scores[order], truth[order]))
    assert np.array_equal(scores, before)


def test_crossfitted_decisions_come_from_the_other_folds() -> None:
    generator = np.random.default_rng(0)
    scores, truth = generator.random((40, 6)), generator.random((40, 6)) < 0.2
    fitted = scores >= choose_thresholds(scores, truth, shrinkage=0)
    crossed = crossfit_decisions(scores, truth, shrinkage=0)
    assert micro_f1(fitted, truth) > micro_f1(crossed, truth)
    assert np.array_equal(crossed, crossfit_decisions(scores, truth, shrinkage=0))
    assert not np.array_equal(crossed, crossfit_decisions(scores, truth, shrinkage=0, seed=1))
    for row in range(5):
        changed = truth.copy()
        changed[row] = ~changed[row]
        assert np.array_equal(crossfit_decisions(scores, changed, shrinkage=0)[row], crossed[row])


def test_a_cluster_stays_in_one_fold() -> None:
    generator = np.random.default_rng(0)
    scores, truth = generator.random((40, 3)), generator.random((40, 3)) < 0.3
    clusters = np.repeat(np.arange(10), 4)
    crossed = crossfit_decisions(scores, truth, shrinkage=0, clusters=clusters)
    changed = truth.copy()
    changed[:4] = ~changed[:4]
    assert np.array_equal(crossfit_decisions(scores, changed, shrinkage=0, clusters=clusters)[:4], crossed[:4])


def test_what_cannot_be_used_is_refused() -> None:
    truth = np.ones((2, 2), dtype=bool)
    with pytest.raises(ValueError, match="one shape"):
        choose_thresholds(np.ones((2, 3)), truth)
    for bad in (1.5, float("nan")):
        with pytest.raises(ValueError, match="probabilities"):
            choose_thresholds(np.full((2, 2), bad), truth)
    with pytest.raises(ValueError, match="shrinkage"):
        choose_thresholds(np.full((2, 2), 0.5), truth, shrinkage=-1)
    for folds in (1, 3):
        with pytest.raises(ValueError, match="folds"):
            crossfit_decisions(np.full((2, 2), 0.5), truth, folds=folds)
