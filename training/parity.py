"""The gate before a bundle: what will be served must decide on dev as the trained network does.

Both are compared after calibration and at the bundle's thresholds, because those are what users see. A model that
fails is not written, however good its dev score is: a label that quantisation moves on dev moves elsewhere too.

A bound on shares allows the next whole number of decisions: of 20 articles, 97 % is 19.4, and 19 equal ones pass.
Otherwise a single decision would fail a small dev part, whatever the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inference.scoring import Scoring
from ..labels.errors import WusumError
from .config import ExportConfig

MOST_NAMED = 5  # labels in the message of a failed gate
PRECISIONS = ("fp32", "int8_static", "int8")

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelParity:
    """One label: the share of equal decisions, and the mean absolute difference of its probability."""

    equal: float
    shift: float


@dataclass(frozen=True)
class Parity:
    """How far the served model is from the trained network on dev.

    Attributes:
        articles: how many there are.
        decisions_equal: share of equal decisions over all labels.
        mean_difference: mean absolute difference of the probabilities.
        largest_difference: largest absolute difference of a probability.
        labels: the same label by label.
    """

    articles: int
    decisions_equal: float
    mean_difference: float
    largest_difference: float
    labels: Mapping[str, LabelParity]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and numbers, ready for JSON."""
        return asdict(self)


def measure_parity(served: Probabilities, trained: Probabilities, scoring: Scoring, labels: Sequence[str]) -> Parity:
    """Compare calibrated probabilities of shape (articles, labels), and the decisions made from them.

    Example:
        >>> scoring = Scoring("multi_label", (1.0,), (0.0,), (0.5,))
        >>> measure_parity(np.array([[0.6], [0.4]]), np.array([[0.4], [0.4]]), scoring, ["syria"]).decisions_equal
        0.5
    """
    equal = scoring.decide(served) == scoring.decide(trained)
    difference = np.abs(served - trained)
    columns = zip(labels, equal.mean(axis=0).tolist(), difference.mean(axis=0).tolist(), strict=True)
    return Parity(
        articles=len(equal),
        decisions_equal=float(equal.mean()),
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
        labels={label: LabelParity(share, shift) for label, share, shift in columns},
    )


def check_parity(parity: Parity, config: ExportConfig) -> None:
    """Let a model pass whose differences stay within the recipe's bounds.

    Raises:
        WusumError: they do not; the message names the labels that moved, by how much, what was allowed and the ways on.
    """
    shares = {label: one.equal for label, one in parity.labels.items()}
    cells = parity.articles * len(shares)
    faults = [
        *_too_few_equal({"all labels": parity.decisions_equal}, cells, config.least_equal, "least_equal"),
        *_too_few_equal(shares, parity.articles, config.least_equal_label, "least_equal_label"),
        *_moved_too_far(parity, config.largest_shift),
    ]
    if faults:
        more = [f"{len(faults) - MOST_NAMED} more"] if len(faults) > MOST_NAMED else []
        others = " or ".join(f"export.precision={name}" for name in PRECISIONS if name != config.precision)
        bounds = ", ".join(f"export.{name}" for name in dict.fromkeys(bound for _, bound in faults))
        raise WusumError(
            f"export.precision={config.precision}: on dev the model to be served differs from the trained one "
            f"({'; '.join([text for text, _ in faults[:MOST_NAMED]] + more)}); no bundle was written; the training is "
            f"kept: run the same again with {others}, or with other bounds ({bounds})"
        )


def _too_few_equal(shares: Mapping[str, float], decisions: int, least: float, bound: str) -> list[tuple[str, str]]:
    enough = math.floor(round(least * decisions, 6))  # rounded first: 0.97 * 100 is 97, not a little less
    return [
        (f"{name}: {share:.2%} of the decisions equal, at least {least:.2%} expected", bound)
        for name, share in sorted(shares.items(), key=lambda item: item[1])
        if round(share * decisions) < enough
    ]


def _moved_too_far(parity: Parity, most: float) -> list[tuple[str, str]]:
    return [
        (f"{name}: probability moved by {one.shift:.4f} in the mean, at most {most:g} allowed", "largest_shift")
        for name, one in sorted(parity.labels.items(), key=lambda item: -item[1].shift)
        if one.shift > most
    ]
