"""From probabilities to decisions: one threshold per label, shrunk towards a common one where positives are few.

A label is given where its probability is at least its threshold. The best threshold of a label with ten positives is
mostly noise, so each label borrows ``shrinkage`` (lambda) pseudo-positives from the pool of all labels. With tp_k(t),
n_k(t) the true positives and the decisions of label k at threshold t, p_k its positives, and TP, N, P the same sums
over all labels, label k gets the t that maximises

    F_k(t) = 2 * (tp_k(t) + lambda * TP(t) / P) / (n_k(t) + lambda * N(t) / P + p_k + lambda)

The label's own curve weighs p_k, the pool's lambda: with p_k far above lambda the threshold is the label's own, with
few positives it nears the global one (which maximises pooled F1), and without any it is the global one.

``DEFAULT_SHRINKAGE`` was chosen on dev by cross-fitted F1, over eight fold assignments and several models' scores.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .metrics import Bools, Floats

DEFAULT_SHRINKAGE = 20.0

_TIE = 1e-12
_LEAST, _MOST = float(np.nextafter(0, 1)), float(np.nextafter(1, 0))


def choose_thresholds(
    scores: npt.ArrayLike,
    truth: npt.ArrayLike,
    shrinkage: float = DEFAULT_SHRINKAGE,
    judged: npt.ArrayLike | None = None,
) -> Floats:
    """One threshold per label, in (0, 1), for probabilities of shape (documents, labels).

    Equal values of F_k between two thresholds form a plateau; its middle is taken, of several plateaus the widest (the
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
    order = np.argsort(probabilities, axis=None, kind="stable")
    column = order % probabilities.shape[1]
    in_order = probabilities.ravel()[order]
    counted, positive = seen.ravel()[order], (true & seen).ravel()[order]
    starts = np.flatnonzero(np.diff(in_order, prepend=-1.0))
    edges = np.concatenate([[0.0], in_order[starts], [1.0]])
    pool_tp, pool_n = _at_least(positive, starts), _at_least(counted, starts)
    positives = float(positive.sum())
    share = 1.0 / max(1.0, positives)
    common = _best(2 * pool_tp, pool_n + positives, edges)
    thresholds = np.full(probabilities.shape[1], common)
    for k in np.flatnonzero((true & seen).any(axis=0)):
        own = column == k
        tp, decided = _at_least(positive & own, starts), _at_least(counted & own, starts)
        above = 2 * (tp + shrinkage * share * pool_tp)
        below = decided + shrinkage * share * pool_n + tp[0] + shrinkage
        thresholds[k] = _best(above, below, edges)
    return thresholds


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
    names = np.arange(len(true)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    groups = int(names.max()) + 1
    if names.shape != (len(true),) or not 2 <= folds <= groups:
        raise ValueError(f"{folds} folds over {groups} clusters of {len(true)} documents: expected 2 folds to one each")
    fold = (np.random.default_rng(seed).permutation(groups) % folds)[names]
    decisions = np.zeros(true.shape, dtype=bool)
    for number in range(folds):
        rest, here = fold != number, fold == number
        decisions[here] = probabilities[here] >= choose_thresholds(
            probabilities[rest], true[rest], shrinkage, seen[rest]
        )
    return decisions


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


def _at_least(flags: Bools, starts: npt.NDArray[np.intp]) -> Floats:
    """How many flags stand at or after each start, and, last, after all of them (0)."""
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.concatenate([total[-1] - total[starts], [0]]).astype(np.float64)


def _best(above: Floats, below: Floats, edges: Floats) -> float:
    """The middle of the widest plateau of the greatest above/below; value i holds between edges i and i + 1."""
    values = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    values[np.diff(edges) <= 0] = -1  # a score of exactly 0 or 1: no threshold in (0, 1) lies beyond it
    top = np.concatenate([[False], values >= values.max() - _TIE, [False]])
    changes = np.flatnonzero(top[1:] != top[:-1])
    low, high = edges[changes[::2]], edges[changes[1::2]]
    widest = int(np.argmax(high - low))
    return float(np.clip((low[widest] + high[widest]) / 2, _LEAST, _MOST))
