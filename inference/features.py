"""From an article to the encoder's input: normalise, tokenise, cut into windows. Training and serving share it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ..labels.errors import WusumError
from .article import Article
from .canonical import end_of_reading
from .normalise import get_recipe

MAX_TITLE_CHARS = 300  # a headline; anything longer is a body in the wrong field and is cut like one


@dataclass(frozen=True)
class InputConfig:
    """How text becomes token windows; stored in the bundle.

    Attributes:
        recipe: id of the normalisation recipe.
        prefix: text put before every article, as the encoder's own training did.
        max_chars: characters of the body that are read (the labels describe no more), marks and tatweel not counted.
        window: tokens per window, special tokens included.
        max_windows: windows per article; tokens beyond them are not read.
        view: which tokens are read where they do not all fit: the first ones, or the first and the last half each.
    """

    recipe: str
    prefix: str = ""
    max_chars: int = 2400
    window: int = 256
    max_windows: int = 6
    view: Literal["head", "head_tail"] = "head"

    def __post_init__(self) -> None:
        """Refuse sizes that leave nothing to read."""
        for name, value, least in (
            ("max_chars", self.max_chars, 1),
            ("window", self.window, 8),
            ("max_windows", self.max_windows, 1),
        ):
            if value < least:
                raise WusumError(f"input.{name}: {value} is too small, expected at least {least}")
        if self.view not in ("head", "head_tail"):
            raise WusumError(f"input.view: {self.view!r}, expected head or head_tail")


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a bundle's tokenizer.

    Raises:
        WusumError: the file holds none.

    Example:
        >>> read_tokenizer(bundle.tokenizer_path)  # doctest: +SKIP
    """
    try:
        return Tokenizer.from_file(str(path))
    except Exception as fault:  # tokenizers raises nothing more special
        raise WusumError(f"{path}: no tokenizer ({fault}); copy or train the bundle again") from fault


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids that frame a window."""

    start: int
    end: int
    pad: int


@dataclass(frozen=True)
class Features:
    """One article as the encoder reads it: ``ids`` and ``mask`` of shape (windows, tokens), int64."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]
    truncated: bool


def split_evenly(count: int, parts: int) -> list[slice]:
    """Cut ``count`` items into ``parts`` runs whose lengths differ by one at most.

    Example:
        >>> split_evenly(5, 2)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    bounds = [math.ceil(count * part / parts) for part in range(parts + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(bounds)]


class Featuriser:
    """Turns articles into token windows.

    An article that does not fit one window is cut into equal ones, which need no padding, instead of a full one and a
    remainder.

    Example:
        >>> featuriser = Featuriser(tokenizer, InputConfig("e5-ar-1"), SpecialTokens(0, 2, 1))  # doctest: +SKIP
        >>> featuriser(Article("قالت موسكو ...")).ids.shape  # doctest: +SKIP
        (1, 14)
    """

    def __init__(self, tokenizer: Tokenizer, config: InputConfig, special: SpecialTokens) -> None:
        """Take a tokenizer (its own padding and truncation are switched off) and the configuration."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._normalise = get_recipe(config.recipe).apply
        self._special = special
        self.config = config

    def __call__(self, article: Article) -> Features:
        """Return the windows of one article."""
        text, cut = self._view(article)
        encoding = self._tokenizer.encode(self.config.prefix + self._normalise(text), add_special_tokens=False)
        return self._windows(encoding.ids, cut)

    def _view(self, article: Article) -> tuple[str, bool]:
        body = article.text[: end_of_reading(article.text, self.config.max_chars)]
        cut = len(article.text) > len(body)
        if not article.title:
            return body, cut
        return f"{article.title[: end_of_reading(article.title, MAX_TITLE_CHARS)]}\n{body}", cut

    def _windows(self, ids: list[int], cut: bool) -> Features:
        room = self.config.window - 2
        limit = room * self.config.max_windows
        read = ids[:limit]
        if self.config.view == "head_tail" and len(ids) > limit:
            head = math.ceil(limit / 2)
            read = ids[:head] + ids[len(ids) - (limit - head) :]
        runs = split_evenly(len(read), max(1, math.ceil(len(read) / room)))
        width = max(run.stop - run.start for run in runs) + 2
        grid = np.full((len(runs), width), self._special.pad, dtype=np.int64)
        mask = np.zeros((len(runs), width), dtype=np.int64)
        for row, run in enumerate(runs):
            tokens = [self._special.start, *read[run], self._special.end]
            grid[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return Features(grid, mask, cut or len(ids) > limit)
