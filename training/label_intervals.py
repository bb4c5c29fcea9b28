"""95 % bootstrap intervals for each label: precision, recall, F1 and average precision, over clusters of documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bootstrap import Interval, by_cluster, draw_counts, interval
from .metrics import Floats, Hits, average_precision, count_hits, ratios

SAMPLES = 1000


@dataclass(frozen=True)
class LabelIntervals:
    """The figures of one label, each with its interval."""

    precision: Interval
    recall: Interval
    f1: Interval
    average_precision: Interval


@dataclass(frozen=True)
class RankedIntervals:
    """What ``label_intervals`` returns: each label's figures, and the mean of the average precisions.

    The mean runs over the labels with at least one positive (in a resample: in the resample).
    """

    labels: tuple[LabelIntervals, ...]
    mean_average_precision: Interval


def label_intervals(
    decisions: npt.ArrayLike,
    scores: npt.ArrayLike,
    truth: npt.ArrayLike,
    judged: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> RankedIntervals:
    """Draw whole clusters again ``samples`` times and measure every label in each resample.

    All arrays have the shape (documents, labels) but ``clusters``, (documents,).

    Raises:
        ValueError: arrays of different shapes.

    Example:
        >>> label_intervals([[True]], [[0.9]], [[True]], samples=10).labels[0].f1.value
        1.0
    """
    hits, true = count_hits(decisions, truth, judged), np.asarray(truth, dtype=bool)
    names = np.arange(len(true)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    table = by_cluster(np.hstack(hits), names)
    parts = [_measured(np.ones((1, len(table))), table, names, scores, true, judged)]
    parts += [_measured(times, table, names, scores, true, judged) for times in draw_counts(len(table), samples, seed)]
    figures = np.concatenate(parts)  # (1 + samples, labels + 1, 4); the first is the estimate itself
    found = [[interval(float(column[0]), column[1:]) for column in row] for row in figures.transpose(1, 2, 0)]
    return RankedIntervals(tuple(LabelIntervals(*row) for row in found[:-1]), found[-1][-1])


def _measured(
    times: Floats,
    table: Floats,
    names: npt.NDArray[np.int64],
    scores: npt.ArrayLike,
    true: npt.NDArray[np.bool_],
    judged: npt.ArrayLike | None,
) -> Floats:
    """Precision, recall, F1 and AP of each label in each resample, and their mean as one more label."""
    hits = Hits(*np.split(times @ table, 3, axis=1))
    precision = average_precision(scores, true, judged, times[:, names])
    carried = hits.tp + hits.fn > 0
    figures = np.stack([*ratios(hits), precision], axis=-1)
    counts = np.maximum(1, carried.sum(axis=1))[:, None, None]
    mean = (figures * carried[..., None]).sum(axis=1, keepdims=True) / counts
    return np.concatenate([figures, mean], axis=1)
