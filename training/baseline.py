"""Opponents that the fine-tuned model must beat: TF-IDF with a linear classifier, fastText, the taxonomy's keywords."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
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

    def fit(self, texts: Sequence[str], truth: Bools, judged: Bools | None = None) -> Self:
        """Learn from texts and their labels, shape (texts, labels); each label from the texts where it was judged.

        Raises:
            WusumError: scikit-learn is not installed, or the texts share no words.
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
        try:
            features = self._vectoriser.fit_transform([self._normalise(text) for text in texts])
        except ValueError as fault:  # scikit-learn's word for an empty vocabulary
            raise WusumError(f"the TF-IDF baseline cannot learn from these texts ({fault}); give it more") from fault
        self._classifiers = []
        seen = np.ones_like(truth) if judged is None else judged
        for rows, column in zip(seen.T, truth.T, strict=True):
            # A classifier needs both answers; a label that is always or never given keeps that answer.
            if column[rows].all() or not column[rows].any():
                self._classifiers.append(float(column[rows].any()))
            else:
                classifier = LinearSVC(C=self._cost, class_weight="balanced", tol=1e-2, random_state=0)
                self._classifiers.append(classifier.fit(features[rows], column[rows]))
        return self

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return a score in [0, 1] per text and label: the logistic function of the margin, not calibrated."""
        features = self._vectoriser.transform([self._normalise(text) for text in texts])
        table = np.empty((len(texts), len(self._classifiers)))
        for k, classifier in enumerate(self._classifiers):
            constant = isinstance(classifier, float)
            table[:, k] = classifier if constant else 1 / (1 + np.exp(-2 * classifier.decision_function(features)))
        return table


class FastTextBaseline:
    """fastText (Joulin et al. 2017): averaged embeddings of words and word pairs, one logistic unit per label.

    The package is optional (``fasttext-community``). It knows no missing labels: one not judged counts as not given.

    Example:
        >>> FastTextBaseline().fit(texts, truth).scores(["نص"]).shape  # doctest: +SKIP
        (1, 34)
    """

    def __init__(self, recipe: str = "e5-ar-1", epochs: int = 50, rate: float = 0.5, seed: int = 0) -> None:
        """Take the normalisation recipe of the texts and how long and how fast to learn."""
        self._normalise = get_recipe(recipe).apply
        self._options = {"epoch": epochs, "lr": rate, "seed": seed}
        self._labels = 0
        self._model: Any = None

    def fit(self, texts: Sequence[str], truth: Bools, judged: Bools | None = None) -> Self:
        """Learn from texts and their labels, shape (texts, labels), in one thread so that it comes out the same again.

        Raises:
            WusumError: fastText is not installed.
        """
        try:
            import fasttext
        except ImportError as fault:
            raise WusumError("the fastText baseline needs a package: pip install fasttext-community") from fault
        given = np.asarray(truth, dtype=bool) if judged is None else truth & judged
        self._labels = given.shape[1]
        lines = [
            " ".join([*(f"__label__{k}" for k in np.flatnonzero(row)), self._one_line(text)])
            for row, text in zip(given, texts, strict=True)
            if row.any()  # fastText leaves lines without a label out
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.txt"
            path.write_text("\n".join([*lines, ""]), encoding="utf-8")
            self._model = fasttext.train_supervised(
                str(path), loss="ova", wordNgrams=2, dim=100, bucket=200_000, thread=1, verbose=0, **self._options
            )
        return self

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return a probability per text and label; a label that no text carried gets 0."""
        table = np.zeros((len(texts), self._labels))
        names, values = self._model.predict([self._one_line(text) for text in texts], k=-1)
        for row, (labels, found) in enumerate(zip(names, values, strict=True)):
            table[row, [int(label.removeprefix("__label__")) for label in labels]] = np.clip(found, 0, 1)
        return table

    def _one_line(self, text: str) -> str:
        return " ".join(self._normalise(text).split()).replace("__label__", "")


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

    def fit(self, texts: Sequence[str], truth: Bools, judged: Bools | None = None) -> Self:
        """Learn nothing: the keywords stand in the taxonomy."""
        return self

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return n / (n + 1) for n occurrences, so that 0.5 means one and thresholds may ask for more."""
        folded = [self._normalise(text).casefold() for text in texts]
        counts = [[len(pattern.findall(text)) for pattern in self._patterns] for text in folded]
        found = np.array(counts, dtype=np.float64).reshape(len(texts), len(self._patterns))
        return found / (found + 1)
