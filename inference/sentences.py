"""Splits Arabic news text into sentences whose offsets are exact."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

MAX_CHARS = 500  # a longer sentence is cut: a reader wants to see the place, not the page
_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")  # what str.splitlines takes for a line's text
_STOPS = re.compile(r"[.!?؟؛۔…]+")
_CLOSERS = re.compile(r"""(?:[»›”’)\]}]|["'](?!\w))+""")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"\w")
_SPACE = re.compile(r"\s")
_LATIN_OR_DIGIT = re.compile(r"[A-Za-z\d]")


def split_sentences(text: str) -> Iterator[Span]:
    r"""Yield the start and end of each sentence, one after the other, in time linear in the text read so far.

    A sentence ends at a line's end and behind ``. ! ? ؟ ؛`` with the quotes and brackets that close there, whether a
    space follows or not (many archives glue ``.و``) or stands before (``قال ذلك .وأكد``). No end are: a full stop
    inside a number, a Latin name or address (3.5, example.org), behind a single letter (``د. سمير``, ``أ.ف.ب``) or
    before any letter (``1. قال``); a mark alone in brackets (``(!)``); dots that stand for an omission, which touch
    no word before them or touch one behind them. What is longer than ``MAX_CHARS`` is cut behind its last ``،``, or
    else at a space, in the second half of what is allowed. Every character that is no white space lies in exactly one
    sentence, no sentence begins or ends with white space, and none is longer than ``MAX_CHARS``.

    Example:
        >>> text = "بلغ النمو 3.5 بالمئة.وأكد د. سمير ذلك، وغادر .ثم عاد"
        >>> [text[start:end] for start, end in split_sentences(text)]
        ['بلغ النمو 3.5 بالمئة.', 'وأكد د. سمير ذلك، وغادر .', 'ثم عاد']
    """
    for line in _LINE.finditer(text):
        held: Span | None = None
        for start, end in _split_line(text, *line.span()):
            if held is None:
                held = start, end
            elif end - held[0] <= MAX_CHARS and not _WORD.search(text, start, end):
                held = held[0], end  # a quote or a row of stars behind a sentence is no sentence
            else:
                yield held
                held = start, end
        if held is not None:
            yield held


def _split_line(text: str, low: int, high: int) -> Iterator[Span]:
    """Yield the pieces of a line between its stops, cut to length and without white space at their ends."""
    start, letter = low, _first_letter(text, low, high)
    for stops in _STOPS.finditer(text, low, high):
        if stops.start() <= letter or not _ends_sentence(text, stops, high):
            continue
        closers = _CLOSERS.match(text, stops.end(), high)
        end = closers.end() if closers else stops.end()
        yield from _cut(text, start, end)
        start, letter = end, _first_letter(text, end, high)
    yield from _cut(text, start, high)


def _first_letter(text: str, low: int, high: int) -> int:
    found = _LETTER.search(text, low, high)
    return found.start() if found else high


def _ends_sentence(text: str, stops: re.Match[str], high: int) -> bool:
    start, end = stops.span()
    mark, before, after = stops[0], text[start - 1], text[end : min(end + 1, high)]
    if before in "([{" and after in (")", "]", "}"):
        return False
    if mark[0] == "…" or mark.startswith(".."):
        return not before.isspace() and not _WORD.match(after)
    if mark != ".":
        return True
    if _LATIN_OR_DIGIT.match(before) and _LATIN_OR_DIGIT.match(after):
        return False
    return not _LETTER.match(before) or bool(_WORD.match(text[start - 2 : start - 1]))


def _cut(text: str, low: int, high: int) -> Iterator[Span]:
    """Yield what lies between two places, without white space at the ends, in pieces of ``MAX_CHARS`` at most."""
    while True:
        while low < high and text[low].isspace():
            low += 1
        while low < high and text[high - 1].isspace():
            high -= 1
        if low == high:
            return
        if high - low <= MAX_CHARS:
            yield low, high
            return
        end = _place_to_cut(text, low)
        yield low, low + len(text[low:end].rstrip())
        low = end


def _place_to_cut(text: str, low: int) -> int:
    """Return where to cut a piece that begins at ``low``: in the second half of what is allowed, or else at its end."""
    half, most = low + MAX_CHARS // 2, low + MAX_CHARS
    comma = text.rfind("،", half, most)
    if comma >= 0:
        return comma + 1
    return max((space.end() for space in _SPACE.finditer(text, half, most)), default=most)
