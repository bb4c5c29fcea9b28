"""From logits to probabilities that mean what they say: Platt scaling per label, shrunk towards a common one.

A label's probability is ``sigmoid(a * z + b)`` of its logit z, a > 0 (Platt 1999), so that calibration never changes
the order of a label's articles. Ten positives do not settle two numbers, so each label is drawn towards (a0, b0), the
fit to all labels pooled. With theta = (log a, b), the log-loss L_k of label k's cells and P positives over all labels,

    theta_k = argmin  L_k(theta) + shrinkage / (2 P) * (theta - theta_0)' H_0 (theta - theta_0)

where H_0 is the pooled Fisher information at theta_0: a Gaussian prior that is worth as much as ``shrinkage`` positives
with the negatives that go with them (a unit-information prior, Kass and Wasserman 1995, times ``shrinkage``). A label
without judged cells gets (a0, b0). The pooled fit itself has a prior N(0, 1) on log a and on b, worth about one
article, which keeps it finite where the network errs nowhere.

With exactly one label per article one temperature serves all: ``softmax(a * z)`` (Guo et al. 2017).

``DEFAULT_SHRINKAGE`` was chosen on dev by the out-of-fold log-loss, which is flat from 10 to 50 over several models;
the smallest of these leaves a label with data the most of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from ..inference.scoring import Scoring, Task
from .metrics import Bools, Floats
from .thresholds import choose_thresholds, fold_numbers, most_probable

DEFAULT_SHRINKAGE = 10.0

_LOG_RANGE = (-4.0, 4.0)  # of log a: beyond it, a network's logits say nothing, or everything


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities: ``scale`` > 0 and ``shift``, each of shape (labels,).

    Example:
        >>> Calibration(np.array([2.0]), np.array([0.0])).apply([[0.0]]).tolist()
        [[0.5]]
    """

    scale: Floats
    shift: Floats
    task: Task = "multi_label"

    def apply(self, logits: npt.ArrayLike) -> Floats:
        """Map logits (articles, labels) to probabilities; those of a ``single_label`` scheme add up to 1."""
        return Scoring(self.task, self.scale.tolist(), self.shift.tolist(), ()).probabilities(logits)


@dataclass(frozen=True)
class CrossFit:
    """Out-of-fold probabilities and decisions, each of shape (articles, labels)."""

    probabilities: Floats
    decisions: Bools


def fit_calibration(
    logits: npt.ArrayLike,
    truth: npt.ArrayLike,
    judged: npt.ArrayLike | None = None,
    shrinkage: float = DEFAULT_SHRINKAGE,
) -> Calibration:
    """Fit scale and shift of each label; ``logits``, ``truth`` and ``judged`` have the shape (articles, labels).

    Raises:
        ValueError: shapes differ, there is no article, a logit is not finite, or shrinkage is not above 0.

    Example:
        >>> fit_calibration([[3.0], [2.0], [-1.0]], [[True], [False], [False]]).scale.shape
        (1,)
    """
    values, true, seen = _checked(logits, truth, judged)
    if shrinkage <= 0:
        raise ValueError(f"shrinkage {shrinkage}: expected more than 0")
    common = _fit(values[seen], true[seen], np.zeros(2), np.eye(2))
    precision = _information(values[seen], common) + np.eye(2)
    precision *= shrinkage / max(1, int((true & seen).sum()))
    columns = range(true.shape[1])
    own = [_fit(values[seen[:, k], k], true[seen[:, k], k], common, precision) for k in columns]
    fitted = np.array(own).reshape(-1, 2)
    return Calibration(np.exp(fitted[:, 0]), fitted[:, 1])


def fit_temperature(logits: npt.ArrayLike, truth: npt.ArrayLike) -> Calibration:
    """Fit the one temperature of a single-label scheme; ``truth`` has one True in each row.

    Raises:
        ValueError: shapes differ, there is no article, a logit is not finite, or a row has not exactly one True.

    Example:
        >>> fit_temperature([[2.0, 0.0], [0.0, 1.0]], [[True, False], [False, True]]).task
        'single_label'
    """
    values, true, _ = _checked(logits, truth, None)
    if not bool((true.sum(axis=1) == 1).all()):
        raise ValueError("truth: expected exactly one label in each row")
    right = true.argmax(axis=1)[:, None]

    def loss(log_scale: float) -> float:
        scaled = np.exp(log_scale) * values
        log_sum = np.logaddexp.reduce(scaled, axis=1)
        return float((log_sum - np.take_along_axis(scaled, right, axis=1)[:, 0]).sum() + log_scale**2 / 2)

    scale = np.exp(minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded").x)
    return Calibration(np.full(true.shape[1], scale), np.zeros(true.shape[1]), "single_label")


def crossfit(
    logits: npt.ArrayLike,
    truth: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
    judged: npt.ArrayLike | None = None,
    *,
    task: Task = "multi_label",
) -> CrossFit:
    """Calibrate and decide each article by what was fitted on the other folds, calibration and thresholds alike.

    This is what a finished bundle does to new articles; figures from a calibration's own articles flatter it. Clusters
    of near-duplicates stay in one fold. A ``single_label`` decision is the most probable label.

    Raises:
        ValueError: as :func:`fit_calibration`, or fewer than two folds, or fewer articles (or clusters) than folds.

    Example:
        >>> crossfit([[3.0], [2.0], [-1.0], [-2.0]], [[True], [True], [False], [False]], folds=2).decisions.shape
        (4, 1)
    """
    values, true, seen = _checked(logits, truth, judged)
    fold = fold_numbers(len(true), folds, seed, clusters)
    probabilities, decisions = np.empty(true.shape), np.zeros(true.shape, dtype=bool)
    for number in range(folds):
        rest, here = fold != number, fold == number
        if task == "single_label":
            probabilities[here] = fit_temperature(values[rest], true[rest]).apply(values[here])
            decisions[here] = most_probable(probabilities[here])
        else:
            calibration = fit_calibration(values[rest], true[rest], seen[rest])
            probabilities[here] = calibration.apply(values[here])
            thresholds = choose_thresholds(calibration.apply(values[rest]), true[rest], judged=seen[rest])
            decisions[here] = probabilities[here] >= thresholds
    return CrossFit(probabilities, decisions)


def _fit(logits: Floats, truth: Bools, centre: Floats, precision: Floats) -> Floats:
    """Return (log a, b) of least log-loss plus the Gaussian penalty around ``centre``."""

    def loss(theta: Floats) -> tuple[float, Floats]:
        scale, away = np.exp(theta[0]), theta - centre
        scaled = scale * logits + theta[1]
        residual = expit(scaled) - truth
        pull = precision @ away
        value = (np.logaddexp(0, scaled) - truth * scaled).sum() + away @ pull / 2
        return float(value), np.array([scale * (residual @ logits), residual.sum()]) + pull

    limits = [_LOG_RANGE, (None, None)]
    return np.asarray(minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=limits).x, dtype=np.float64)


def _information(logits: Floats, theta: Floats) -> Floats:
    """Return the Fisher information of (log a, b) in these logits."""
    scale = np.exp(theta[0])
    probabilities = expit(scale * logits + theta[1])
    slopes = np.stack([scale * logits, np.ones_like(logits)])
    return np.asarray((slopes * (probabilities * (1 - probabilities))) @ slopes.T, dtype=np.float64)


def _checked(logits: npt.ArrayLike, truth: npt.ArrayLike, judged: npt.ArrayLike | None) -> tuple[Floats, Bools, Bools]:
    values, true = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=bool)
    seen = np.ones_like(true) if judged is None else np.asarray(judged, dtype=bool)
    if true.ndim != 2 or not len(true) or values.shape != true.shape or seen.shape != true.shape:
        raise ValueError(
            "logits, truth and judged must have one shape (articles, labels) with at least one article, "
            f"not {values.shape}, {true.shape}, {seen.shape}"
        )
    if not bool(np.isfinite(values).all()):
        raise ValueError("logits must be finite numbers")
    return values, true, seen
