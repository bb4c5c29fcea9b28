"""How good decisions are: precision, recall, F1 and average precision, in numpy alone.

``decisions`` and ``truth`` are boolean arrays of shape (documents, labels); ``judged``, where given, has the same
shape and is False where an annotator did not judge a label: such cells count nowhere.

Two conventions: 0/0 is 0.0, as in scikit-learn with ``zero_division=0``; and a macro average runs over the labels that
have at least one positive in ``truth`` (in a bootstrap: in the resample), because the F1 of a label without positives
is 0 whatever the model does. False positives on such a label still count in the micro average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..labels import Taxonomy

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
        exact_match=float(exactly_right(hits).mean()),
        labels=labels,
    )


def exactly_right(hits: Hits) -> Bools:
    """Which documents have no wrong cell, shape (documents,)."""
    return np.asarray((hits.fp + hits.fn).sum(axis=1) == 0)


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
    return ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
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
        found[:, k] = ratio((steps * ratio(hits, given)).sum(axis=1), hits[:, -1])
    return found if times is not None else found[0]
