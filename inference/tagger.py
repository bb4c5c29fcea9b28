"""The tagger: a bundle and an engine behind ``predict``."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ..labels import Taxonomy
from ..labels.errors import WusumError
from .article import Article
from .bundle import Bundle, embedded_bundle, open_bundle
from .cleaner import clean_page
from .engine import OnnxEngine
from .features import Featuriser
from .language import language_note
from .prediction import Prediction

TaggerInput = str | Mapping[str, Any] | Article


class Tagger:
    """Tags Arabic news articles with topics and actors.

    A string is taken for a page as copied from a site: its headline and body are found and furniture (related
    headlines, polls, comment forms) is dropped. A mapping or an ``Article`` is taken as clean, field by field.

    Example:
        >>> tagger = Tagger.load()
        >>> tagger.predict({"title": "مباراة ودية", "text": "فاز الفريق بهدفين."}).topics
        ()
    """

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Use :meth:`load` unless you opened the bundle yourself."""
        self.bundle = bundle
        try:
            tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path))
        except Exception as fault:  # tokenizers raises nothing more special
            message = f"{bundle.tokenizer_path}: no tokenizer ({fault}); copy or train the bundle again"
            raise WusumError(message) from fault
        self._featurise = Featuriser(tokenizer, bundle.input, bundle.tokens)
        self._engine = OnnxEngine(bundle.model_path, threads)

    @classmethod
    def load(cls, path: str | Path | None = None, *, threads: int | None = None) -> Tagger:
        """Load a bundle folder, or the embedded model when ``path`` is None.

        Raises:
            WusumError: the folder is no complete, undamaged bundle that this version can read.
        """
        return cls(open_bundle(embedded_bundle() if path is None else Path(path)), threads)

    @property
    def taxonomy(self) -> Taxonomy:
        """The label scheme that the model was trained on."""
        return self.bundle.taxonomy

    @overload
    def predict(self, articles: TaggerInput) -> Prediction: ...  # type: ignore[overload-overlap]  # a str is one article
    @overload
    def predict(self, articles: Sequence[TaggerInput]) -> list[Prediction]: ...

    def predict(self, articles: TaggerInput | Sequence[TaggerInput]) -> Prediction | list[Prediction]:
        """Tag one article, or a list of them: list in, list out, order kept.

        Raises:
            WusumError: an item is neither a string, nor an ``Article``, nor a mapping with a string ``text``.
        """
        if isinstance(articles, str | Mapping | Article):
            return self._predict_one(articles)
        return list(self.stream(articles))

    def stream(self, articles: Iterable[TaggerInput]) -> Iterator[Prediction]:
        """Tag articles one after the other in constant memory."""
        return map(self._predict_one, articles)

    def _predict_one(self, given: TaggerInput) -> Prediction:
        article, notes = _as_article(given)
        if not article.text.strip() and not (article.title or "").strip():
            return self._without_labels(article, [*notes, "empty text; no label given"])
        doubt = language_note(f"{article.title or ''}\n{article.text}")
        if doubt is not None:
            return self._without_labels(article, [*notes, doubt])
        features = self._featurise(article)
        if features.truncated:
            notes.append(f"read the first {min(len(article.text), self.bundle.input.max_chars):,} characters")
        return self._choose(article, self.bundle.scoring.probabilities(self._engine.logits(features)), notes)

    def _choose(self, article: Article, probabilities: npt.NDArray[np.float64], notes: list[str]) -> Prediction:
        ids = self.taxonomy.ids
        by_label = dict(zip(ids, probabilities.tolist(), strict=True))
        given = self.bundle.scoring.decide(probabilities)
        chosen = [label for label, yes in zip(ids, given, strict=True) if yes]
        chosen.sort(key=lambda label: -by_label[label])
        topics, actors = self.taxonomy.split(chosen)
        scores = {label: round(value, 4) for label, value in by_label.items()}
        return Prediction(topics, actors, scores, tuple(notes), article.id)

    def _without_labels(self, article: Article, notes: list[str]) -> Prediction:
        return Prediction((), (), dict.fromkeys(self.taxonomy.ids, 0.0), tuple(notes), article.id)


def _as_article(given: TaggerInput) -> tuple[Article, list[str]]:
    if isinstance(given, str):
        page = clean_page(given)
        notes = [f"dropped {page.dropped} of {page.total} lines as page furniture"] if page.dropped else []
        return Article(page.body, page.title), notes
    if isinstance(given, Article):
        return given, []
    if not isinstance(given, Mapping):
        raise WusumError(f"expected a string, an Article or a mapping with 'text', got {type(given).__name__}")
    for field, needed in (("text", True), ("title", False), ("id", False)):
        value = given.get(field)
        if not isinstance(value, str) and (needed or value is not None):
            raise WusumError(f"field {field!r}: expected a string, got {type(value).__name__}")
    return Article(given["text"], given.get("title"), given.get("id")), []


@functools.cache
def _embedded_tagger() -> Tagger:
    return Tagger.load()


def predict(article: TaggerInput) -> Prediction:
    """Tag one article with the embedded model, which is loaded at the first call.

    Example:
        >>> predict("The ministers met in Geneva on Monday.").notes
        ('not Arabic: 0 % of the letters are Arabic; no label given',)
    """
    return _embedded_tagger().predict(article)
