"""Which paragraphs of a page are its story, and which line is its headline."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, replace

from .cleaner_cohesion import Story, telling
from .cleaner_lines import Kind, Line

_ROUNDS = 2
_LEAVE = {
    "none": 9.0,
    "short": 3.0,
    "headline": 3.0,
    "parted": 0.3,
    "several": 0.3,
    "furniture": 0.1,
    "pointer": 3.0,
    "box": -4.5,
    "list": 0.0,
}
"""What it costs, in log odds, to pass from the story to another story over what stands between two paragraphs.

"parted" is a headline with furniture beside it; "list" is a box whose last headline does not tell what the paragraph
tells: the box may have ended."""
_RETURN = {
    "none": 4.5,
    "short": 2.5,
    "headline": 4.5,
    "parted": 4.5,
    "several": 3.0,
    "furniture": 3.0,
    "pointer": 2.0,
    "box": 3.0,
    "list": 3.0,
}
"""What it costs to come back to the story."""
_BEGIN = {**_RETURN, "short": -0.5, "several": -3.0}
"""What it costs to begin the story behind paragraphs of others."""
_RETURN_LINKED, _BEGIN_LINKED, _BEGIN_TITLED, _ANOTHER = 0.3, 9.0, -3.0, 3.0
"""The same for a linked line; what it costs to begin with one, or where the headline stands above bylines and the like;
and to stay in the story over such a headline."""
_ALONE = 4.0
_FAVOUR = 1.2
"""Log odds in favour of every paragraph: to lose one of the story is worse than to keep a teaser."""
_HEADING = 6
_HEADLINE_WORDS, _ECHOED, _ECHOES = 5, 1.4, 4
_ECHO = 3
"""Telling stems that a headline shares with the first paragraph below it, at least."""
_ANNOUNCED = 6.0
_LEAD = 4.0
_NAMED, _DATED, _TITLED, _BOXED, _FIRST, _LONG, _PER_ODDS = 4.0, 1.5, 10.0, 3.0, 1.0, 900, 200
_START = {
    "none": 9.0,
    "short": 6.0,
    "headline": 5.0,
    "parted": 5.0,
    "several": 4.0,
    "furniture": 5.0,
    "pointer": 4.0,
    "box": 0.5,
    "list": 0.5,
}
"""What it costs to begin with another story, over what stands before the first paragraph."""
_UNNAMED = (3.5, 1.3, 0.0)
"""What it costs to begin with a paragraph that shares none, one, or more telling stems with any headline above it."""
_BEFORE, _WITHIN, _AFTER = "before", "within", "after"
_GUESSES = 4
_MANY = 2000
"""A text of more paragraphs is no page of a news site: all of its prose is kept."""
_TITLE_REACH = 40
# For headlines: most log odds that count; no word of the story; a longer line or the same one on the page; lines above.
_ENOUGH, _STRANGE, _NAMED_AGAIN, _SAID_AGAIN, _EARLIER, _LATER, _CAPTIONS = 3.0, 5.0, 3.0, 0.7, 0.7, 0.05, 4


@dataclass(frozen=True)
class _Part:
    """A paragraph with the short line that heads it, and what stands between it and the paragraph before."""

    line: Line
    stems: frozenset[str]
    heading: frozenset[str]
    gap: str
    hint: float
    announced: bool
    titled: bool
    echoed: int
    shared: int


def story_prose(lines: list[Line]) -> set[int]:
    """Return the numbers of the prose lines that belong to the page's story."""
    parts = _parts(lines)
    if len(parts) == 1 or len(parts) > _MANY:
        return {part.line.number for part in parts}
    best = max((_settled(parts, prior, run) for prior, run in _guesses(parts)), key=lambda found: found[0])
    return {parts[place].line.number for place in best[1]}


def echoes(headline: Line, below: Line) -> bool:
    """Return whether a line tells what a headline above it tells."""
    return len(telling(headline.stems & below.stems)) >= _ECHO


def story_words(lines: list[Line], prose: set[int]) -> Story:
    """Return the words of the story whose prose has these line numbers."""
    return Story(line.stems for line in lines if line.number in prose)


def title_line(lines: list[Line], first: int, prose: set[int]) -> Line | None:
    """Return the headline: of the short lines before the story, the one that best fits it."""
    story = story_words(lines, prose)
    before = [line for line in lines[:first] if line.kind is Kind.SHORT and 3 <= line.words <= 30]
    keys = [line.key for line in before]
    scores: list[float] = []
    reach = before[-_TITLE_REACH:]
    for place, line in enumerate(reach, start=len(before) - len(reach)):
        near = keys[max(0, place - _TITLE_REACH) : place + _TITLE_REACH]
        longer = any(f" {line.key} " in f" {key} " and key != line.key for key in near)
        score = min(story.log_odds(line.stems, linked=False, member=False), _ENOUGH)
        score -= _STRANGE * (not story.shared(line.stems))
        scores.append(score + _NAMED_AGAIN * longer + _SAID_AGAIN * (near.count(line.key) > 1))
    if not scores:
        return None
    best = max(range(len(reach)), key=lambda place: scores[place] + _LATER * place)
    # A caption below the headline may fit better than the headline does.
    above = range(max(0, best - _CAPTIONS), best + 1)
    return reach[max(above, key=lambda place: scores[place] - _EARLIER * place)]


def _parts(lines: list[Line]) -> list[_Part]:
    parts: list[_Part] = []
    between: list[Line] = []
    headlines: list[Line] = []
    boxed = boxed_first = False
    before = Counter(line.key for line in lines if line.kind is Kind.SHORT and line.words >= 3)
    for line in lines:
        boxed = boxed or line.kind is Kind.BOX
        if line.kind is not Kind.PROSE:
            between.append(line)
            continue
        above = between[-1] if between and between[-1].kind is Kind.SHORT else None
        if above is not None and _takes_up(line, above):
            line = replace(line, linked=False)
        head = above.stems if above else frozenset()
        headed = above is not None and above.words >= _HEADLINE_WORDS and not line.linked
        echoed = len(telling(head & line.stems)) if headed else 0
        gap = _gap(between)
        gap = "list" if gap == "box" and headed and not echoed else gap
        heading = frozenset[str]().union(*(short.stems for short in between[-_HEADING:] if short.kind is Kind.SHORT))
        named = any(before[short.key] > 1 for short in between)
        boxed_first = boxed_first or (boxed and not parts)
        dated = any(short.kind is Kind.FURNITURE for short in between)
        titled = any(_names(short, line) for short in between[-_TITLE_REACH:-1])
        hint = _NAMED * named + _DATED * dated + _TITLED * titled - _BOXED * boxed + _FIRST * (not parts)
        own = line.stems | head if telling(head & line.stems) else line.stems
        headlines = [*headlines, *(short for short in between if _may_head(short))][-_TITLE_REACH:]
        shared = max((len(telling(line.stems & short.stems)) for short in headlines), default=0)
        parts.append(_Part(line, own, heading, gap, hint, named and boxed_first, titled, echoed, min(shared, 2)))
        between = []
    return parts


def _takes_up(line: Line, headline: Line) -> bool:
    """Return whether a line opens as its headline does and goes on with it: what looks like "and" is no link then."""
    opening = headline.key.partition(" ")[0]
    return line.key.startswith(f"{opening} ") and echoes(headline, line)


def _names(headline: Line, line: Line) -> bool:
    """Return whether a short line that does not stand right above a paragraph tells what the paragraph tells."""
    return _may_head(headline) and echoes(headline, line)


def _may_head(line: Line) -> bool:
    return line.kind is Kind.SHORT and line.words >= _HEADLINE_WORDS


def _gap(between: list[Line]) -> str:
    between = [line for line in between if line.kind is not Kind.SHORT or not line.stopped]
    kinds = {line.kind for line in between}
    if Kind.BOX in kinds:
        return "box"
    short = [line for line in between if line.kind is Kind.SHORT]
    if Kind.POINTER in kinds:
        return "pointer"
    if len(short) > 1:
        return "several"
    if short:
        headline = "parted" if Kind.FURNITURE in kinds else "headline"
        return headline if short[0].words > 5 else "short"
    return "furniture" if kinds else "none"


def _guesses(parts: list[_Part]) -> list[tuple[float, set[int]]]:
    """Return the likeliest runs of paragraphs with little between them, each with the odds that it is of the story."""
    runs: list[set[int]] = []
    for place, part in enumerate(parts):
        if part.gap in ("none", "short", "pointer", "furniture") and runs:
            runs[-1].add(place)
        else:
            runs.append({place})
    scored = [
        (parts[min(run)].hint + min(sum(len(parts[place].line.text) for place in run), _LONG) / _PER_ODDS, run)
        for run in runs
    ]
    return heapq.nlargest(_GUESSES, scored, key=lambda entry: entry[0])


def _cost_of_beginning(part: _Part) -> float:
    """What it costs to begin the story with this paragraph: one that is linked to the paragraph above is no first."""
    if part.announced:
        return 0.0
    if part.titled:
        return _BEGIN_TITLED
    cost = _BEGIN_LINKED if part.line.linked and part.gap == "none" else _BEGIN[part.gap]
    return cost + _UNNAMED[part.shared]


def _cost_of_return(part: _Part) -> float:
    if part.announced:
        return 0.0
    return _RETURN_LINKED if part.line.linked and part.gap == "none" else _RETURN[part.gap]


def _settled(parts: list[_Part], prior: float, run: set[int]) -> tuple[float, set[int]]:
    """Return the paragraphs that go with this run, and how likely they are to be the story."""
    odds, chosen = 0.0, run
    for _ in range(_ROUNDS):
        before = chosen
        odds, chosen = _path(parts, before)
        if chosen == before:
            break
    return odds + prior, chosen


def _path(parts: list[_Part], chosen: set[int]) -> tuple[float, set[int]]:
    """Return the paragraphs of the story on the likeliest path through the page, given a first choice of them."""
    scores = {_BEFORE: -_START[parts[0].gap], _WITHIN: -_UNNAMED[parts[0].shared], _AFTER: -math.inf}
    origins: list[dict[str, str]] = []
    for place, (part, odds) in enumerate(zip(parts, _odds(parts, chosen), strict=True)):
        if place:
            ways = _ways(part, scores)
            origins.append({state: max(ways[state], key=ways[state].__getitem__) for state in ways})
            scores = {state: max(ways[state].values()) for state in ways}
        scores[_WITHIN] += odds
    state = max(scores, key=scores.__getitem__)
    top, found = scores[state], set()
    for place in range(len(parts) - 1, -1, -1):
        if state == _WITHIN:
            found.add(place)
        state = origins[place - 1][state] if place else state
    return top, found or _unbroken(parts, chosen)


def _unbroken(parts: list[_Part], chosen: set[int]) -> set[int]:
    """Return the first of the chosen paragraphs and those that follow it with nothing between."""
    place = min(chosen)
    found = {place}
    while (place := place + 1) in chosen and parts[place].gap == "none":
        found.add(place)
    return found


def _odds(parts: list[_Part], chosen: set[int]) -> list[float]:
    """Return for each paragraph the log odds that it is of the story of those chosen."""
    first = min(chosen)
    story = Story([parts[first].heading, *(parts[place].line.stems for place in chosen)])
    found = []
    for place, part in enumerate(parts):
        odds = story.log_odds(part.stems, linked=part.line.linked, member=place in chosen) + _FAVOUR
        if place != first:
            odds -= _ECHOED * min(part.echoed, _ECHOES)
        found.append(_ALONE if chosen == {place} else odds)
    return found


def _ways(part: _Part, scores: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return for each state, of the story or not, what each state before it gives."""
    lead = _LEAD if part.line.linked and part.gap != "none" else 0.0
    return {
        _BEFORE: {_BEFORE: scores[_BEFORE] - lead},
        _WITHIN: {
            _WITHIN: scores[_WITHIN] - (_ANNOUNCED if part.announced else _ANOTHER if part.titled else 0.0),
            _BEFORE: scores[_BEFORE] - _cost_of_beginning(part),
            _AFTER: scores[_AFTER] - _cost_of_return(part),
        },
        _AFTER: {
            _AFTER: scores[_AFTER] - lead,
            _WITHIN: scores[_WITHIN] - _LEAVE[part.gap] - lead,
        },
    }
