"""From a page's plain text to its headline and body.

Lines are told apart by what they look like (``cleaner_lines``). Prose then goes to the story or to other stories
(``cleaner_story``), by the words it shares with the story (``cleaner_cohesion``) and by what stands between it and the
prose before. Short lines follow the prose they stand in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, zip_longest

from .cleaner_cohesion import Story
from .cleaner_lines import PROSE_WORDS, Kind, Line, is_caption, read_line
from .cleaner_story import echoes, story_prose, story_words, title_line
from .sentences import Span

_SITE_MARKS = (" | ", " - ", " – ", " — ", " :: ", " » ")
_SKIP = re.compile(
    r"(?:(?:تجاوز|تخطي?) (.+) (?:وتابع|وواصل)(?: القراءه)?"
    r"|skip (.+) and continue(?: reading)?|اهمل (.+ مشاركه)|skip (?!to )(.+ post))"
)
_END = re.compile(r"نهايه (.+)|(.+) نهايه|end of (?:story )?(.+)")
_FENCED = 25
"""Lines that such a pair of marks may hold between them."""
_LONG_RUN = 3
_CROSSHEAD_WORDS, _FOREIGN = 4, -1.0
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_MOST_LINES = 20_000
"""A text of more lines that hold a letter or digit is no page of a news site: all of it is kept."""


@dataclass(frozen=True)
class CleanPage:
    """A page without its furniture.

    Attributes:
        title: the headline, None where the page shows none.
        body: the story's lines, joined by line breaks, without the headline.
        dropped: how many lines that are not blank were left out (a repeated headline among them).
        total: how many lines of the page are not blank.
        title_span: where in the page the headline first stands, None where there is none.
        line_spans: where in the page each line of the body stands; the page holds exactly the same text there. Of a
            text of too many lines to tell apart, where all of it stands.
    """

    title: str | None
    body: str
    dropped: int
    total: int
    title_span: Span | None = field(default=None, compare=False)
    line_spans: tuple[Span, ...] = field(default=(), compare=False)


def clean_page(text: str) -> CleanPage:
    r"""Return the headline and the body of a page given as plain text, in time linear in its length.

    Example:
        >>> clean_page("الرئيسية\nمطر في الوادي\nهطل المطر أمس على الوادي كله.\nشارك الخبر").title
        'مطر في الوادي'
    """
    raw = text.splitlines()
    total = sum(bool(line.strip()) for line in raw)
    if _are_too_many(raw):
        start, end = _inner_span(0, text)
        return CleanPage(None, text[start:end], 0, total, None, ((start, end),))
    title, keep = _decide(raw)
    begins = [*accumulate(map(len, text.splitlines(keepends=True)), initial=0)][:-1]
    lines = tuple(_inner_span(begin, line) for begin, line, kept in zip(begins, raw, keep, strict=True) if kept)
    body = "\n".join(text[start:end] for start, end in lines)
    dropped = total - len(lines) - (title is not None)
    return CleanPage(title, body, dropped, total, _title_span(title, begins, raw), lines)


def _inner_span(begin: int, line: str) -> Span:
    """Return where a line that begins there stands without what surrounds it."""
    kept = line.strip().strip("\0")
    start = begin + line.index(kept)
    return start, start + len(kept)


def _title_span(title: str | None, begins: Sequence[int], raw: Sequence[str]) -> Span | None:
    if title is None:
        return None
    start = next(begin + line.index(title) for begin, line in zip(begins, raw, strict=True) if title in line)
    return start, start + len(title)


def keep_lines(lines: Sequence[str]) -> list[bool]:
    """Return for each line of a page whether it is the headline or part of the body; blank lines are not.

    Example:
        >>> keep_lines(["مطر في الوادي", "", "هطل المطر أمس على الوادي كله.", "شارك الخبر"])
        [True, False, True, False]
    """
    if _are_too_many(lines):
        return [bool(line.strip()) for line in lines]
    title, keep = _decide(lines)
    if title is not None:
        keep[next(number for number, line in enumerate(lines) if title in line)] = True
    return keep


def _are_too_many(lines: Sequence[str]) -> bool:
    return len(lines) > _MOST_LINES and sum(map(bool, map(_LETTER_OR_DIGIT.search, lines))) > _MOST_LINES


def _decide(raw: Sequence[str]) -> tuple[str | None, list[bool]]:
    """Return the headline and, for each line, whether it is of the body."""
    lines = _demoted(_read(raw))
    keep = [False] * len(raw)
    if not any(line.kind is Kind.PROSE for line in lines):
        short = [line for line in lines if line.kind is Kind.SHORT]
        for line in short:
            keep[line.number] = True
        return None, keep
    prose = story_prose(lines)
    first = next(place for place, line in enumerate(lines) if line.number in prose)
    title = title_line(lines, first, prose)
    for line in _body(lines, first, prose):
        keep[line.number] = True
    if title is None:
        return None, keep
    headline = _without_site(title.text)
    for line in lines:
        if not line.stopped and 3 <= line.words <= title.words and line.key in title.key:
            keep[line.number] = False
    return headline, keep


def _read(raw: Sequence[str]) -> list[Line]:
    sample = "".join(line[:200] for line in raw[:400])
    arabic = len(sample.encode("utf-8", "surrogatepass")) > 1.5 * len(sample)
    read = (read_line(number, line, arabic) for number, line in enumerate(raw))
    lines = [line for line in read if line is not None]
    before: set[str] = set()
    found = []
    for line in _outside_fences(lines):
        repeated = line.kind is Kind.PROSE and line.key in before
        found.append(replace(line, kind=Kind.FURNITURE) if repeated else line)
        if line.kind is Kind.PROSE:
            before.add(line.key)
    return found


def _outside_fences(lines: list[Line]) -> list[Line]:
    """Return the lines but those between two marks for screen readers: "skip X and read on" and "end of X".

    "Skip to the main content" is none: it stands above the story, and what it names is the story.
    """
    outside: list[Line] = []
    skipped: list[tuple[int, set[str]]] = []
    for line in lines:
        if line.kind is not Kind.PROSE and (what := _named(_SKIP, line)):
            skipped.append((len(outside), what))
        elif line.kind is not Kind.PROSE and (what := _named(_END, line)):
            while skipped and len(outside) - skipped[-1][0] > _FENCED:
                skipped.pop()
            if skipped and what <= skipped[-1][1]:
                del outside[skipped.pop()[0] :]
                continue
        outside.append(line)
    return outside


def _named(mark: re.Pattern[str], line: Line) -> set[str]:
    found = mark.fullmatch(line.key)
    return set() if found is None else set((found[found.lastindex or 0]).split())


def _demoted(lines: list[Line]) -> list[Line]:
    """Return the lines with those made short that look like prose and are none.

    Captions with a credit are, under a line that is no prose, and lines that count as prose only for their first "and"
    but stand like headlines: in a list, or above prose that says the same again.
    """
    told = any(line.kind is Kind.PROSE and not is_caption(line) for line in lines)
    found: list[Line] = []
    for line, below in zip_longest(lines, lines[1:]):
        if line.kind is Kind.PROSE and line.words < PROSE_WORDS:
            apart = not found or found[-1].kind is not Kind.PROSE
            listed = apart and (not found or not found[-1].stopped)
            heads = below is not None and below.kind is Kind.PROSE and echoes(line, below)
            weak = not line.stopped and (listed or heads)
            if weak or (told and apart and is_caption(line)):
                line = replace(line, kind=Kind.SHORT)
        found.append(line)
    return found


def _without_site(title: str) -> str:
    for mark in _SITE_MARKS:
        head, found, tail = title.rpartition(mark)
        if found and len(tail.split()) <= 4 and len(head.split()) >= 4 and not any(map(str.isdigit, tail)):
            return head.strip()
    return title


def _body(lines: list[Line], first: int, prose: set[int]) -> list[Line]:
    """Return the story's prose and the short lines that stand in it."""
    story = story_words(lines, prose)
    kept = [*_leading(lines[:first]), lines[first]]
    gap: list[Line] = []
    for line in lines[first + 1 :]:
        if line.number in prose:
            kept += [*_inside(gap, story), line]
            gap = []
        else:
            gap.append(line)
    return kept + _trailing(gap)


def _inside(gap: list[Line], story: Story) -> list[Line]:
    """Return the short lines between two paragraphs of the story that are of the story: crossheads and the like."""
    stop = next((i for i, line in enumerate(gap) if line.kind in (Kind.BOX, Kind.PROSE, Kind.POINTER)), len(gap))
    if stop < len(gap):
        return [line for line in gap[:stop] if line.stopped and line.kind is Kind.SHORT]
    short = [line for line in gap if line.kind is Kind.SHORT]
    if len(short) >= _LONG_RUN and not any(line.stopped for line in short):
        together = frozenset[str]().union(*(line.stems for line in short))
        if story.log_odds(together, linked=True, member=False) < 0:
            return []
    counts = Counter(line.key for line in short)
    return [line for line in short if counts[line.key] == 1 and not _is_foreign(line, story)]


def _is_foreign(line: Line, story: Story) -> bool:
    """Return whether a line in the story is another one's headline: too long for a crosshead, on other matters."""
    if line.stopped or line.words <= _CROSSHEAD_WORDS:
        return False
    return not story.shared(line.stems) or story.log_odds(line.stems, linked=False, member=False) < _FOREIGN


def _leading(before: list[Line]) -> list[Line]:
    """Return the short sentences just before the first paragraph."""
    stop = len(before)
    while stop and before[stop - 1].kind is Kind.SHORT and before[stop - 1].text.endswith("."):
        stop -= 1
    return before[stop:]


def _trailing(gap: list[Line]) -> list[Line]:
    """Return the first lines after the last paragraph that end like sentences."""
    stop = next((i for i, line in enumerate(gap) if line.kind is not Kind.SHORT or not line.stopped), len(gap))
    return gap[:stop]
