"""Raw articles, which nobody has labelled: read strictly, one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..inference.article import Article
from ..labels.errors import WusumError
from ..labels.jsonl import Row, parse_row, read_lines, text_faults
from .data import refuse


@dataclass(frozen=True)
class RawArticle:
    """One article without labels."""

    id: str
    title: str | None
    text: str

    @property
    def article(self) -> Article:
        """The article as the featuriser takes it."""
        return Article(self.text, self.title, self.id)


def read_raw(
    paths: Sequence[Path], exclude: Collection[str] = (), tally: Counter[str] | None = None
) -> Iterator[RawArticle]:
    """Yield the articles of JSON-lines files (plain, .gz, .xz) with ``id``, ``text`` and an optional ``title``.

    Args:
        paths: the files, read in this order.
        exclude: ids to leave out.
        tally: counts of what was left out, filled on the way: ``without text`` and ``excluded``.

    Raises:
        WusumError: a file cannot be read, or, after the last article, rows have faults: all of them in one message,
            each with file, line and field. An id that stands twice is a fault.

    Example:
        >>> next(read_raw([Path("corpus.jsonl.xz")])).title  # doctest: +SKIP
        'لقاء في جنيف'
    """
    counts = Counter[str]() if tally is None else tally
    faults: list[str] = []
    seen: set[str] = set()
    for path in paths:
        for number, line in read_lines(path):
            row = parse_row(line)
            if isinstance(row, str):
                faults.append(f"{path}:{number}:{row}")
                continue
            if not _has_text(row):
                counts["without text"] += 1
                continue
            problems = [*text_faults(row, "id"), *text_faults(row, "text"), *text_faults(row, "title", optional=True)]
            name = str(row.get("id"))
            if not problems and name in seen:
                problems = [f"id: {name!r} stands twice, expected a name of its own for each article; drop one"]
            faults.extend(f"{path}:{number}:{problem}" for problem in problems)
            seen.add(name)
            if not problems and name in exclude:
                counts["excluded"] += 1
            elif not problems:
                title = row.get("title")
                yield RawArticle(name, str(title) if title else None, str(row["text"]))
    if faults:
        refuse("raw articles", faults)


def read_excluded(paths: Sequence[Path]) -> set[str]:
    """Read the ids of JSON-lines files, such as a test set or a split; rows whose ``part`` is ``train`` do not count.

    Raises:
        WusumError: a file cannot be read or a row has no id.

    Example:
        >>> len(read_excluded([Path("labels/gold/split.jsonl")]))  # doctest: +SKIP
        656
    """
    found: set[str] = set()
    for path in paths:
        for number, line in read_lines(path):
            row = parse_row(line)
            problems = [row] if isinstance(row, str) else list(text_faults(row, "id"))
            if isinstance(row, str) or problems:
                raise WusumError(f"{path}:{number}:{problems[0]}")
            if row.get("part") != "train":
                found.add(str(row["id"]))
    return found


def _has_text(row: Row) -> bool:
    text = row.get("text")
    return text is not None and not (isinstance(text, str) and not text.strip())
