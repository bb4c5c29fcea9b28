"""From the named columns of a line or a row to the record of an article."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .article import Article
from .formats_bytes import MAX_BYTES, is_blank
from .html_page import PageReader
from .record import Record
from .rejected import Place, Rejected, shown

Clean = Literal["auto", "always", "never"]
TOO_LONG = "over 2 MB; expected one article a line; split it or drop it"
TAG_COLUMNS = ("topics", "actors", "scores", "notes", "evidence")
_LIKE_A_TAG = re.compile(rf"(input_)*({'|'.join(TAG_COLUMNS)})")
_DEEPEST = 50  # levels in a column that is kept; Python's own JSON reader takes what its writer cannot give back


@dataclass(frozen=True)
class Columns:
    """Names of the columns (of a table) or fields (of a JSON line)."""

    text: str = "text"
    title: str = "title"
    id: str = "id"


@dataclass(frozen=True)
class ReadOptions:
    """How inputs become articles.

    Attributes:
        columns: where text, title and id stand.
        clean: ``auto``: pages are cleaned, columns taken as clean; ``always``: columns are cleaned too, and pages of
            HTML once more; ``never``: all is taken as it stands, of HTML all that can be read.
        keep: the row of output begins with all of the input's own columns instead of the key.
        pages: the reader of HTML, which may be a process of its own.
    """

    columns: Columns = Columns()
    clean: Clean = "auto"
    keep: bool = False
    pages: PageReader = field(default_factory=PageReader, compare=False)


def to_record(row: Mapping[str, Any], own: Mapping[str, Any], place: Place, options: ReadOptions) -> Record:
    """Return the article of one row.

    Args:
        row: its columns by name; those of text, title and id are looked at.
        own: the columns that are kept in the output, if any are.
        place: the line or row.
        options: the names of the columns, and how text is cleaned.

    Raises:
        Rejected: a column is missing, empty, of the wrong type, too long, or nested too deeply to be kept.

    Example:
        >>> to_record({"text": "نص", "id": 7}, {}, Place("a.jsonl", 1), ReadOptions()).key
        {'id': 7}
    """
    names = options.columns
    text = _string(row, names.text, place)
    if text is None:
        raise Rejected(place, f"missing; expected a string ({_listed(row)}); {_advice(names.text, row)}", names.text)
    if is_blank(text):
        raise Rejected(place, "empty; expected the text of an article; drop the line or fill it", names.text)
    title = _string(row, names.title, place)
    title = None if title is None or is_blank(title) else title
    identity = _identity(row, names.id, place)
    key: dict[str, str | int] = {"path": place.key} if identity is None else {"id": identity}
    article: str | Article = Article(text, title, None if identity is None else str(identity))
    if options.clean == "always":
        article = text if title is None else f"{title}\n{text}"
    return Record(article, key, place, kept(own, place) if options.keep else None)


def kept(own: Mapping[str, Any], place: Place) -> Mapping[str, Any]:
    """Return the input's own columns as they stand in the output: those named like a tag's get ``input_`` in front.

    So do those that are called that already, so that no two columns, here or in another row, come under one name.

    Raises:
        Rejected: a column is nested too deeply.

    Example:
        >>> kept({"year": 2016, "topics": "war"}, Place("a.csv", 2))
        {'year': 2016, 'input_topics': 'war'}
        >>> kept({"topics": "war", "input_topics": "peace"}, Place("a.csv", 2))
        {'input_topics': 'war', 'input_input_topics': 'peace'}
    """
    deep = next((name for name, value in own.items() if _is_deep(value)), None)
    if deep is not None:
        raise Rejected(place, f"nested over {_DEEPEST} levels deep; expected a flat value; drop it", shown(deep)[:30])
    return {f"input_{name}" if _LIKE_A_TAG.fullmatch(name) else name: value for name, value in own.items()}


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def check_header(names: Collection[str], place: Place, columns: Columns) -> None:
    """Refuse a table without the columns that are needed: the text, and those that were asked for by another name.

    Raises:
        Rejected: one of them is missing or stands twice.
    """
    standard = Columns()
    listed = list(names)
    for role in ("text", "title", "id"):
        name = getattr(columns, role)
        needed = role == "text" or name != getattr(standard, role)
        if needed and name not in names:
            advice = _advice(name, names, f"--{role}-column")
            raise Rejected(place, f"no such column ({_listed(names)}); expected a header that names it; {advice}", name)
        if listed.count(name) > 1:
            raise Rejected(place, "stands twice in the header; expected it once; rename one", name)


def _listed(names: Iterable[str]) -> str:
    return f"columns here: {', '.join(shown(name)[:30] for name in itertools.islice(names, 6)) or 'none'}"


def _advice(name: str, names: Iterable[str], option: str = "--text-column") -> str:
    folded = {each.casefold(): each for each in itertools.islice(names, 1000)}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"did you mean {option} {shown(folded[near[0]])[:60]}?" if near else f"see {option}"


def _string(row: Mapping[str, Any], name: str, place: Place) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Rejected(place, f"is {kind(value)}; expected a string; mend it or drop the line", name)
    try:
        size = len(value.encode())
    except UnicodeEncodeError as fault:
        reason = f"half a surrogate pair at character {fault.start}; expected text; mend the \\u escape"
        raise Rejected(place, reason, name) from None
    if size > MAX_BYTES:
        raise Rejected(place, TOO_LONG, name)
    return value


def _identity(row: Mapping[str, Any], name: str, place: Place) -> str | int | None:
    value = row.get(name)
    if isinstance(value, float) and value.is_integer():  # a column of numbers with gaps is read as fractions
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _string(row, name, place) or None


def kind(value: object) -> str:
    """Return what a value of JSON is called in messages."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    numbers = "a number" if isinstance(value, int | float) else f"of type {type(value).__name__}"
    return names.get(type(value), numbers)
