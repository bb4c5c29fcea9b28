"""Whether a paragraph belongs to a story: stems it shares with the story, weighed by how common they are.

The table ``cohesion.json`` (stems that many articles share, words that open with "and" or seem to, and the weights of a
logistic regression) is written by ``python -m wusum.training.page_cohesion``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources
from typing import Any

CAP = 700
"""Characters of a line that are read for its words: enough to tell its story, and a bound on the work per line."""

_LONGEST_WORD = 32
_TOKEN = re.compile(r"[^\W_\u064B-\u065F\u0670][^\W_]*(?:[\u064B-\u065F\u0670]+[^\W_]*)*")
_ODD_START = re.compile(r"^[\W_]+")
_FOLD = str.maketrans(
    {
        **dict.fromkeys("أإآٱ", "ا"),
        "ة": "ه",
        "ى": "ي",
        "ؤ": "و",
        "ئ": "ي",
        "ـ": None,
        **{chr(code): None for code in (*range(0x64B, 0x660), 0x670)},
    }
)
_PREFIXES = ("وبال", "وال", "فال", "بال", "كال", "ولل", "ال", "لل")
_SUFFIXES = ("هما", "كما", "ات", "ون", "ين", "ان", "ها", "هم", "يه", "تين", "وا", "ه", "ي", "ا")
_AND, _SO, _SO_THE = "و", "ف", "فال"
_OPENING = 40  # characters that hold a line's first word
_LINKS = (
    "كما ",
    "ثم ",
    "بينما ",
    "أما ",
    "لكن ",
    "إلا أن",
    "غير أن",
    "بيد أن",
    "أضاف",
    "تابع ",
    "أردف",
    "يذكر",
    "يشار",
    "تجدر",
    "كذلك",
    "بدور",
    "من جه",
    "من جان",
    "من ناحي",
    "بالمقابل",
    "في المقابل",
    "في السياق",
    "في غضون",
    "في حين",
    "في هذا ",
    "فيما ",
    "في الأثناء",
    "بالتزامن",
    "بالتوازي",
    "إلى ذلك",
    "على صعيد",
    "على الصعيد",
    "لذلك",
    "بذلك",
)


@lru_cache(maxsize=1 << 16)
def _fold(token: str) -> str:
    return token.translate(_FOLD).lower()


def tokens(text: str) -> list[str]:
    """Return the words and numbers of a text in one spelling: no vowel marks, one alef, lower case.

    Example:
        >>> tokens("أخبارٌ: 24")
        ['اخبار', '24']
    """
    found = _TOKEN.findall(text)
    # What is no word is not remembered: countless long ones would fill the memory.
    long = max(map(len, found), default=0) > _LONGEST_WORD
    return list(map(_fold.__wrapped__ if long else _fold, found))


@lru_cache(maxsize=1 << 16)
def _stem(token: str) -> str:
    if len(token) < 2 or token.isdecimal():
        return ""
    for prefix in _PREFIXES:
        if token.startswith(prefix) and len(token) - len(prefix) >= 3:
            token = token[len(prefix) :]
            break
    else:
        if len(token) >= 5 and token[0] in "وفبلك":
            token = token[1:]
    for suffix in _SUFFIXES:
        if token.endswith(suffix) and len(token) - len(suffix) >= 3:
            return token[: -len(suffix)]
    return token


def stems(words: Iterable[str]) -> frozenset[str]:
    """Return the distinct stems of folded words, without numbers and single letters.

    Example:
        >>> sorted(stems(["الوزير", "ووزيرها", "7"]))
        ['وزير']
    """
    return frozenset(map(_stem, {word for word in words if len(word) <= _LONGEST_WORD})) - {""}


@cache
def _raw() -> dict[str, list[Any]]:
    raw: dict[str, list[Any]] = json.loads((resources.files(__package__) / "cohesion.json").read_text("utf-8"))
    return raw


@cache
def _table() -> tuple[frozenset[str], frozenset[str], tuple[float, ...]]:
    raw = _raw()
    return frozenset(raw["everywhere"]), frozenset(raw["common"]), tuple(raw["weights"])


@cache
def _first_letters() -> tuple[frozenset[str], frozenset[str]]:
    raw = _raw()
    return frozenset(raw["own_waw"]), frozenset(raw["so"])


def telling(words: frozenset[str]) -> frozenset[str]:
    """Return the stems without those that most articles hold."""
    return words - _table()[0]


def is_linked(line: str) -> bool:
    """Return whether a line opens with a word that ties it to the line before (and, then, meanwhile).

    Most words that open with a waw are written together with "and", but not all; with a fa only few are, with "so".

    Example:
        >>> [is_linked(line) for line in ("وقال الوزير", "وزير المالية", "فقد نفى", "في الوادي")]
        [True, False, True, False]
    """
    opening = _ODD_START.sub("", line[:_OPENING])
    if opening.startswith(_LINKS):
        return True
    first = _TOKEN.search(opening)
    word = _fold(first.group()) if first else ""
    own_waw, so = _first_letters()
    return word not in own_waw if word.startswith(_AND) else word.startswith(_SO_THE) or word in so


def features(words: frozenset[str], linked: bool, shared: frozenset[str], size: int) -> list[float]:
    """Return what the regression reads of a paragraph.

    Args:
        words: the paragraph's stems.
        linked: whether it opens with a linking word.
        shared: those of its stems that the story holds elsewhere.
        size: how many stems the story holds.
    """
    everywhere, common, _ = _table()
    return _features(words - everywhere, linked, shared - everywhere, size, common)


def _features(
    words: frozenset[str], linked: bool, shared: frozenset[str], size: int, common: frozenset[str]
) -> list[float]:
    middling, shared_middling = len(words & common), len(shared & common)
    counts = (len(shared) - shared_middling, len(words) - middling, shared_middling, middling, size)
    return [*map(math.log1p, counts), float(linked), 1.0]


class Story:
    """The words of a story, as counts of the lines that hold them, so that a line can be judged by the other lines.

    Example:
        >>> story = Story([frozenset({"وزير", "بارجه"}), frozenset({"بارجه"})])
        >>> story.log_odds(frozenset({"بارجه"}), linked=True, member=True) > story.log_odds(
        ...     frozenset({"طماطم"}), linked=True, member=False)
        True
    """

    def __init__(self, lines: Iterable[frozenset[str]]) -> None:
        """Count the stems of the story's lines."""
        self._counts: Counter[str] = Counter()
        for line in lines:
            self._counts.update(line)

    def shared(self, words: frozenset[str]) -> frozenset[str]:
        """Return those of the stems that tell something and stand in the story too."""
        return telling(words) & self._counts.keys()

    def log_odds(self, words: frozenset[str], *, linked: bool, member: bool) -> float:
        """Return the log odds that a line of these stems belongs to the story.

        ``member`` says that the line is among those the story was made of: its own words then do not count as shared.
        """
        everywhere, common, weights = _table()
        own = 1 if member else 0
        counts = self._counts
        words = words - everywhere
        shared = frozenset(word for word in words if counts[word] > own)
        found = _features(words, linked, shared, len(counts), common)
        return sum(weight * value for weight, value in zip(weights, found, strict=True))
