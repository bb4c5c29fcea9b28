"""Calibration: finds what made the logits, borrows where positives are rare, and never sees what it judges."""

from __future__ import annotations

import numpy as np
import pytest

from wusum.training.calibration import Calibration, crossfit, fit_calibration, fit_temperature
from wusum.training.reliability import reliability
from wusum.training.thresholds import choose_thresholds, fold_numbers, most_probable

SCALE, SHIFT = np.array([0.5, 2.0, 1.0]), np.array([-1.0, 0.5, 0.0])


def made(articles: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels follow sigmoid(SCALE * z + SHIFT)."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (articles, 3))
    chances = 1 / (1 + np.exp(-(SCALE * logits + SHIFT)))
    return logits, generator.random(chances.shape) < chances


def log_loss(probabilities: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.where(truth, probabilities, 1 - probabilities)).mean())


def test_scale_and_shift_come_back_where_data_allows() -> None:
    found = fit_calibration(*made(20_000))
    assert found.scale == pytest.approx(SCALE, rel=0.06)
    assert found.shift == pytest.approx(SHIFT, abs=0.08)


def test_a_common_temperature_and_shift_is_found_by_a_strong_prior() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 4, (5000, 4))
    truth = generator.random(logits.shape) < 1 / (1 + np.exp(-(0.4 * logits - 0.7)))
    found = fit_calibration(logits, truth, shrinkage=1e9)
    assert found.scale == pytest.approx([0.4] * 4, rel=0.05)
    assert np.ptp(found.scale) < 1e-6
    assert np.ptp(found.shift) < 1e-6


def test_a_rare_label_is_drawn_to_the_others_and_a_frequent_one_keeps_its_own() -> None:
    logits, truth = made(4000)
    truth[60:, 0] = False
    judged = np.ones_like(truth)
    judged[60:, 0] = False
    free, weak, strong = (fit_calibration(logits, truth, judged, shrinkage=s) for s in (1e-6, 10.0, 1e9))
    drawn = np.abs(weak.scale - free.scale) / np.abs(strong.scale - free.scale)
    assert 0.05 < drawn[0] < 1
    assert drawn[1] < 0.02


def test_cells_not_judged_change_nothing() -> None:
    logits, truth = made(300)
    judged = np.random.default_rng(2).random(truth.shape) < 0.7
    found = fit_calibration(logits, truth, judged)
    again = fit_calibration(np.where(judged, logits, 9.0), truth ^ ~judged, judged)
    assert again.scale == pytest.approx(found.scale)
    assert again.shift == pytest.approx(found.shift)


@pytest.mark.parametrize("case", ["separable", "no positives", "one article", "flat", "wrong way round"])
def test_whatever_the_data_the_fit_is_finite_and_keeps_the_order(case: str) -> None:
    logits, truth = made(1 if case == "one article" else 40)
    if case == "separable":
        truth = logits > 0
    elif case == "no positives":
        truth = np.zeros_like(truth)
    elif case == "flat":
        logits = np.zeros_like(logits)
    elif case == "wrong way round":
        truth = logits < 0
    found = fit_calibration(logits, truth)
    assert np.isfinite(found.shift).all()
    assert (found.scale > 0).all()
    probabilities = found.apply(logits)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    order = np.argsort(logits[:, 0], kind="stable")
    assert (np.diff(probabilities[order, 0]) >= 0).all()


def test_out_of_fold_probabilities_lose_less_and_mean_what_they_say() -> None:
    logits, truth = made(1500)
    logits = 4 * logits  # far too sure of itself
    plain = Calibration(np.ones(3), np.zeros(3)).apply(logits).clip(1e-9, 1 - 1e-9)
    fitted = crossfit(logits, truth).probabilities
    assert log_loss(fitted, truth) < log_loss(plain, truth) / 2
    assert reliability(fitted, truth).ece < 0.04 < reliability(plain, truth).ece


def test_an_article_is_judged_by_the_other_folds_alone() -> None:
    logits, truth = made(60)
    clusters = np.arange(60) // 2
    fold = fold_numbers(60, 5, 0, clusters)
    changed = truth.copy()
    here = fold == fold[0]
    changed[here] = ~changed[here]
    first, second = (crossfit(logits, table, clusters) for table in (truth, changed))
    assert np.array_equal(first.probabilities[here], second.probabilities[here])
    assert np.array_equal(first.decisions[here], second.decisions[here])
    assert not np.array_equal(first.probabilities[~here], second.probabilities[~here])
    rest = ~here
    own = fit_calibration(logits[rest], truth[rest])
    assert first.probabilities[here] == pytest.approx(own.apply(logits[here]))
    thresholds = choose_thresholds(own.apply(logits[rest]), truth[rest])
    assert np.array_equal(first.decisions[here], own.apply(logits[here]) >= thresholds)


def test_one_temperature_serves_a_single_label_scheme() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (8000, 4))
    chances = Calibration(np.full(4, 0.5), np.zeros(4), "single_label").apply(logits)
    assert chances.sum(axis=1) == pytest.approx(np.ones(8000))
    truth = (chances.cumsum(axis=1) > generator.random((8000, 1))).argmax(axis=1)[:, None] == np.arange(4)
    found = fit_temperature(logits, truth)
    assert found.scale == pytest.approx([0.5] * 4, rel=0.05)
    assert found.shift.tolist() == [0.0] * 4
    fitted = crossfit(logits[:200], truth[:200], task="single_label")
    assert (fitted.decisions.sum(axis=1) == 1).all()
    assert np.array_equal(fitted.decisions, most_probable(logits[:200]))


def test_what_cannot_be_fitted_is_refused() -> None:
    logits, truth = made(10)
    for arguments, match in (
        ((logits[:, :2], truth), "one shape"),
        ((logits[:0], truth[:0]), "at least one"),
        ((np.where(logits > 1, np.nan, logits), truth), "finite"),
    ):
        with pytest.raises(ValueError, match=match):
            fit_calibration(*arguments)
    with pytest.raises(ValueError, match="shrinkage 0"):
        fit_calibration(logits, truth, shrinkage=0)
    with pytest.raises(ValueError, match="exactly one label"):
        fit_temperature(logits, np.ones_like(truth))
    with pytest.raises(ValueError, match="folds"):
        crossfit(logits, truth, clusters=[0] * 10)
