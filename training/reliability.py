"""Whether probabilities mean what they say: Brier score, its skill, calibration error and the points of its plot.

``probabilities``, ``truth`` and ``judged`` have the shape (documents, labels); cells not judged count nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .metrics import Bools, Floats

BINS = 15
UNSURE = (0.05, 0.95)  # decisions surer than this are nearly always right and would hide how the others stand


@dataclass(frozen=True)
class Bin:
    """Decisions of like probability: its mean, the share that was true, and how many they are."""

    mean: float
    share: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """Figures of one label, or of all pooled.

    Attributes:
        brier: mean squared difference of probability and truth (Brier 1950).
        skill: 1 - brier / brier of a forecast that always says the label's share of positives; 0 where that is perfect.
        ece: expected calibration error over the unsure decisions: the mean distance of a bin's mean and its share,
            weighted by its size (Naeini et al. 2015), in bins of equal mass; 0 without an unsure decision.
        decisions: how many decisions are unsure.
        bins: the points of the reliability plot, lowest probability first.
    """

    brier: float
    skill: float
    ece: float
    decisions: int
    bins: tuple[Bin, ...]


def reliability(
    probabilities: npt.ArrayLike, truth: npt.ArrayLike, judged: npt.ArrayLike | None = None, bins: int = BINS
) -> Reliability:
    """Measure all labels pooled; the skill is against each label's own share.

    Raises:
        ValueError: the arrays are not of one two-dimensional shape.

    Example:
        >>> reliability([[0.75], [0.75]], [[True], [False]], bins=1).ece
        0.25
    """
    values, true, seen = _checked(probabilities, truth, judged)
    shares = np.divide((true & seen).sum(axis=0), seen.sum(axis=0), out=np.zeros(true.shape[1]), where=seen.any(axis=0))
    chance = np.broadcast_to(shares, true.shape)
    return _measure(values[seen], true[seen], chance[seen], bins)


def label_reliability(
    probabilities: npt.ArrayLike, truth: npt.ArrayLike, judged: npt.ArrayLike | None = None, bins: int = 5
) -> tuple[Reliability, ...]:
    """Measure each label alone, in fewer bins than all pooled.

    Raises:
        ValueError: the arrays are not of one two-dimensional shape.

    Example:
        >>> label_reliability([[0.5, 0.9]], [[True, True]])[0].brier
        0.25
    """
    values, true, seen = _checked(probabilities, truth, judged)
    columns = (slice(k, k + 1) for k in range(true.shape[1]))
    return tuple(reliability(values[:, k], true[:, k], seen[:, k], bins) for k in columns)


def _measure(values: Floats, true: Bools, chance: Floats, bins: int) -> Reliability:
    brier, worst = (float(((said - true) ** 2).mean()) if len(true) else 0.0 for said in (values, chance))
    unsure = (values >= UNSURE[0]) & (values <= UNSURE[1])
    order = np.argsort(values[unsure], kind="stable")
    # Equal probabilities may fall into two bins: only so are the bins of equal mass.
    parts = [part for part in np.array_split(order, bins) if len(part)]
    said, came = values[unsure], true[unsure]
    points = tuple(Bin(float(said[part].mean()), float(came[part].mean()), len(part)) for part in parts)
    error = sum(point.count * abs(point.mean - point.share) for point in points) / max(1, len(order))
    return Reliability(brier, 1 - brier / worst if worst else 0.0, error, len(order), points)


def _checked(
    probabilities: npt.ArrayLike, truth: npt.ArrayLike, judged: npt.ArrayLike | None
) -> tuple[Floats, Bools, Bools]:
    values, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=bool)
    seen = np.ones_like(true) if judged is None else np.asarray(judged, dtype=bool)
    if true.ndim != 2 or values.shape != true.shape or seen.shape != true.shape:
        raise ValueError(
            "probabilities, truth and judged must have one shape (documents, labels), "
            f"not {values.shape}, {true.shape}, {seen.shape}"
        )
    return values, true, seen
