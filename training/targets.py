"""From labelled articles to what is learned and scored: matrices of labels, and the identity of the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..labels import Taxonomy
from .data import LabelledArticle


def label_matrix(articles: Sequence[LabelledArticle], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """Return the labels as booleans of shape (articles, labels), in the taxonomy's order."""
    return _matrix([article.labels for article in articles], taxonomy)


def judged_matrix(articles: Sequence[LabelledArticle], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """Return which labels were judged, as booleans of shape (articles, labels), in the taxonomy's order."""
    return _matrix([taxonomy.ids if article.judged is None else article.judged for article in articles], taxonomy)


def target_matrix(articles: Sequence[LabelledArticle], taxonomy: Taxonomy) -> npt.NDArray[np.float32]:
    """Return what to learn, shape (articles, labels): 1, 0, or NaN where the label was not judged.

    Example:
        >>> from wusum.labels.taxonomy import Label
        >>> names = ("trade", "energy", "war")
        >>> scheme = Taxonomy("mine", "1", tuple(Label(name, "topic", name, name, name) for name in names))
        >>> target_matrix([LabelledArticle("a", None, "نص", ("trade",), judged=("trade", "energy"))], scheme).tolist()
        [[1.0, 0.0, nan]]
    """
    targets = label_matrix(articles, taxonomy).astype(np.float32)
    targets[~judged_matrix(articles, taxonomy)] = np.nan
    return targets


def _matrix(rows: Sequence[Sequence[str]], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    matrix = np.zeros((len(rows), len(taxonomy)), dtype=bool)
    for row, labels in enumerate(rows):
        matrix[row, [taxonomy.index(label) for label in labels]] = True
    return matrix


def data_sha256(articles: Sequence[LabelledArticle]) -> str:
    """Return one hash over ids, texts, labels and what was judged: the identity of the data that a model learned from.

    Dates are left out, because nothing is learned from them.
    """
    digest = hashlib.sha256()
    for article in articles:
        judged = () if article.judged is None else (article.judged,)
        digest.update(json.dumps([article.id, article.title, article.text, article.labels, *judged]).encode())
    return digest.hexdigest()
