"""Which sentences of an article carry a label.

Each sentence is read alone, as an article of its own. For a label the sentence with its highest score is evidence, and
up to two more are where they get the label alone as well.

Why so: every engine and every head allows it, since nothing but scores is needed, and all sentences together hold
about as many tokens as the article. On 40 dev articles of four sentences or more, with the embedded model, they cost
1.08 times the tokens of the plain prediction that comes first, and the same processor time; a call on one sentence is
short, which makes up for there being many. To leave each sentence out in turn (Li et al. 2016, Understanding Neural
Networks through Representation Erasure) costs as many predictions as there are sentences. It was better by a little
for one sentence (removing it lowered the log-odds by 2.4, ours by 2.1) and much worse for three (3.3 against 5.1): news
says things twice, and what is said twice can be left out once. The headline before each sentence (tried on 18 labels)
cost a quarter more tokens and lowered the drop; a further pass without the evidence, to tell which labels need more of
it, changed no choice.
``training/evidence_benchmark.py`` measures how faithful the evidence is, and what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .article import Article
from .canonical import end_of_reading
from .cleaner import CleanPage
from .features import MAX_TITLE_CHARS, Features, Featuriser, InputConfig
from .prediction import Evidence, Field
from .scoring import Scoring
from .sentences import MAX_CHARS, split_sentences

MAX_SENTENCES = 3
MIN_CHARS = 60  # a shorter sentence goes with its neighbour: alone it says little, and costs a call
EXTRA_COST = 2.0  # of the plain prediction's tokens; more is never spent


@dataclass(frozen=True)
class Passage:
    """A stretch of what was handed in that the article holds unchanged.

    Attributes:
        field: the field it stands in.
        original: the whole string of that field.
        start: its first character.
        end: the place behind its last one.
        read: the place behind the last one that the model reads.
        headline: whether it is the article's headline.
    """

    field: Field
    original: str
    start: int
    end: int
    read: int
    headline: bool


@dataclass(frozen=True)
class Sentence:
    """A sentence, or some short ones in a row: ``passage.original[start:end]``."""

    passage: Passage
    start: int
    end: int

    @property
    def text(self) -> str:
        """The whole sentence."""
        return self.passage.original[self.start : self.end]

    @property
    def read_text(self) -> str:
        """As much of it as the model reads."""
        return self.passage.original[self.start : min(self.end, self.passage.read)]


def field_passages(article: Article, config: InputConfig) -> list[Passage]:
    """Return the headline and the text of a clean article, as far as there are such.

    Example:
        >>> [one.field for one in field_passages(Article("نص", "عنوان"), InputConfig("plain-1"))]
        ['title', 'text']
    """
    fields: list[tuple[Field, str, int]] = [("text", article.text, config.max_chars)]
    if article.title:
        fields.insert(0, ("title", article.title, MAX_TITLE_CHARS))
    return [
        Passage(name, text, 0, len(text), end_of_reading(text, most), name == "title") for name, text, most in fields
    ]


def page_passages(page: str, clean: CleanPage, config: InputConfig) -> list[Passage]:
    r"""Return the headline and the lines of the body that the model reads, as they stand in the page.

    Example:
        >>> from .cleaner import clean_page
        >>> page = "الرئيسية\nمطر في الوادي\r\n هطل المطر أمس على الوادي كله.\nشارك الخبر"
        >>> [page[one.start : one.end] for one in page_passages(page, clean_page(page), InputConfig("plain-1"))]
        ['مطر في الوادي', 'هطل المطر أمس على الوادي كله.']
    """
    found = []
    if clean.title_span is not None:
        start, end = clean.title_span
        read = start + end_of_reading(page[start:end], MAX_TITLE_CHARS)
        found.append(Passage("text", page, start, end, read, True))
    left = end_of_reading(clean.body, config.max_chars)
    for start, end in clean.line_spans:
        if left <= 0:
            break
        found.append(Passage("text", page, start, end, min(end, start + left), False))
        left -= end - start + 1  # the line break between two lines of the body counts
    return found


def read_sentences(passages: Iterable[Passage]) -> list[Sentence]:
    """Return the sentences of which the model reads anything, short ones put together with their neighbours.

    Example:
        >>> text = "وأكد ذلك. ثم عاد الوفد مساء الخميس إلى العاصمة بعد زيارة دامت ثلاثة أيام. انتهى."
        >>> [one.text == text for one in read_sentences(field_passages(Article(text), InputConfig("plain-1")))]
        [True]
    """
    found: list[Sentence] = []
    for sentence in _split(passages):
        if found and _is_short(found[-1]) and _adjoin(found[-1], sentence):
            found[-1] = replace(sentence, start=found[-1].start)
        else:
            _settle(found)
            found.append(sentence)
    _settle(found)
    return found


def _split(passages: Iterable[Passage]) -> Iterator[Sentence]:
    for passage in passages:
        # What begins before the last character read is no longer than a sentence; to see where to cut takes another.
        near = passage.original[passage.start : min(passage.end, passage.read + 2 * MAX_CHARS)]
        for start, end in split_sentences(near):
            if passage.start + start >= passage.read:
                break
            yield Sentence(passage, passage.start + start, passage.start + end)


def _is_short(sentence: Sentence) -> bool:
    return sentence.end - sentence.start < MIN_CHARS


def _adjoin(one: Sentence, following: Sentence) -> bool:
    """Return whether nothing but white space stands between two sentences, and they are not too long together."""
    same = one.passage.field == following.passage.field and one.passage.headline == following.passage.headline
    if not same or following.end - one.start > MAX_CHARS:
        return False
    return not one.passage.original[one.end : following.start].strip()


def _settle(found: list[Sentence]) -> None:
    """Put a last sentence that stayed short together with the one before it."""
    if len(found) > 1 and _is_short(found[-1]) and _adjoin(found[-2], found[-1]):
        last = found.pop()
        found[-1] = replace(last, start=found[-1].start)


class EvidenceFinder:
    """Finds the sentences that carry the labels of an article.

    Example:
        >>> finder = EvidenceFinder(featuriser, engine.logits, bundle.scoring)  # doctest: +SKIP
        >>> finder.find(field_passages(article, config), {"russia": 21}, tokens=600)["russia"][0].text  # doctest: +SKIP
        'قالت موسكو إنها مستعدة للحوار.'
    """

    def __init__(
        self, featurise: Featuriser, logits: Callable[[Features], npt.NDArray[np.float32]], scoring: Scoring
    ) -> None:
        """Take what a plain prediction is made of."""
        self._featurise = featurise
        self._logits = logits
        self._scoring = scoring
        self._frame = int(featurise(Article("")).ids.size)

    def find(
        self, passages: Iterable[Passage], labels: Mapping[str, int], tokens: int
    ) -> dict[str, tuple[Evidence, ...]]:
        """Return one to three sentences for each label, the strongest first.

        A label has none only where the article holds no sentence, for instance nothing but white space.

        Args:
            passages: what the article holds, in the order in which it is read.
            labels: the labels that the article was given, and their columns among the scores.
            tokens: tokens of the plain prediction; at most ``EXTRA_COST`` times as many are spent. In a text of
                countless tiny sentences that may leave the last ones unread.
        """
        sentences = read_sentences(passages) if labels else []
        read = list(self._scores(sentences, EXTRA_COST * tokens))
        if not read:
            return dict.fromkeys(labels, ())
        alone = np.stack([scores for _, scores in read])
        given = self._scoring.decide(alone)
        return {
            label: tuple(
                _evidence(read[row][0], float(alone[row, column]))
                for rank, row in enumerate(np.argsort(-alone[:, column], kind="stable")[:MAX_SENTENCES].tolist())
                if rank == 0 or given[row, column]
            )
            for label, column in labels.items()
        }

    def _scores(
        self, sentences: Sequence[Sentence], budget: float
    ) -> Iterator[tuple[Sentence, npt.NDArray[np.float64]]]:
        """Yield each sentence that the model read, as far as the budget goes, and the labels' probabilities for it."""
        features = [self._featurise(Article(sentence.read_text)) for sentence in sentences]
        lengths = [int(one.mask.sum()) - self._frame for one in features]
        for sentence, one, seen in zip(sentences, features, _are_seen(lengths, self._featurise.config), strict=True):
            budget -= one.ids.size if seen else 0
            if budget < 0:
                return
            if seen:
                yield sentence, self._scoring.probabilities(self._logits(one))


def _are_seen(lengths: Sequence[int], config: InputConfig) -> list[bool]:
    """Return for each sentence of so many tokens whether the windows hold its first one, or with a tail its last."""
    limit = (config.window - 2) * config.max_windows
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    head = math.ceil(limit / 2) if config.view == "head_tail" and total > limit else limit
    tail = total - (limit - head) if head < limit else total
    return [bool(end - length < head or end > tail) for end, length in zip(ends, lengths, strict=True)]


def _evidence(sentence: Sentence, probability: float) -> Evidence:
    return Evidence(sentence.passage.field, sentence.start, sentence.end, sentence.text, round(probability, 4))
