"""Articles out of CSV and TSV."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator

from .columns import ReadOptions, check_header, to_record
from .formats_bytes import MAX_BYTES, decode, lines
from .record import Record
from .rejected import Place, Rejected
from .sources import Source

_DELIMITERS = ",;\t|"
_MOST_AGAIN = 100_000_000  # bytes that are read again after bad rows, so that the time stays linear


def read_csv(chunks: Iterable[bytes], source: Source, options: ReadOptions) -> Iterator[Record | Rejected]:
    r"""Yield the article of each row, or what is wrong with it; the first row names the columns.

    The delimiter is a comma (a tab in a ``.tsv``), or where only that makes a header with the column of the text, one
    of comma, semicolon, tab and bar.

    Example:
        >>> next(read_csv([b"id;text\n", b"x;a\n"], Source("a.csv"), ReadOptions())).key
        {'id': 'x'}
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_BYTES))  # the rows are bounded by _Feed already
    feed = _Feed(lines(chunks), source.path)
    try:
        feed.begin()
        first = next(feed, None)
        if first is None:
            raise Rejected(source.place, "no rows; expected a header with the names of the columns; drop it or fill it")
        delimiter, header = _read_header(first, source, options)
    except Rejected as fault:
        yield fault.bare()
        return
    # Strict: a quote that is not closed is told at the next one instead of swallowing what follows.
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        place = Place(source.path, feed.begin())
        try:
            cells = next(reader, None)
            if cells is None:
                return
            if cells:
                yield _read_row(cells, header, place, options)
        except csv.Error as error:
            lost = feed.go_back()
            yield Rejected(place, f"not a row of CSV ({error}){lost}; expected each quote closed or doubled; mend it")
        except _NoLine as fault:
            yield Rejected(fault.place, fault.reason + feed.go_back())
        except Rejected as fault:
            yield fault.bare()


class _NoLine(Rejected):
    """The row ends here: the next line is no text, or one too many."""


class _Feed:
    """Hands lines to the csv module, and again those that a bad row has taken beyond its first."""

    def __init__(self, found: Iterator[bytes | None], path: str) -> None:
        self._found = found
        self._path = path
        self._number = 0
        self._row: list[tuple[int, bytes | None]] = []
        self._again: deque[tuple[int, bytes | None]] = deque()
        self._size = 0
        self._patience = _MOST_AGAIN

    def begin(self) -> int:
        """Begin a row and return the number of its first line."""
        self._row, self._size = [], 0
        return self._again[0][0] if self._again else self._number + 1

    def go_back(self) -> str:
        """Let the next row begin behind the first line of this one; return what to tell where it cannot any more."""
        self._patience -= self._size
        if self._patience > 0:
            self._again.extendleft(reversed(self._row[1:]))
            return ""
        return f", and the {len(self._row) - 1:,} lines behind it are passed over" if len(self._row) > 1 else ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._again:
            self._again.append((self._number + 1, next(self._found)))
            self._number += 1
        self._row.append(self._again.popleft())
        line = self._row[-1][1]
        self._size += MAX_BYTES + 1 if line is None else len(line)
        if line is None or self._size > MAX_BYTES:
            advice = "expected one article a row; look for a quote that is not closed"
            raise _NoLine(Place(self._path, self._row[0][0]), f"a row over 2 MB; {advice}")
        try:
            return decode(line, Place(self._path, self._row[0][0]), "byte of the line") + "\n"
        except Rejected as fault:
            raise _NoLine(fault.place, fault.reason) from None


def _read_header(line: str, source: Source, options: ReadOptions) -> tuple[str, list[str]]:
    usual = "\t" if source.form == "tsv" else ","
    headers: dict[str, list[str]] = {}
    for delimiter in (usual, *_DELIMITERS.replace(usual, "")):
        try:
            headers[delimiter] = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            continue
    if not headers:
        raise Rejected(Place(source.path, 1), "not a row of CSV; expected a header with the names of the columns")
    # Where no delimiter gives the column, the fault names what the likeliest one gives.
    best = max(headers, key=lambda each: (options.columns.text in headers[each], len(headers[each])))
    delimiter = usual if options.columns.text in headers.get(usual, ()) else best
    header = headers[delimiter]
    check_header(header, Place(source.path, 1), options.columns)
    if len(set(header)) < len(header) and options.keep:
        raise Rejected(Place(source.path, 1), "two columns of one name; expected each name once; rename one")
    return delimiter, header


def _read_row(cells: list[str], header: list[str], place: Place, options: ReadOptions) -> Record:
    if len(cells) != len(header):
        advice = "expected as many; look for another delimiter, or one that should stand in quotes"
        raise Rejected(place, f"{len(cells)} columns where the header has {len(header)}; {advice}")
    row = dict(zip(header, cells, strict=True))
    return to_record(row, row, place, options)
