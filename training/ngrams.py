"""Fits the table of n-grams that is served beside a network: one linear support-vector classifier per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.svm import LinearSVC

from ..inference.features import Features
from ..inference.ngrams import NgramTable, ngram_keys
from ..labels.errors import WusumError
from .config import NgramConfig
from .metrics import Bools
from .progress import watched

_LARGEST = 127  # of a weight in 8 bits

Weights = npt.NDArray[np.float32]


def fit_ngrams(features: Sequence[Features], truth: Bools, judged: Bools, config: NgramConfig) -> NgramTable:
    """Learn a table from articles and their labels; each label from the articles where it was judged.

    It is fitted twice: on all n-grams that occur in enough articles, and on those to which the first fit gives most
    weight (squared, over all labels and articles).

    Args:
        features: the articles as the network reads them.
        truth: shape (articles, labels).
        judged: shape (articles, labels).
        config: sizes and costs.

    Raises:
        WusumError: no n-gram occurs in enough articles.

    Example:
        >>> fit_ngrams(train.features, truth, judged, NgramConfig()).weights.shape  # doctest: +SKIP
        (20000, 34)
    """
    keys, counts = count_ngrams(features, config.order)
    common = np.flatnonzero(counts.getnnz(axis=0) >= config.least_articles)
    if not len(common):
        told = f"ngrams.least_articles: no n-gram occurs in {config.least_articles} training articles"
        raise WusumError(f"{told}; lower it, or set ngrams to null")
    values, _ = _tfidf(counts[:, common])
    if len(common) > config.features:
        weights, _ = _fit(values, truth, judged, config.cost, "choosing n-grams")
        weight = (weights**2).sum(axis=1) * np.asarray(values.power(2).sum(axis=0)).ravel()
        common = common[np.sort(np.argsort(-weight, kind="stable")[: config.features])]
    values, idf = _tfidf(counts[:, common])
    weights, bias = _fit(values, truth, judged, config.cost, "fitting n-grams")
    scale = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny) / _LARGEST
    whole = np.round(weights / scale).astype(np.int8)
    added = np.float32(config.weight)
    return NgramTable(config.order, keys[common], idf, whole, scale * added, bias * added)


def count_ngrams(features: Sequence[Features], order: int) -> tuple[npt.NDArray[np.uint32], Any]:
    """Return all n-grams of the articles, ascending, and how often each occurs, sparse, shape (articles, n-grams)."""
    rows = [np.unique(ngram_keys(one, order), return_counts=True) for one in features]
    found, columns = np.unique(np.concatenate([keys for keys, _ in rows]), return_inverse=True)
    bounds = np.cumsum([0, *(len(keys) for keys, _ in rows)])
    counts = np.concatenate([count for _, count in rows]).astype(np.float32)
    return found, sparse.csr_matrix((counts, columns, bounds), shape=(len(rows), len(found)))


def _tfidf(counts: Any) -> tuple[Any, Weights]:
    """Return the articles' values as the table computes them, and the idf, smoothed as if one article held all."""
    articles = counts.shape[0]
    idf = (1 + np.log((1 + articles) / (1 + counts.getnnz(axis=0)))).astype(np.float32)
    values = counts.copy()
    values.data = 1 + np.log(values.data)
    values = values.multiply(idf[None, :]).tocsr()
    norms = np.sqrt(np.asarray(values.power(2).sum(axis=1)).ravel())
    return sparse.diags_array(1 / np.where(norms, norms, 1)).astype(np.float32) @ values, idf


def _fit(values: Any, truth: Bools, judged: Bools, cost: float, what: str) -> tuple[Weights, Weights]:
    """Return weights, shape (n-grams, labels), and biases; a label that is always or never given gets none."""
    weights = np.zeros((values.shape[1], truth.shape[1]), np.float32)
    bias = np.zeros(truth.shape[1], np.float32)
    for label in watched(range(truth.shape[1]), truth.shape[1], what):
        rows, column = judged[:, label], truth[judged[:, label], label]
        if column.any() and not column.all():
            classifier = LinearSVC(C=cost, class_weight="balanced", tol=1e-2, random_state=0)
            classifier.fit(values[rows], column)
            weights[:, label], bias[label] = classifier.coef_[0], classifier.intercept_[0]
    return weights, bias
