"""Opponents that the fine-tuned model must beat: TF-IDF with a linear classifier, and the taxonomy's own keywords."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..inference.normalise import get_recipe
from ..labels import Label, Taxonomy
from ..labels.errors import WusumError
from .metrics import Bools, Floats

# What Arabic writes onto the front of a noun: and/so, with/like/for, the; "for the" is one sign shorter.
_PROLITICS = "[وف]?(?:[بكل]?(?:ال)?|لل)"


class TfidfBaseline:
    """TF-IDF of word 1-2-grams and of character 2-5-grams within words; one linear support-vector classifier per label.

    The strongest of those tried on dev with cross-fitted thresholds, as the model gets them: n-grams of words,
    of characters and of both, logistic regression and support-vector machines, a range of costs.

    Example:
        >>> texts, truth = ["أبيض", "أسود", "أبيض", "أسود"], np.array([[True], [False], [True], [False]])
        >>> TfidfBaseline().fit(texts, truth).scores(["أبيض"])[0, 0] > 0.5  # doctest: +SKIP
        True
    """

    def __init__(self, recipe: str = "e5-ar-1", cost: float = 1.0) -> None:
        """Take the normalisation recipe of the texts and the classifier's C."""
        self._normalise = get_recipe(recipe).apply
        self._cost = cost
        self._vectoriser: Any = None
        self._classifiers: list[Any] = []

    def fit(self, texts: Sequence[str], truth: Bools) -> Self:
        """Learn from texts and their labels, shape (texts, labels).

        Raises:
            WusumError: scikit-learn is not installed.
        """
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.pipeline import make_union
            from sklearn.svm import LinearSVC
        except ImportError as fault:
            raise WusumError("the TF-IDF baseline needs the extra: pip install 'wusum[train]'") from fault
        self._vectoriser = make_union(
            *(
                TfidfVectorizer(analyzer=unit, ngram_range=sizes, min_df=2, sublinear_tf=True, dtype=np.float32)
                for unit, sizes in (("word", (1, 2)), ("char_wb", (2, 5)))
            )
        )
        features = self._vectoriser.fit_transform([self._normalise(text) for text in texts])
        self._classifiers = []
        for column in np.asarray(truth, dtype=bool).T:
            # A classifier needs both answers; a label that is always or never given keeps that answer.
            constant = column.all() or not column.any()
            classifier = LinearSVC(C=self._cost, class_weight="balanced", tol=1e-2, random_state=0)
            self._classifiers.append(float(column[0]) if constant else classifier.fit(features, column))
        return self

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return a score in [0, 1] per text and label: the logistic function of the margin, not calibrated."""
        features = self._vectoriser.transform([self._normalise(text) for text in texts])
        table = np.empty((len(texts), len(self._classifiers)))
        for k, classifier in enumerate(self._classifiers):
            constant = isinstance(classifier, float)
            table[:, k] = classifier if constant else 1 / (1 + np.exp(-2 * classifier.decision_function(features)))
        return table


class KeywordBaseline:
    """A label's names and aliases, counted in the text as whole words, with Arabic's prefixed particles.

    Example:
        >>> scheme = Taxonomy("t", "1", (Label("trade", "topic", "تجارة", "Trade", "Between states."),))
        >>> KeywordBaseline(scheme).scores(["والتجارة حرة", "متجر"]).tolist()
        [[0.5], [0.0]]
    """

    def __init__(self, taxonomy: Taxonomy, recipe: str = "e5-ar-1") -> None:
        """Take the label scheme and the normalisation recipe of texts and names."""
        self._normalise = get_recipe(recipe).apply
        self._patterns = [self._pattern(label) for label in taxonomy.labels]

    def _pattern(self, label: Label) -> re.Pattern[str]:
        names = {self._normalise(name).casefold() for name in (label.ar, label.en, *label.aliases)}
        choices = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
        return re.compile(rf"(?<!\w){_PROLITICS}(?:{choices})(?!\w)")

    def fit(self, texts: Sequence[str], truth: Bools) -> Self:
        """Learn nothing: the keywords stand in the taxonomy."""
        return self

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return n / (n + 1) for n occurrences, so that 0.5 means one and thresholds may ask for more."""
        folded = [self._normalise(text).casefold() for text in texts]
        counts = [[len(pattern.findall(text)) for pattern in self._patterns] for text in folded]
        found = np.array(counts, dtype=np.float64).reshape(len(texts), len(self._patterns))
        return found / (found + 1)
