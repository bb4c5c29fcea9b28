"""From logits to decisions: calibration, then a threshold per label or the best label; shared by training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Task = Literal["multi_label", "single_label"]


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
