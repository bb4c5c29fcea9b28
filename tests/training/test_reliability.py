"""Brier, skill and calibration error against definitions written out, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from wusum.labels import Label, Taxonomy
from wusum.training.bootstrap import bootstrap_interval
from wusum.training.confusion import Confusion, confusions, costliest
from wusum.training.label_intervals import label_intervals
from wusum.training.metrics import average_precision, f1_report
from wusum.training.reliability import label_reliability, reliability

sklearn_metrics = pytest.importorskip("sklearn.metrics")

SCHEME = Taxonomy(
    "t",
    "1",
    tuple(Label(name, "actor" if name == "egypt" else "topic", "ع", name, "d") for name in ("war", "trade", "egypt")),
)


def case(documents: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    probabilities = generator.random((documents, 3))
    return probabilities, generator.random(probabilities.shape) < probabilities, generator.random(documents) < 0.5


def test_honest_probabilities_have_no_error_and_bent_ones_have() -> None:
    probabilities, truth, _ = case(20_000)
    assert reliability(probabilities, truth).ece < 0.01
    assert reliability(probabilities**3, truth).ece > 0.15


def test_ece_by_hand() -> None:
    # Two bins of two: 0.2 and 0.4 with one true (0.3 against 0.5), 0.6 and 0.8 with both true (0.7 against 1).
    found = reliability([[0.2], [0.4], [0.6], [0.8], [0.99], [0.01]], [[0], [1], [1], [1], [0], [1]], bins=2)
    assert found.ece == pytest.approx((2 * 0.2 + 2 * 0.3) / 4)
    assert found.decisions == 4
    assert [(point.mean, point.share, point.count) for point in found.bins] == [
        (pytest.approx(0.3), 0.5, 2),
        (pytest.approx(0.7), 1.0, 2),
    ]


def test_bins_are_of_equal_mass() -> None:
    probabilities, truth, _ = case()
    found = reliability(probabilities, truth)
    counts = [point.count for point in found.bins]
    assert len(counts) == 15
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == found.decisions == ((probabilities >= 0.05) & (probabilities <= 0.95)).sum()


def test_brier_and_skill_agree_with_scikit_learn() -> None:
    probabilities, truth, _ = case()
    found = reliability(probabilities, truth)
    each = label_reliability(probabilities, truth)
    scores = [sklearn_metrics.brier_score_loss(truth[:, k], probabilities[:, k]) for k in range(3)]
    assert [one.brier for one in each] == pytest.approx(scores)
    assert found.brier == pytest.approx(np.mean(scores))
    share = truth.mean(axis=0)
    assert found.skill == pytest.approx(1 - np.mean(scores) / np.mean(share * (1 - share)))
    assert reliability(np.broadcast_to(share, truth.shape), truth).skill == pytest.approx(0)
    assert reliability(truth, truth).skill == 1


def test_cells_not_judged_count_nowhere() -> None:
    probabilities, truth, rows = case()
    judged = np.repeat(rows[:, None], 3, axis=1)
    assert reliability(probabilities, truth, judged) == reliability(probabilities[rows], truth[rows])
    nothing = reliability(probabilities, truth, np.zeros_like(truth))
    assert (nothing.brier, nothing.skill, nothing.ece, nothing.bins) == (0, 0, 0, ())
    with pytest.raises(ValueError, match="one shape"):
        reliability(probabilities, truth[:5])


def test_average_precision_agrees_with_scikit_learn_ties_and_weights_included() -> None:
    generator = np.random.default_rng(3)
    probabilities, truth, rows = case(120)
    scores = probabilities.round(1)
    judged = np.repeat(rows[:, None], 3, axis=1)
    times = generator.integers(0, 4, (5, 120))
    found, drawn = average_precision(scores, truth, judged), average_precision(scores, truth, judged, times)
    for k in range(3):
        cut = truth[rows, k], scores[rows, k]
        assert found[k] == pytest.approx(sklearn_metrics.average_precision_score(*cut))
        expected = [sklearn_metrics.average_precision_score(*cut, sample_weight=sample[rows]) for sample in times]
        assert drawn[:, k] == pytest.approx(expected)
    assert average_precision([[0.5]], [[False]]).tolist() == [0.0]


def test_intervals_of_a_label_agree_with_a_plain_bootstrap() -> None:
    probabilities, truth, rows = case(150)
    decisions, clusters = probabilities > 0.5, np.arange(150) // 3
    judged = np.ones_like(truth)
    judged[:, 0] = rows
    found = label_intervals(decisions, probabilities, truth, judged, clusters, samples=300)
    for k, (figures, label) in enumerate(
        zip(found.labels, f1_report(decisions, truth, SCHEME, judged).labels, strict=True)
    ):
        values = figures.precision.value, figures.recall.value, figures.f1.value
        assert values == pytest.approx((label.precision, label.recall, label.f1))
        column = slice(k, k + 1)
        plain = bootstrap_interval(
            decisions[:, column], truth[:, column], judged=judged[:, column], clusters=clusters, samples=300
        )
        assert (figures.f1.low, figures.f1.high) == pytest.approx((plain.low, plain.high))
        assert figures.average_precision.low < figures.average_precision.value < figures.average_precision.high
    values = average_precision(probabilities, truth, judged)
    assert found.mean_average_precision.value == pytest.approx(values.mean())


def test_labels_of_one_kind_are_confused_and_the_costliest_error_comes_first() -> None:
    truth = np.array([[1, 0, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    decisions = np.array([[0, 1, 1], [0, 1, 1], [0, 1, 0]], dtype=bool)
    probabilities = np.array([[0.4, 0.6, 0.9], [0.01, 0.7, 0.9], [0.1, 0.9, 0.1]])
    assert confusions(decisions, truth, SCHEME) == [Confusion("war", "trade", 2)]
    errors = costliest(probabilities, decisions, truth, SCHEME)
    assert [(one.row, one.label, one.missed) for one in errors] == [
        (1, "war", True),
        (0, "egypt", False),
        (1, "trade", False),
        *[(0, "war", True), (0, "trade", False)],
    ]
    assert errors[0].cost == pytest.approx(-np.log(0.01))
    judged = np.ones_like(truth)
    judged[1] = False
    assert confusions(decisions, truth, SCHEME, judged) == [Confusion("war", "trade", 1)]
    assert {one.row for one in costliest(probabilities, decisions, truth, SCHEME, judged)} == {0}
    assert len(costliest(probabilities, decisions, truth, SCHEME, count=2)) == 2
    assert costliest(probabilities, truth, truth, SCHEME) == []
