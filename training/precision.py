"""How sure a label is where its probability is high: thresholds from which on a precision was reached on dev.

The precision of label k from threshold t on is the share of its n_k(t) articles with a probability of t or more that
carry it. Few articles do not settle it, so it is drawn towards that of all labels pooled:

    precision_k(t) = (hits_k(t) + shrinkage * pooled(t)) / (n_k(t) + shrinkage)

the mean of a Beta posterior whose prior is worth ``shrinkage`` articles. A precision counts as reached at t only where
it is reached at every higher threshold too, as far as the label's own probabilities go: one lucky place in a ragged
curve does not promise anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..inference.scoring import PRECISIONS, Scoring
from .calibration import crossfit, fit_calibration
from .metrics import Bools, Floats
from .progress import watched
from .thresholds import choose_thresholds, fold_numbers

DEFAULT_SHRINKAGE = 10.0
ASKED = (0.8, 0.85, 0.9, 0.95)  # what is measured; below them the usual thresholds reach more already

_INNER_FOLDS = 5
_DIGITS = 6

Curves = list[list[float | None]]


@dataclass(frozen=True)
class Reached:
    """What a least precision brings, out of fold.

    Attributes:
        asked: the precision that was asked for.
        precision: that of all labels given, pooled.
        recall: that of all labels, pooled.
        never: labels that are not given, on average over the folds.
    """

    asked: float
    precision: float
    recall: float
    never: float


def precision_curves(
    probabilities: npt.ArrayLike,
    truth: npt.ArrayLike,
    judged: npt.ArrayLike | None = None,
    shrinkage: float = DEFAULT_SHRINKAGE,
) -> Curves:
    """For each label and each of ``PRECISIONS``, the lowest threshold from which on it was reached; None where never.

    Args:
        probabilities: out of fold, shape (articles, labels).
        truth: whether an article carries a label, the same shape.
        judged: whether somebody judged that; everything where None.
        shrinkage: articles that the pooled curve is worth.

    Raises:
        ValueError: shapes differ or shrinkage is negative.

    Example:
        >>> curve = precision_curves([[0.9], [0.8], [0.3], [0.1]], [[True], [True], [False], [False]], shrinkage=0)[0]
        >>> curve[0], curve[10], curve[-1]
        (0.1, 0.3, 0.8)
    """
    given, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=bool)
    seen = np.ones_like(true) if judged is None else np.asarray(judged, dtype=bool)
    if true.ndim != 2 or given.shape != true.shape or seen.shape != true.shape:
        raise ValueError(f"expected one shape (articles, labels), not {given.shape}, {true.shape}, {seen.shape}")
    if shrinkage < 0:
        raise ValueError(f"shrinkage {shrinkage}: expected 0 or more")
    pooled = given[seen], true[seen]
    own = ((given[seen[:, k], k], true[seen[:, k], k]) for k in range(true.shape[1]))
    return [_curve(scores, hits, pooled, shrinkage) for scores, hits in own]


def measure_precision(
    logits: npt.ArrayLike,
    truth: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    folds: int = 5,
    judged: npt.ArrayLike | None = None,
) -> list[Reached]:
    """Ask for each of ``ASKED``, with calibration, thresholds and curves all fitted on other articles.

    The curves of a fold come from probabilities that are cross-fitted within the rest, as a finished bundle's are
    within the whole of dev. Clusters of near-duplicates stay in one fold.

    Raises:
        ValueError: as :func:`~wusum.training.calibration.crossfit`.

    Example:
        >>> measure_precision(logits, truth, clusters)[2]  # doctest: +SKIP
        Reached(asked=0.9, precision=0.908, recall=0.75, never=0.8)
    """
    values, true = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=bool)
    seen = np.ones_like(true) if judged is None else np.asarray(judged, dtype=bool)
    names = np.arange(len(true)) if clusters is None else np.asarray(clusters)
    fold = fold_numbers(len(true), folds, 0, names)
    decisions = {asked: np.zeros_like(true) for asked in ASKED}
    never = dict.fromkeys(ASKED, 0)
    for number in watched(range(folds), folds, "measuring precision on dev"):
        rest, here = fold != number, fold == number
        scoring = _fit(values[rest], true[rest], seen[rest], names[rest])
        probabilities = scoring.probabilities(values[here])
        for asked in ASKED:
            raised = scoring.with_precision(asked)
            decisions[asked][here] = raised.decide(probabilities) & seen[here]
            never[asked] += int(np.isinf(raised.thresholds).sum())
    return [_reached(asked, decisions[asked], true & seen, never[asked] / folds) for asked in ASKED]


def _fit(logits: Floats, truth: Bools, judged: Bools, clusters: npt.NDArray[np.generic]) -> Scoring:
    calibration = fit_calibration(logits, truth, judged)
    thresholds = choose_thresholds(calibration.apply(logits), truth, judged=judged)
    folds = min(_INNER_FOLDS, len(set(clusters.tolist())))
    curves = precision_curves(crossfit(logits, truth, clusters, folds, judged=judged).probabilities, truth, judged)
    return Scoring("multi_label", calibration.scale.tolist(), calibration.shift.tolist(), thresholds.tolist(), curves)


def _reached(asked: float, decisions: Bools, truth: Bools, never: float) -> Reached:
    hits = int((decisions & truth).sum())
    return Reached(asked, hits / max(1, int(decisions.sum())), hits / max(1, int(truth.sum())), never)


def _curve(scores: Floats, truth: Bools, pooled: tuple[Floats, Bools], shrinkage: float) -> list[float | None]:
    steps = np.unique(scores)
    (hits, count), (all_hits, all_count) = (_from_on(*part, steps) for part in ((scores, truth), pooled))
    drawn = (hits + shrinkage * all_hits / all_count) / (count + shrinkage)
    lasting = np.minimum.accumulate(drawn[::-1])[::-1]
    found = np.searchsorted(lasting, np.array(PRECISIONS) - 1e-9)
    return [round(float(steps[place]), _DIGITS) if place < len(steps) else None for place in found]


def _from_on(scores: Floats, truth: Bools, steps: Floats) -> tuple[Floats, Floats]:
    """Return, for each step, how many scores of at least that are hits, and how many there are."""
    order = np.argsort(scores)
    start = np.searchsorted(scores[order], steps)
    hits = np.concatenate([np.cumsum(truth[order][::-1])[::-1], [0]])[start]
    return hits.astype(np.float64), (len(scores) - start).astype(np.float64)
