"""From logits to decisions: calibration, then a threshold per label or the best label; shared by training."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ..labels.errors import WusumError

Task = Literal["multi_label", "single_label"]
PRECISIONS: Final = tuple(percent / 100 for percent in range(50, 100))
_ROUNDING = 1e-9  # 0.9 as it is computed must meet 0.9 as it is written


@dataclass(frozen=True)
class Scoring:
    """The numbers that make a decision out of a network's logits, in the taxonomy's order.

    With ``multi_label`` the probability of a label is sigmoid(scale * logit + shift) (Platt 1999), and the label is
    given where that reaches its threshold. With ``single_label`` it is the softmax of the scaled logits (Guo et al.
    2017), and the most probable label is given, exactly one.

    Attributes:
        task: any number of labels per article, or exactly one.
        scale: factors, shape (labels,), above zero; with ``single_label`` all alike.
        shift: addends, shape (labels,); with ``single_label`` all zero.
        thresholds: shape (labels,); empty with ``single_label``.
        curves: for each label and each of ``PRECISIONS`` the lowest threshold from which on its precision on dev was at
            least that, None where it never was; shape (labels, precisions). None of a bundle that does not tell.

    Example:
        >>> scoring = Scoring("multi_label", (1.0, 2.0), (0.0, 0.0), (0.5, 0.9))
        >>> scoring.probabilities([0.0, 1.0]).round(2).tolist()
        [0.5, 0.88]
        >>> scoring.decide(scoring.probabilities([0.0, 1.0])).tolist()
        [True, False]
    """

    task: Task
    scale: Sequence[float]
    shift: Sequence[float]
    thresholds: Sequence[float]
    curves: Sequence[Sequence[float | None]] | None = None

    def probabilities(self, logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map logits, shape (labels,) or (articles, labels), to calibrated probabilities of the same shape."""
        scaled = np.asarray(logits, dtype=np.float64) * np.asarray(self.scale) + np.asarray(self.shift)
        if self.task == "single_label":
            powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
            shares: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
            return shares
        return np.asarray(0.5 * (1 + np.tanh(scaled / 2)))  # the sigmoid, in a form that cannot overflow

    def decide(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Map probabilities, shape (labels,) or (articles, labels), to decisions of the same shape."""
        if self.task == "single_label":
            best = probabilities.argmax(axis=-1, keepdims=True)
            return np.asarray(np.arange(probabilities.shape[-1]) == best)
        return np.asarray(probabilities >= np.asarray(self.thresholds))

    def with_precision(self, least: float) -> Scoring:
        """Return the same numbers with thresholds so high that each label's precision on dev was at least ``least``.

        No threshold is lowered. A label whose precision on dev never was that high gets an infinite one: it is not
        given. Between two of ``PRECISIONS`` the higher one counts.

        Raises:
            WusumError: ``least`` is not between the first and the last of ``PRECISIONS``, an article has exactly one
                label, or the bundle has no curves.

        Example:
            >>> curves = [[percent / 100 for percent in range(50)], [None] * 50]
            >>> scoring = Scoring("multi_label", (1.0, 1.0), (0.0, 0.0), (0.2, 0.2), curves)
            >>> scoring.with_precision(0.9).thresholds
            (0.4, inf)
        """
        if not PRECISIONS[0] <= least <= PRECISIONS[-1]:
            raise WusumError(f"precision {least}: expected {PRECISIONS[0]} to {PRECISIONS[-1]}; ask for another one")
        if self.task == "single_label":
            told = "a least precision is for bundles that give any number of labels; this one gives exactly one"
            raise WusumError(f"{told}; leave the precision out")
        if self.curves is None:
            raise WusumError("this bundle does not tell its precision on dev; train it or write it again")
        column = bisect_left(PRECISIONS, least - _ROUNDING)
        reached = [curve[column] for curve in self.curves]
        pairs = zip(self.thresholds, reached, strict=True)
        return replace(self, thresholds=tuple(math.inf if other is None else max(own, other) for own, other in pairs))
