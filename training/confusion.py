"""What goes wrong, and where: labels taken for one another, and the errors that were surest of themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..labels import Taxonomy
from .metrics import Floats, count_hits

_LEAST = 1e-6  # a probability of 0 would cost without end


@dataclass(frozen=True)
class Confusion:
    """In so many articles ``given`` was given wrongly while ``missed`` was missed."""

    missed: str
    given: str
    articles: int


@dataclass(frozen=True)
class CostlyError:
    """One wrong decision: the article's row, the label, its probability, and the log-loss in nats."""

    row: int
    label: str
    probability: float
    missed: bool
    cost: float


def confusions(
    decisions: npt.ArrayLike, truth: npt.ArrayLike, taxonomy: Taxonomy, judged: npt.ArrayLike | None = None
) -> list[Confusion]:
    """Return the pairs of one kind, the most frequent first: a topic stands in for a topic, an actor for an actor.

    An article with two missed and three wrong labels counts for six pairs.

    Example:
        >>> confusions([[False, True]], [[True, False]], scheme)  # doctest: +SKIP
        [Confusion(missed='war', given='terrorism', articles=1)]
    """
    hits = count_hits(decisions, truth, judged)
    pairs = hits.fn.T @ hits.fp
    kinds = np.array([label.kind for label in taxonomy.labels])
    pairs[kinds[:, None] != kinds] = 0
    order = np.argsort(-pairs, axis=None, kind="stable")[: np.count_nonzero(pairs)]
    cells = zip(*(axis.tolist() for axis in np.unravel_index(order, pairs.shape)), strict=True)
    return [Confusion(taxonomy.ids[missed], taxonomy.ids[given], int(pairs[missed, given])) for missed, given in cells]


def costliest(
    probabilities: Floats,
    decisions: npt.ArrayLike,
    truth: npt.ArrayLike,
    taxonomy: Taxonomy,
    judged: npt.ArrayLike | None = None,
    count: int = 20,
) -> list[CostlyError]:
    """Return the wrong decisions with the highest log-loss, highest first.

    Example:
        >>> costliest(np.array([[0.9]]), [[True]], [[False]], scheme)[0].cost  # doctest: +SKIP
        2.3
    """
    hits = count_hits(decisions, truth, judged)
    right = np.where(np.asarray(truth, dtype=bool), probabilities, 1 - probabilities)
    costs = np.where(hits.fp + hits.fn > 0, -np.log(np.maximum(right, _LEAST)), -np.inf)
    order = np.argsort(-costs, axis=None, kind="stable")[: min(count, int((hits.fp + hits.fn).sum()))]
    cells = zip(*(axis.tolist() for axis in np.unravel_index(order, costs.shape)), strict=True)
    return [
        CostlyError(row, taxonomy.ids[k], float(probabilities[row, k]), bool(hits.fn[row, k]), float(costs[row, k]))
        for row, k in cells
    ]
