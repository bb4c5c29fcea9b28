"""Articles out of CSV and TSV."""

from __future__ import annotations

import contextlib
import csv
from collections import deque
from collections.abc import Iterable, Iterator

from .columns import ReadOptions, check_header, to_record
from .formats_bytes import MAX_BYTES, decode, lines
from .record import Record
from .rejected import Place, Rejected, shown
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
    csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_BYTES))  # the rows are bounded by _Feed already
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
            told = f"not a row of CSV ({shown(str(error))}){lost}"  # it may name a tab
            yield Rejected(place, f"{told}; expected each quote closed or doubled; mend it")
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
        self._first = 1
        self._row: list[bytes | None] = []  # nothing beside the lines: a row may have two million empty ones
        self._again: deque[bytes | None] = deque()
        self._size = 0
        self._patience = _MOST_AGAIN

    def begin(self) -> int:
        """Begin a row behind lines that are empty, of which there may be millions; return the number of its first."""
        self._first += len(self._row)
        self._row, self._size = [], 0
        with contextlib.suppress(StopIteration):
            while (line := self._line()) in (b"", b"\r"):
                self._first += 1
            self._again.appendleft(line)
        return self._first

    def go_back(self) -> str:
        """Let the next row begin behind the first line of this one; return what to tell where it cannot any more."""
        self._patience -= self._size
        if self._patience > 0:
            while len(self._row) > 1:
                self._again.appendleft(self._row.pop())
            return ""
        return f", and the {len(self._row) - 1:,} lines behind it are passed over" if len(self._row) > 1 else ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._line()
        self._row.append(line)
        self._size += 1 + (MAX_BYTES if line is None else len(line))
        place = Place(self._path, self._first)
        if line is None or self._size > MAX_BYTES + 1:  # the end of the last line does not count
            raise _NoLine(place, "a row over 2 MB; expected one article a row; look for a quote that is not closed")
        try:
            return decode(line, place, "byte of the line") + "\n"
        except Rejected as fault:
            raise _NoLine(fault.place, fault.reason) from None

    def _line(self) -> bytes | None:
        return self._again.popleft() if self._again else next(self._found)


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
