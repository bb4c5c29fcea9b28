"""The tagger: a bundle and an engine behind ``predict``."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ..labels import Taxonomy
from ..labels.errors import WusumError
from .article import Article
from .bundle import Bundle, open_bundle
from .bundle_engine import open_bundle_engine
from .bundle_source import load_bundle
from .canonical import end_of_reading
from .cleaner import CleanPage, clean_page
from .engine import EngineName, available_cores
from .evidence import EvidenceFinder, Passage, field_passages, page_passages
from .features import MAX_TITLE_CHARS, Features, Featuriser, read_tokenizer
from .language import language_note
from .manifest import MANIFEST, file_sha256
from .prediction import Prediction
from .scoring import Scoring
from .side_by_side import map_in_order

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

    def __init__(
        self, bundle: Bundle, threads: int | None = None, engine: EngineName = "onnx", workers: int = 1
    ) -> None:
        """Use :meth:`load` unless you opened the bundle yourself."""
        self.bundle = bundle
        self._settings: tuple[int | None, EngineName, int] = (threads, engine, workers)
        self._workers = workers
        self._manifest_sha256 = file_sha256(bundle.folder / MANIFEST)
        self._featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
        self._engine = open_bundle_engine(bundle, engine, threads, workers)
        self._side_by_side = max(1, available_cores() // self._engine.threads)
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        threads: int | None = None,
        engine: EngineName = "onnx",
        workers: int = 1,
        offline: bool = False,
    ) -> Tagger:
        """Load a bundle folder, ``owner/name@revision`` from the hub, or the embedded model when ``path`` is None.

        Args:
            path: as of :func:`~wusum.inference.bundle_source.find_bundle`.
            threads: threads to compute one article with; None for all cores that this process may use, shared among
                the workers.
            workers: how many articles of a list or stream are computed at once. As many as there are cores, each with
                one thread, tag an archive fastest; one worker with all cores tags a single article fastest.
            engine: ``onnx``, or ``openvino`` where ``wusum[openvino]`` is installed. Their scores differ a little.
            offline: never ask the hub, only its cache counts; ``HF_HUB_OFFLINE=1`` means the same.

        Raises:
            WusumError: what was found is no complete, undamaged bundle that this version can read, the hub does not
                give it, or the engine is not installed.
        """
        return cls(load_bundle(path, offline=offline), threads, engine, workers)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle where the bundle lies, its hash and the settings: whoever unpickles it opens the same folder."""
        folder = self.bundle.folder.resolve()
        return _reopen, (folder, self._manifest_sha256, self.bundle.scoring, *self._settings)

    @property
    def taxonomy(self) -> Taxonomy:
        """The label scheme that the model was trained on."""
        return self.bundle.taxonomy

    def require_precision(self, least: float) -> tuple[str, ...]:
        """Give labels from now on only where their precision on dev was at least ``least``, 0.5 to 0.99.

        Returns:
            The labels that never reached it, which are given no more.

        Raises:
            WusumError: as :meth:`~wusum.inference.scoring.Scoring.with_precision`.
        """
        self.bundle, never = self.bundle.with_precision(least)
        return never

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is one article
        self, articles: TaggerInput, *, evidence: bool = False
    ) -> Prediction: ...
    @overload
    def predict(self, articles: Sequence[TaggerInput], *, evidence: bool = False) -> list[Prediction]: ...

    def predict(
        self, articles: TaggerInput | Sequence[TaggerInput], *, evidence: bool = False
    ) -> Prediction | list[Prediction]:
        """Tag one article, or a list of them: list in, list out, order kept.

        Args:
            articles: one article or several.
            evidence: also tell which one to three sentences carry each chosen label, at the cost of about two plain
                predictions, three at most.

        Raises:
            WusumError: an item is neither a string, nor an ``Article``, nor a mapping with a string ``text``.
        """
        if isinstance(articles, str | Mapping | Article):
            return self._predict_one(articles, evidence)
        return list(self.stream(articles, evidence=evidence))

    def stream(self, articles: Iterable[TaggerInput], *, evidence: bool = False) -> Iterator[Prediction]:
        """Tag articles one after the other in constant memory; with several workers a few articles are read ahead.

        Raises:
            WusumError: ``articles`` is one article, or none; and while it runs, as :meth:`predict`.
        """
        if isinstance(articles, str | Mapping | Article):
            raise WusumError(f"expected an iterable of articles, got one {type(articles).__name__}; use predict for it")
        tag = functools.partial(self._predict_one, evidence=evidence)
        if self._workers == 1:
            return map(tag, _several(articles))
        return map_in_order(tag, _several(articles), self._workers)

    @overload
    async def apredict(  # type: ignore[overload-overlap]  # a str is one article
        self, articles: TaggerInput, *, evidence: bool = False
    ) -> Prediction: ...
    @overload
    async def apredict(self, articles: Sequence[TaggerInput], *, evidence: bool = False) -> list[Prediction]: ...

    async def apredict(
        self, articles: TaggerInput | Sequence[TaggerInput], *, evidence: bool = False
    ) -> Prediction | list[Prediction]:
        """Tag one article or a list of them, as :meth:`predict`, in worker threads: the event loop goes on meanwhile.

        At most as many articles are in work at once as there are cores for; the others wait, whatever number of tasks
        asks. A task that is cancelled goes at once, and no article after the one in work is begun for it.

        Raises:
            WusumError: as :meth:`predict`.

        Example:
            >>> asyncio.run(tagger.apredict("..."))  # doctest: +SKIP
        """
        if isinstance(articles, str | Mapping | Article):
            return await self._in_a_thread(articles, evidence)
        return [await self._in_a_thread(article, evidence) for article in _several(articles)]

    async def _in_a_thread(self, given: TaggerInput, evidence: bool) -> Prediction:
        gate = self._gates.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._side_by_side))
        await gate.acquire()
        # The place is free when the article is done, also where nobody waits for it any more: a thread cannot be ended.
        work = asyncio.ensure_future(asyncio.to_thread(self._predict_one, given, evidence))
        work.add_done_callback(lambda _: gate.release())
        return await asyncio.shield(work)

    def _predict_one(self, given: TaggerInput, evidence: bool) -> Prediction:
        article, notes, page = _as_article(given)
        if not article.text.strip() and not (article.title or "").strip():
            return self._without_labels(article, [*notes, "empty text; no label given"], evidence)
        # Only what the model reads of both fields: junk that is cut off must not speak for the rest.
        read = end_of_reading(article.text, self.bundle.input.max_chars)
        doubt = language_note(f"{(article.title or '')[:MAX_TITLE_CHARS]}\n{article.text[:read]}")
        if doubt is not None:
            return self._without_labels(article, [*notes, doubt], evidence)
        features = self._featurise(article)
        if features.truncated:
            notes.append(f"read the first {read:,} characters")
        prediction = self._choose(article, self.bundle.scoring.probabilities(self._engine.logits(features)), notes)
        if not evidence:
            return prediction
        config = self.bundle.input
        if isinstance(given, str) and page is not None:
            return self._explain(prediction, page_passages(given, page, config), features)
        return self._explain(prediction, field_passages(article, config), features)

    def _explain(self, prediction: Prediction, passages: Sequence[Passage], plain: Features) -> Prediction:
        columns = {label: self.taxonomy.ids.index(label) for label in prediction.topics + prediction.actors}
        finder = EvidenceFinder(self._featurise, self._engine.logits, self.bundle.scoring)
        return replace(prediction, evidence=finder.find(passages, columns, plain.ids.size))

    def _choose(self, article: Article, probabilities: npt.NDArray[np.float64], notes: list[str]) -> Prediction:
        ids = self.taxonomy.ids
        by_label = dict(zip(ids, probabilities.tolist(), strict=True))
        given = self.bundle.scoring.decide(probabilities)
        chosen = [label for label, yes in zip(ids, given, strict=True) if yes]
        chosen.sort(key=lambda label: -by_label[label])
        topics, actors = self.taxonomy.split(chosen)
        scores = {label: round(value, 4) for label, value in by_label.items()}
        return Prediction(topics, actors, scores, tuple(notes), article.id)

    def _without_labels(self, article: Article, notes: list[str], evidence: bool) -> Prediction:
        scores = dict.fromkeys(self.taxonomy.ids, 0.0)
        return Prediction((), (), scores, tuple(notes), article.id, evidence={} if evidence else None)


def _several(given: Iterable[TaggerInput]) -> Iterator[TaggerInput]:
    try:
        if not isinstance(given, bytes | bytearray):
            return iter(given)
    except TypeError:
        pass
    expected = "expected a string, an Article or a mapping with 'text', or an iterable of these"
    raise WusumError(f"{expected}, got {type(given).__name__}")


def _as_article(given: TaggerInput) -> tuple[Article, list[str], CleanPage | None]:
    """Return the article, what is to be noted, and for a string what the cleaner found in it."""
    if isinstance(given, str):
        page = clean_page(given)
        notes = [f"dropped {page.dropped} of {page.total} lines as page furniture"] if page.dropped else []
        return Article(page.body, page.title), notes, page
    if isinstance(given, Article):
        return given, [], None
    if not isinstance(given, Mapping):
        raise WusumError(f"expected a string, an Article or a mapping with 'text', got {type(given).__name__}")
    for field, needed in (("text", True), ("title", False), ("id", False)):
        value = given.get(field)
        if not isinstance(value, str) and (needed or value is not None):
            raise WusumError(f"field {field!r}: expected a string, got {type(value).__name__}")
    return Article(given["text"], given.get("title"), given.get("id")), [], None


def _reopen(
    folder: Path, manifest_sha256: str, scoring: Scoring, threads: int | None, engine: EngineName, workers: int
) -> Tagger:
    """Build a pickled Tagger again; pickle calls it."""
    where = folder / MANIFEST
    if not where.is_file():
        told = "not found, but a Tagger was pickled that reads this bundle; expected it in the same place"
        raise WusumError(f"{where}: {told}; copy it there, or use Tagger.load with the folder it is in now")
    if file_sha256(where) != manifest_sha256:
        told = "changed since the Tagger was pickled, expected the same bundle"
        raise WusumError(f"{where}: {told}; pickle the Tagger again, or use Tagger.load")
    return Tagger(replace(open_bundle(folder), scoring=scoring), threads, engine, workers)


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
