"""How sure one can be of a score: intervals from drawing documents, or clusters of them, again (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .metrics import Floats, Hits, count_hits, exactly_right, ratio, ratios

Statistic = Literal["micro_f1", "macro_f1", "exact_match"]

_CELLS_AT_ONCE = 8_000_000  # resampling weights held in memory at a time: 64 MB


@dataclass(frozen=True)
class Interval:
    """An estimate with the interval that holds the share ``level`` of its bootstrap distribution."""

    value: float
    low: float
    high: float
    level: float = 0.95


def bootstrap_interval(
    decisions: npt.ArrayLike,
    truth: npt.ArrayLike,
    statistic: Statistic = "micro_f1",
    *,
    judged: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """A statistic with its percentile-bootstrap interval; documents, or whole clusters of them, are drawn again.

    ``clusters`` names each document's cluster of near-duplicates (any values, shape (documents,)).
    Choose columns of ``decisions`` and ``truth`` beforehand for the interval of a group of labels.

    Raises:
        ValueError: arrays of different shapes.

    Example:
        >>> bootstrap_interval([[True], [True]], [[True], [True]])
        Interval(value=1.0, low=1.0, high=1.0, level=0.95)
    """
    columns, value = _STATISTICS[statistic]
    table = by_cluster(columns(count_hits(decisions, truth, judged)), clusters)
    drawn = np.concatenate([value(times @ table) for times in draw_counts(len(table), samples, seed)])
    return interval(float(value(table.sum(axis=0, keepdims=True))[0]), drawn, level)


def paired_bootstrap(
    decisions_a: npt.ArrayLike,
    decisions_b: npt.ArrayLike,
    truth: npt.ArrayLike,
    statistic: Statistic = "micro_f1",
    *,
    judged: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The difference A minus B of a statistic, with its interval: both are computed on the same resampled documents.

    Raises:
        ValueError: arrays of different shapes.

    Example:
        >>> paired_bootstrap([[True]], [[False]], [[True]]).value
        1.0
    """
    columns, value = _STATISTICS[statistic]
    tables = [columns(count_hits(decisions, truth, judged)) for decisions in (decisions_a, decisions_b)]
    width = tables[0].shape[1]
    table = by_cluster(np.hstack(tables), clusters)
    sums = [table.sum(axis=0, keepdims=True), *(times @ table for times in draw_counts(len(table), samples, seed))]
    differences = [value(part[:, :width]) - value(part[:, width:]) for part in sums]
    return interval(float(differences[0][0]), np.concatenate(differences[1:]), level)


def interval(value: float, drawn: Floats, level: float = 0.95) -> Interval:
    """An estimate with the percentile interval of what was drawn."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def by_cluster(table: Floats, clusters: npt.ArrayLike | None) -> Floats:
    """One row per cluster: the sum of its documents' rows."""
    if clusters is None:
        return table
    names = np.asarray(clusters)
    if names.shape != table.shape[:1]:
        raise ValueError(f"{names.shape} clusters for {len(table)} documents: expected one for each")
    numbers = np.unique(names, return_inverse=True)[1]
    sums = np.zeros((int(numbers.max()) + 1, table.shape[1]))
    np.add.at(sums, numbers, table)
    return sums


def draw_counts(rows: int, samples: int, seed: int) -> Iterator[Floats]:
    """How often each of ``rows`` rows is drawn in each of ``samples`` resamples, in parts (some samples, rows).

    A resample draws as many rows as there are, with replacement; ``counts @ table`` sums every resample of a part.
    """
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = generator.integers(rows, size=(size, rows)) + rows * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def _micro_columns(hits: Hits) -> Floats:
    return np.stack([table.sum(axis=1) for table in hits], axis=1)


def _micro_value(sums: Floats) -> Floats:
    return ratios(Hits(*sums.T))[2]


def _macro_value(sums: Floats) -> Floats:
    hits = Hits(*np.split(sums, 3, axis=1))
    carried = hits.tp + hits.fn > 0
    return ratio((ratios(hits)[2] * carried).sum(axis=1), carried.sum(axis=1).astype(np.float64))


def _exact_columns(hits: Hits) -> Floats:
    right = exactly_right(hits)
    return np.stack([right, np.ones_like(right)], axis=1).astype(np.float64)


def _exact_value(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]


# For each statistic: columns of one number per document that may be added up, and its value from such sums.
_STATISTICS: dict[Statistic, tuple[Callable[[Hits], Floats], Callable[[Floats], Floats]]] = {
    "micro_f1": (_micro_columns, _micro_value),
    "macro_f1": (np.hstack, _macro_value),
    "exact_match": (_exact_columns, _exact_value),
}
