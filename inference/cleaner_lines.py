"""What one line of a page looks like: prose, a short line, a pointer to another story, the head of a box, furniture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from importlib import resources

import yaml

from .cleaner_cohesion import CAP, is_linked, stems, tokens

FURNITURE_WORDS, PROSE_WORDS, LINKED_WORDS = 40, 18, 8
"""Longest line looked up as furniture; shortest that is prose without a full stop; the same if it opens with "and"."""

_CAPTION_WORDS = 12
_CREDIT = re.compile(r"\([^()]{2,20}\)\W*$")
_STOPPED_FURNITURE, _BOX_WORDS_MORE = 10, 2
_SEPARATORS = re.compile(r"[|>»›←•/\\]")
_ADDRESS = re.compile(r"https?:|www\.|\S@\S|\.com\b")
_LETTER = re.compile(r"[^\W\d_]")
_STOPS = (".", "!", "؟", "?")
_INITIALS = re.compile(r"(?:^|\s)[^\W\d_]\.\s*[^\W\d_]\.$")
_ODD_END = re.compile(r"[^\w.!؟?…]+$")


class Kind(Enum):
    """What a line looks like by itself."""

    PROSE = "prose"
    SHORT = "short"
    POINTER = "pointer"
    BOX = "box"
    FURNITURE = "furniture"


@dataclass(frozen=True)
class Line:
    """A line of a page that holds something, and what can be told of it alone.

    Attributes:
        number: its place among all lines of the page.
        text: the line without white space at its ends.
        key: its folded words, joined by single spaces, up to the cap.
        kind: what it looks like.
        words: how many words it has.
        linked: whether it opens with a word that ties it to the line before.
        stopped: whether it ends like a sentence.
    """

    number: int
    text: str
    key: str
    kind: Kind
    words: int
    linked: bool
    stopped: bool

    @cached_property
    def stems(self) -> frozenset[str]:
        """The line's distinct stems."""
        return stems(self.key.split())


def is_caption(line: Line) -> bool:
    """Return whether a line is short, ends with a credit in brackets, and goes on with nothing."""
    return line.words <= _CAPTION_WORDS and not line.linked and _CREDIT.search(line.text) is not None


class _Phrases:
    """Phrases by their first word, so that a line is compared only with those that it could hold."""

    def __init__(self, raw: str) -> None:
        """Read one phrase a line."""
        self._by_first: dict[str, list[list[str]]] = {}
        for line in raw.splitlines():
            words = tokens(line)
            self._by_first.setdefault(words[0], []).append(words)

    def longest_at(self, found: list[str], place: int) -> int:
        """Return how many words the longest phrase has that stands at a place among the words; 0 for none."""
        phrases = self._by_first.get(found[place], ())
        return max((len(words) for words in phrases if found[place : place + len(words)] == words), default=0)


@dataclass(frozen=True)
class _Lexicon:
    box: _Phrases
    pointer: _Phrases
    opening: _Phrases
    within: _Phrases
    credit: _Phrases
    menu: frozenset[str]
    date: frozenset[str]


@cache
def _lexicon() -> _Lexicon:
    raw = yaml.safe_load((resources.files(__package__) / "furniture.yaml").read_text("utf-8"))
    phrases = {name: _Phrases(raw[name]) for name in ("box", "pointer", "opening", "within", "credit")}
    return _Lexicon(**phrases, menu=frozenset(tokens(raw["menu"])), date=frozenset(tokens(raw["date"])))


def read_line(number: int, raw: str, foreign: bool) -> Line | None:
    """Return the line, or None when it holds no letter or digit.

    Args:
        number: its place among all lines of the page.
        raw: the line.
        foreign: whether lines without an Arabic letter stand out on this page.
    """
    text = raw.strip().strip("\u200f\u200e\ufeff\x00").strip()
    found = tokens(text[:CAP])
    if not found:
        return None
    key = " ".join(found)
    words = len(found) if len(text) <= CAP else len(found) * len(text) // CAP
    linked = is_linked(text)
    stopped = _is_stopped(text)
    kind = _kind(text, key, found, words, linked, stopped, foreign)
    return Line(number, text, key, kind, words, linked, stopped)


def _is_stopped(text: str) -> bool:
    """Return whether a line ends like a sentence, perhaps with an agency in brackets behind it."""
    tail = _ODD_END.sub("", text[-60:])
    if text[-60:].rstrip(" .").endswith(")"):
        opened = tail.rfind("(")
        if opened < 0:
            return True
        tail = _ODD_END.sub("", tail[:opened]) if len(tail[opened:].split()) <= 5 else tail
    if _INITIALS.search(tail):
        return False
    return tail.endswith(_STOPS) and not tail.endswith(("...", "…"))


def _kind(text: str, key: str, found: list[str], words: int, linked: bool, stopped: bool, foreign: bool) -> Kind:
    if words <= FURNITURE_WORDS:
        special = _listed(text, found, stopped)
        if special is not None:
            return special
        if foreign and words <= 12 and not any("\u0600" <= letter <= "\u06ff" for letter in key):
            return Kind.FURNITURE
    if words >= PROSE_WORDS or (words >= LINKED_WORDS and linked):
        return Kind.PROSE
    if stopped and words >= 4 and not _ODD_END.sub("", text[-60:]).endswith(("!", "؟", "?")):
        return Kind.PROSE
    return Kind.SHORT


def _listed(text: str, found: list[str], stopped: bool) -> Kind | None:
    lexicon = _lexicon()
    words = len(found)
    boxed = lexicon.box.longest_at(found, 0)
    if boxed and words <= boxed + _BOX_WORDS_MORE:
        return Kind.BOX if words < 4 or not stopped else None
    loose = not stopped or words <= _STOPPED_FURNITURE
    if loose and lexicon.pointer.longest_at(found, 0):
        return Kind.POINTER
    if loose and lexicon.opening.longest_at(found, 0):
        return Kind.FURNITURE
    if any(lexicon.within.longest_at(found, place) for place in range(words)):
        return Kind.FURNITURE
    return Kind.FURNITURE if _looks_like_furniture(text, found, stopped) else None


def _looks_like_furniture(text: str, found: list[str], stopped: bool) -> bool:
    words = len(found)
    if words <= 8 and ("°" in text or _ADDRESS.search(text)):
        return True
    if text.startswith("#") and all(part.startswith("#") for part in text.split()):
        return True
    if not stopped and words <= 10 and _lexicon().credit.longest_at(found, 0):
        return True
    if not stopped and words <= 16 and len(_SEPARATORS.findall(text)) >= 2:
        return True
    return words <= 16 and _is_menu(found, stopped)


def _is_menu(found: list[str], stopped: bool) -> bool:
    lexicon = _lexicon()
    numbers = sum(not _LETTER.search(word) for word in found)
    known = numbers + sum(word in lexicon.menu or word in lexicon.date for word in found)
    if known == len(found):
        return not stopped or numbers > 0
    return not stopped and known >= 3 and known >= 0.75 * len(found)
