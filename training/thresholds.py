"""From probabilities to decisions: one threshold per label, shrunk towards a common one where positives are few.

A label is given where its probability is at least its threshold. The F1-optimal threshold t_k of a label with ten
positives is mostly noise, so it is drawn towards g, the threshold that is optimal for all labels pooled. With p_k
positives of label k,

    logit(threshold_k) = w_k * logit(t_k) + (1 - w_k) * logit(g),    w_k = p_k / (p_k + shrinkage)

so that ``shrinkage`` is the number of positives at which both count the same: the weight of an empirical-Bayes mean
whose prior is worth that many observations. A label without positives gets g.

``DEFAULT_SHRINKAGE`` was chosen on dev by cross-fitted F1 of calibrated scores, over several fold assignments and five
models (training/EXPERIMENTS.md, 2026-11-23).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .metrics import Bools, Floats, Ints

DEFAULT_SHRINKAGE = 160.0

_TIE = 1e-12
_LEAST, _MOST = 1e-6, 1 - 1e-6  # a bundle stores six decimals


def choose_thresholds(
    scores: npt.ArrayLike,
    truth: npt.ArrayLike,
    shrinkage: float = DEFAULT_SHRINKAGE,
    judged: npt.ArrayLike | None = None,
) -> Floats:
    """One threshold per label, in (0, 1), for probabilities of shape (documents, labels).

    Thresholds of equal F1 side by side form a plateau; its middle is taken, of several plateaus that of the widest (the
    lowest of equally wide ones). The result depends on the input alone. Without any positive at all it is 0.5.

    Raises:
        ValueError: shapes differ, there is no document, a score is no probability, or shrinkage is negative.

    Example:
        >>> choose_thresholds([[0.9], [0.7], [0.1]], [[True], [True], [False]], shrinkage=0).round(2).tolist()
        [0.4]
    """
    probabilities, true, seen = _checked(scores, truth, judged)
    if shrinkage < 0:
        raise ValueError(f"shrinkage {shrinkage}: expected 0 or more")
    positives = (true & seen).sum(axis=0)
    common = log_odds(_best(probabilities[seen], true[seen]))
    thresholds = np.full(true.shape[1], common)
    for k in np.flatnonzero(positives):
        own = log_odds(_best(probabilities[seen[:, k], k], true[seen[:, k], k]))
        weight = positives[k] / (positives[k] + shrinkage)
        thresholds[k] = weight * own + (1 - weight) * common
    shrunk: Floats = np.clip(1 / (1 + np.exp(-thresholds)), _LEAST, _MOST)
    return shrunk


def crossfit_decisions(
    scores: npt.ArrayLike,
    truth: npt.ArrayLike,
    folds: int = 5,
    seed: int = 0,
    shrinkage: float = DEFAULT_SHRINKAGE,
    judged: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
) -> Bools:
    """Decisions for every document, each from thresholds that were chosen on the other folds.

    Scoring thresholds on the documents that chose them flatters them; these decisions do not. ``clusters`` names each
    document's cluster of near-duplicates, which stays in one fold.

    Raises:
        ValueError: as ``choose_thresholds``, or fewer than two folds, or fewer documents (or clusters) than folds.

    Example:
        >>> crossfit_decisions([[0.9], [0.8], [0.1], [0.2]], [[True], [True], [False], [False]], folds=2).shape
        (4, 1)
    """
    probabilities, true, seen = _checked(scores, truth, judged)
    fold = fold_numbers(len(true), folds, seed, clusters)
    decisions = np.zeros(true.shape, dtype=bool)
    for number in range(folds):
        rest, here = fold != number, fold == number
        decisions[here] = probabilities[here] >= choose_thresholds(
            probabilities[rest], true[rest], shrinkage, seen[rest]
        )
    return decisions


def most_probable(probabilities: npt.ArrayLike) -> Bools:
    """Return the decisions of a single-label scheme: True at the highest value of each row, the first of equal ones.

    Example:
        >>> most_probable([[0.2, 0.8]]).tolist()
        [[False, True]]
    """
    values = np.asarray(probabilities)
    decisions: Bools = np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]
    return decisions


def fold_numbers(documents: int, folds: int, seed: int = 0, clusters: npt.ArrayLike | None = None) -> Ints:
    """Return each document's fold, 0 to ``folds`` - 1, shape (documents,); a cluster stays in one fold.

    Raises:
        ValueError: fewer than two folds, fewer documents (or clusters) than folds, or not one cluster per document.

    Example:
        >>> sorted(fold_numbers(4, 2).tolist())
        [0, 0, 1, 1]
    """
    names = np.arange(documents) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    groups = int(names.max()) + 1
    if names.shape != (documents,) or not 2 <= folds <= groups:
        raise ValueError(f"{folds} folds over {groups} clusters of {documents} documents: expected 2 folds to one each")
    numbers: Ints = (np.random.default_rng(seed).permutation(groups) % folds)[names]
    return numbers


def _checked(scores: npt.ArrayLike, truth: npt.ArrayLike, judged: npt.ArrayLike | None) -> tuple[Floats, Bools, Bools]:
    probabilities, true = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=bool)
    seen = np.ones_like(true) if judged is None else np.asarray(judged, dtype=bool)
    if true.ndim != 2 or not len(true) or probabilities.shape != true.shape or seen.shape != true.shape:
        raise ValueError(
            "scores, truth and judged must have one shape (documents, labels) with at least one document, "
            f"not {probabilities.shape}, {true.shape}, {seen.shape}"
        )
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise ValueError("scores must be probabilities between 0 and 1")
    return probabilities, true, seen


def _best(scores: Floats, truth: Bools) -> float:
    """The middle of the widest plateau of the highest F1 for one row of scores; 0.5 where nothing is positive."""
    if not truth.any():
        return 0.5
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-1.0))
    hits = np.concatenate([np.cumsum(truth[order][::-1])[::-1][starts], [0]])
    decided = np.concatenate([len(scores) - starts, [0]])
    f1 = 2 * hits / (decided + truth.sum())
    edges = np.concatenate([[0.0], scores[order][starts], [1.0]])  # f1[i] holds between edges i and i + 1
    f1[np.diff(edges) <= 0] = -1  # a score of exactly 0 or 1: no threshold in (0, 1) lies beyond it
    top = np.concatenate([[False], f1 >= f1.max() - _TIE, [False]])
    changes = np.flatnonzero(top[1:] != top[:-1])
    low, high = edges[changes[::2]], edges[changes[1::2]]
    widest = int(np.argmax(high - low))
    return float(np.clip((low[widest] + high[widest]) / 2, _LEAST, _MOST))


def log_odds(probabilities: npt.ArrayLike) -> Floats:
    """Return log p - log(1 - p), of the same shape; the inverse of the sigmoid.

    Example:
        >>> log_odds([0.5]).tolist()
        [0.0]
    """
    return np.asarray(np.log(probabilities) - np.log1p(np.negative(probabilities)))
