"""Precision curves: what they promise is reached, also on articles that they have not seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wusum.inference.scoring import PRECISIONS
from wusum.training import precision
from wusum.training.precision import measure_precision, precision_curves

SCORES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])


def cells(seed: int, articles: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that mean what they say: a label is there with the probability sigmoid(logit)."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(-0.5, 2.5, (articles, labels))
    return logits, draw.random((articles, labels)) < 1 / (1 + np.exp(-logits))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=30))
def test_without_shrinkage_the_precision_is_reached_at_the_threshold_and_beyond_and_at_none_below(
    rows: list[tuple[float, bool]],
) -> None:
    scores, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])

    def reached(threshold: float, level: float) -> bool:
        steps = (step for step in np.unique(scores) if step >= threshold)
        return all(truth[scores >= step].mean() >= level - 1e-9 for step in steps)

    (curve,) = precision_curves(scores[:, None], truth[:, None], shrinkage=0)
    for level, threshold in zip(PRECISIONS, curve, strict=True):
        steps = np.unique(scores)
        if threshold is None:
            assert not reached(steps[-1], level)
        else:
            assert reached(threshold, level)
            assert not any(reached(step, level) for step in steps[steps < threshold])


def test_a_rare_label_is_drawn_towards_the_pooled_curve() -> None:
    frequent = np.linspace(0.99, 0.01, 200)
    scores = np.column_stack([frequent, frequent])
    truth = np.column_stack([frequent > 0.5, frequent > 0.5])
    judged = np.ones_like(truth)
    judged[:, 1] = False
    judged[[0, 1, 120], 1] = True  # two hits, and a miss at 0.4 that alone would settle everything below
    rare = precision_curves(scores, truth, judged)[1]
    alone = precision_curves(scores, truth, judged, shrinkage=0)[1]
    assert alone[PRECISIONS.index(0.9)] == pytest.approx(frequent[1], abs=1e-6)
    assert rare[PRECISIONS.index(0.75)] == pytest.approx(frequent[120], abs=1e-6)  # (2 + 10 * 0.83) / (3 + 10) = 0.79
    assert alone[PRECISIONS.index(0.75)] == pytest.approx(frequent[1], abs=1e-6)


def test_what_nobody_judged_promises_nothing() -> None:
    logits, truth = cells(0, 300, 2)
    judged = np.ones_like(truth)
    judged[:, 1] = False
    curves = precision_curves(1 / (1 + np.exp(-logits)), truth, judged)
    assert curves[1] == [None] * len(PRECISIONS)
    assert curves[0][0] is not None


def test_a_label_that_errs_at_its_surest_never_reaches_much() -> None:
    scores = np.tile(np.linspace(0.99, 0.01, 100)[:, None], (1, 10))
    truth = np.column_stack([*[np.arange(100) < 60] * 9, np.arange(100) >= 90])
    curves = precision_curves(scores, truth)
    assert curves[0][PRECISIONS.index(0.85)] is not None
    assert curves[9][PRECISIONS.index(0.85)] is None


def test_the_precision_asked_for_is_reached_on_articles_that_were_not_looked_at() -> None:
    logits, truth = cells(1, 1200, 8)
    found = measure_precision(logits, truth)
    assert [one.asked for one in found] == list(precision.ASKED)
    for one in found:
        assert one.precision == pytest.approx(one.asked, abs=0.04) or one.precision > one.asked
    assert found[-1].precision > found[0].precision
    assert found[-1].recall < found[0].recall
    assert found[0].recall > 0.5


def test_five_clusters_are_enough_and_shapes_must_agree() -> None:
    logits, truth = cells(2, 60, 2)
    assert len(measure_precision(logits, truth, np.arange(60) % 5)) == len(precision.ASKED)
    with pytest.raises(ValueError, match="expected one shape"):
        precision_curves(logits, truth[:, :1])
    with pytest.raises(ValueError, match="shrinkage -1"):
        precision_curves(np.zeros((1, 1)), np.ones((1, 1)), shrinkage=-1)
