"""How good decisions are, and how sure one can be of it: F1, average precision, bootstrap intervals, in numpy alone.

``decisions`` and ``truth`` are boolean arrays of shape (documents, labels); ``judged``, where given, has the same
shape and is False where an annotator did not judge a label: such cells count nowhere.

Two conventions: 0/0 is 0.0, as in scikit-learn with ``zero_division=0``; and a macro average runs over the labels that
have at least one positive in ``truth`` (in a bootstrap: in the resample), because the F1 of a label without positives
is 0 whatever the model does. False positives on such a label still count in the micro average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..labels import Taxonomy

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Statistic = Literal["micro_f1", "macro_f1", "exact_match"]

_CELLS_AT_ONCE = 8_000_000  # resampling weights held in memory at a time: 64 MB


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1, each between 0 and 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Averages:
    """The micro and the macro average over a group of labels."""

    micro: Scores
    macro: Scores


@dataclass(frozen=True)
class LabelScores:
    """One label: its scores, and how many documents carry it (``support``) and were given it (``predicted``)."""

    id: str
    kind: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class Report:
    """What ``f1_report`` returns; ``labels`` stand in the taxonomy's order."""

    documents: int
    overall: Averages
    topics: Averages
    actors: Averages
    exact_match: float
    labels: tuple[LabelScores, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Interval:
    """An estimate with the interval that holds the share ``level`` of its bootstrap distribution."""

    value: float
    low: float
    high: float
    level: float = 0.95


class Hits(NamedTuple):
    """True positives, false positives and false negatives: 0 or 1 per document and label, float64."""

    tp: Floats
    fp: Floats
    fn: Floats


def count_hits(decisions: npt.ArrayLike, truth: npt.ArrayLike, judged: npt.ArrayLike | None = None) -> Hits:
    """Sort every judged cell into true positive, false positive, false negative (or none of them).

    Raises:
        ValueError: the arrays are not of one two-dimensional shape, or hold no document.

    Example:
        >>> count_hits([[True, False]], [[True, True]]).fn.tolist()
        [[0.0, 1.0]]
    """
    said, true = np.asarray(decisions, dtype=bool), np.asarray(truth, dtype=bool)
    seen = np.ones_like(true) if judged is None else np.asarray(judged, dtype=bool)
    if said.ndim != 2 or not len(said) or said.shape != true.shape or seen.shape != true.shape:
        raise ValueError(
            "decisions, truth and judged must have one shape (documents, labels) with at least one document, "
            f"not {said.shape}, {true.shape}, {seen.shape}"
        )
    cells = (said & true & seen, said & ~true & seen, ~said & true & seen)
    return Hits(*(cell.astype(np.float64) for cell in cells))


def f1_report(
    decisions: npt.ArrayLike, truth: npt.ArrayLike, taxonomy: Taxonomy, judged: npt.ArrayLike | None = None
) -> Report:
    """Precision, recall and F1 per label and averaged: over all labels, over topics, over actors.

    The columns stand in the taxonomy's order. ``exact_match`` is the share of documents without any wrong cell.

    Raises:
        ValueError: shapes differ from one another, or from the size of the taxonomy.

    Example:
        >>> f1_report(decisions, truth, load_taxonomy()).overall.micro.f1  # doctest: +SKIP
        0.85
    """
    hits = count_hits(decisions, truth, judged)
    if hits.tp.shape[1] != len(taxonomy):
        raise ValueError(f"{hits.tp.shape[1]} columns, but the taxonomy has {len(taxonomy)} labels")
    totals = Hits(*(table.sum(axis=0) for table in hits))
    shares = np.stack(ratios(totals), axis=1).tolist()
    counts = np.stack([totals.tp + totals.fn, totals.tp + totals.fp], axis=1).astype(int).tolist()
    labels = tuple(LabelScores(label.id, label.kind, *shares[k], *counts[k]) for k, label in enumerate(taxonomy.labels))
    topics, actors = ([taxonomy.index(i) for i in ids] for ids in (taxonomy.topics, taxonomy.actors))
    return Report(
        documents=len(hits.tp),
        overall=averages(totals, range(len(taxonomy))),
        topics=averages(totals, topics),
        actors=averages(totals, actors),
        exact_match=float(_exact_columns(hits)[:, 0].mean()),
        labels=labels,
    )


def averages(totals: Hits, columns: Sequence[int]) -> Averages:
    """Micro and macro averages over some columns of the per-label totals."""
    chosen = Hits(*(total[list(columns)] for total in totals))
    micro = ratios(Hits(*(np.asarray(total.sum()) for total in chosen)))
    carried = chosen.tp + chosen.fn > 0
    macro = [float(score[carried].mean()) if carried.any() else 0.0 for score in ratios(chosen)]
    return Averages(Scores(*map(float, micro)), Scores(*macro))


def ratios(hits: Hits) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each cell of the given totals."""
    tp, fp, fn = hits
    return _ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient, with 0/0 = 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def average_precision(
    scores: npt.ArrayLike, truth: npt.ArrayLike, judged: npt.ArrayLike | None = None, times: npt.ArrayLike | None = None
) -> Floats:
    """Average precision of each label, shape (labels,): the sum of (R_n - R_{n-1}) P_n over its distinct scores.

    ``times`` says how often each document counts (default: once); of shape (samples, documents) it gives the average
    precision of every sample, shape (samples, labels). A label without positives gets 0.

    Example:
        >>> average_precision([[0.9], [0.8], [0.7]], [[True], [False], [True]]).round(3).tolist()
        [0.833]
    """
    values, true = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=bool)
    seen = np.ones_like(true) if judged is None else np.asarray(judged, dtype=bool)
    weights = np.ones((1, len(true))) if times is None else np.asarray(times, dtype=np.float64)
    found = np.zeros((len(weights), true.shape[1]))
    for k in np.flatnonzero((true & seen).any(axis=0)):
        order = np.flatnonzero(seen[:, k])
        order = order[np.argsort(-values[order, k], kind="stable")]
        ends = np.flatnonzero(np.diff(values[order, k], append=-np.inf))  # equal scores are one step
        counts = weights[:, order]
        hits, given = (np.cumsum(part, axis=1)[:, ends] for part in (counts * true[order, k], counts))
        steps = np.diff(hits, axis=1, prepend=0.0)
        found[:, k] = _ratio((steps * _ratio(hits, given)).sum(axis=1), hits[:, -1])
    return found if times is not None else found[0]


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
    return _ratio((ratios(hits)[2] * carried).sum(axis=1), carried.sum(axis=1).astype(np.float64))


def _exact_columns(hits: Hits) -> Floats:
    right = (hits.fp + hits.fn).sum(axis=1) == 0
    return np.stack([right, np.ones_like(right)], axis=1).astype(np.float64)


def _exact_value(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]


# For each statistic: columns of one number per document that may be added up, and its value from such sums.
_STATISTICS: dict[Statistic, tuple[Callable[[Hits], Floats], Callable[[Floats], Floats]]] = {
    "micro_f1": (_micro_columns, _micro_value),
    "macro_f1": (np.hstack, _macro_value),
    "exact_match": (_exact_columns, _exact_value),
}
