"""What the throughput benchmark reads: pages, the same articles as clean text, and the encoder's arithmetic."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..inference.article import Article
from ..inference.bundle import Bundle
from ..inference.cleaner import clean_page
from ..inference.features import MAX_TITLE_CHARS, Features, Featuriser, read_tokenizer
from ..inference.language import language_note
from ..labels.errors import WusumError
from .progress import watched
from .scaling_benchmark import read_articles

TOKENS = 512  # of an article, at most, special tokens included
_MEDIAN, _NINTH_TENTH = 300, 700  # tokens of made-up articles before they are cut to TOKENS
_NORMAL_NINTH_TENTH = 1.2816
_ABOVE = "الرئيسية\nسياسة\nاقتصاد\nرياضة\nتسجيل الدخول"
_BELOW = "شارك الخبر\nاقرأ أيضا\nالأكثر قراءة\nجميع الحقوق محفوظة"
_WORD = re.compile(r"\S+")
_SENTENCES = 3  # in a paragraph of a made-up article


@dataclass(frozen=True)
class Page:
    """An article twice: as a page that is still to be cleaned, and as what the cleaner makes of it.

    Attributes:
        page: plain text with furniture.
        article: title and body; of its tokens every side reads all.
    """

    page: str
    article: Article

    @property
    def text(self) -> str:
        """The clean article as one string."""
        return f"{self.article.title}\n{self.article.text}" if self.article.title else self.article.text


class Counter:
    """Counts the tokens of articles by a bundle's tokenizer, in one window.

    Example:
        >>> Counter(bundle).count(Article("قالت موسكو ..."))  # doctest: +SKIP
        14
    """

    def __init__(self, bundle: Bundle) -> None:
        """Take the bundle whose tokenizer and limits count."""
        whole = replace(bundle.input, max_chars=10**9, window=10**9, max_windows=1)
        self._featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), whole, bundle.tokens)
        self._most_chars = bundle.input.max_chars

    def count(self, article: Article) -> int:
        """Return the tokens of an article, special ones included."""
        return int(self._featurise(article).mask.sum())

    def cut(self, text: str, tokens: int) -> str:
        """Return as many words of a text as have ``tokens`` tokens at most and are read in whole by the bundle."""
        ends = [word.end() for word in _WORD.finditer(text) if word.end() <= self._most_chars]
        fitting = bisect.bisect_right(ends, tokens, key=lambda end: self.count(Article(text[:end])))
        return text[: ends[fitting - 1]] if fitting else ""

    def fits(self, article: Article) -> bool:
        """Tell whether nobody has to leave out a part of the article."""
        whole = len(article.text) <= self._most_chars and len(article.title or "") <= MAX_TITLE_CHARS
        return whole and self.count(article) <= TOKENS


def make_pages(path: Path | None, count: int, bundle: Bundle) -> list[Page]:
    """Return pages of so many articles, cut so that bundle and pipeline read the same text: 512 tokens at most.

    Left out are articles of which the cleaner leaves nothing, or no Arabic text: no engine would read them. Made-up
    articles have 300 tokens in the median and one in ten over 700, before they are cut (log-normal).

    Args:
        path: a table that ``wusum tag`` reads; None for made-up articles.
        count: how many.
        bundle: whose tokenizer counts.

    Raises:
        WusumError: the table holds fewer.

    Example:
        >>> len(make_pages(None, 20, open_bundle(embedded_bundle())))  # doctest: +SKIP
        20
    """
    counter = Counter(bundle)
    rows: Iterable[tuple[str, str, int]]
    if path is None:
        rows = _made_up(count)
    else:
        rows = ((row["title"] or "", row["text"], TOKENS) for row in read_articles(path, count))
    found = (_page(title, text, tokens, counter) for title, text, tokens in watched(rows, count, "making pages"))
    return [page for page in found if page is not None]


def _made_up(count: int) -> Iterable[tuple[str, str, int]]:
    texts = [row["text"] for row in read_articles(None, 3 * count)]
    spread = np.log(_NINTH_TENTH / _MEDIAN) / _NORMAL_NINTH_TENTH
    lengths = np.random.default_rng(0).lognormal(np.log(_MEDIAN), spread, count)
    for number, length in enumerate(lengths):
        sentences = [one.strip() for text in texts[3 * number : 3 * number + 3] for one in text.split(". ")]
        starts = range(0, len(sentences), _SENTENCES)
        body = "\n".join(". ".join(sentences[start : start + _SENTENCES]) + "." for start in starts)
        yield "", body, min(TOKENS, max(16, round(length)))


def _page(title: str, text: str, tokens: int, counter: Counter) -> Page | None:
    head = f"{title}\n" if title else ""
    for most in range(tokens, 0, -8):  # the headline has tokens too
        page = f"{_ABOVE}\n{head}{counter.cut(text, most)}\n{_BELOW}\n"
        found = clean_page(page)
        article = Article(found.body, found.title)
        if counter.fits(article):
            readable = article.text and language_note(f"{article.title or ''}\n{article.text}") is None
            return Page(page, article) if readable else None
    return None


def write_lines(path: Path, texts: Sequence[str]) -> Path:
    """Write texts as JSON lines with ids; return the path."""
    rows = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def spread_out(lengths: Sequence[int], count: int) -> list[int]:
    """Return the places of ``count`` articles whose lengths are spread as those of all, in the order they stand in.

    Example:
        >>> spread_out([50, 10, 40, 20, 30, 60], 3)
        [2, 3, 5]
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    count = min(count, len(order))
    middles = (np.arange(count) * 2 + 1) * len(order) // (2 * count)
    return sorted(order[middles].tolist())


@dataclass(frozen=True)
class EncoderShape:
    """What an encoder multiplies: the weights of its layers, all together, and how many layers of what width."""

    layers: int
    width: int
    weights: int

    def operations(self, features: Features) -> float:
        """Return the operations on one article, padding left out.

        Twice the weights a token, and in each layer 4 for each unit of width and pair of tokens of a window: the scores
        of attention and the sums by them (Kaplan et al. 2020, table 1, forward pass). Embeddings and head are left out.

        Example:
            >>> one = Features(np.zeros((1, 3), np.int64), np.ones((1, 3), np.int64), False)
            >>> EncoderShape(1, 2, 48).operations(one)
            360.0
        """
        lengths = features.mask.sum(1).astype(np.float64)
        return float(2 * self.weights * lengths.sum() + 4 * self.layers * self.width * (lengths**2).sum())


def read_shape(path: Path) -> EncoderShape:
    """Read the shape of an encoder from a bundle's ONNX model, in fp32 or in 8 bits.

    Six matrices make a layer, four of attention and two behind it, and both sides of each are multiples of the width.

    Raises:
        WusumError: the model is not of this form.

    Example:
        >>> read_shape(embedded_bundle() / "model.onnx").layers  # doctest: +SKIP
        6
    """
    import onnx

    constants = [(one.name, list(one.dims)) for one in onnx.load(path).graph.initializer if len(one.dims) == 2]
    widths = {dims[1] for name, dims in constants if "word_embeddings" in name}
    if len(widths) != 1:
        raise WusumError(f"{path}: {len(widths)} tables of word embeddings, expected one; take a bundle of this wusum")
    [width] = widths
    matrices = [dims for name, dims in constants if "embeddings" not in name and not any(side % width for side in dims)]
    if not matrices or len(matrices) % 6:
        raise WusumError(f"{path}: {len(matrices)} matrices of layers, expected six a layer; take a BERT-like bundle")
    return EncoderShape(len(matrices) // 6, width, sum(rows * columns for rows, columns in matrices))
