"""Blocks of articles: read from a file by one process, tagged and written by another; the unit that is lost or kept."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .article import Article
from .choice import Choice
from .columns import Clean, Columns, ReadOptions
from .job import predictions
from .ray_bundle import SharedBundle
from .ray_output import RayOutput
from .ray_sources import StoredSource
from .readers import Position, read_records
from .record import Record
from .rejected import Place, Rejected
from .tagger import Tagger
from .writers import Row, to_row

_MAX_CHARACTERS = 32_000_000  # of a block, which a worker holds
_LOOKED_AT = 100  # articles, to learn whether they have dates
_ITEM = pa.struct(
    [
        ("line", pa.int64()),
        ("reason", pa.string()),  # why it is rejected; null for an article
        ("is_page", pa.bool_()),
        ("text", pa.string()),
        ("title", pa.string()),
        ("id", pa.string()),
        ("date", pa.string()),
    ]
)
_BLOCK = pa.schema([("name", pa.string()), ("file", pa.string()), ("last", pa.bool_()), ("items", pa.list_(_ITEM))])


@dataclass(frozen=True)
class BlockOptions:
    """How files become blocks.

    Attributes:
        columns: where text, title and id stand.
        clean: whether text in columns is cleaned.
        date_column: where the date stands; None when it is not asked for.
        articles: how many articles a block has at most.
    """

    columns: Columns
    clean: Clean
    date_column: str | None
    articles: int

    def read(self, source: StoredSource) -> Iterator[Record | Rejected]:
        """Yield the articles of a file, and what is wrong with others; raises StoreFault."""
        # A date is none of the columns that every reader gives, so all are read.
        return read_records(source, ReadOptions(self.columns, self.clean, keep=self.date_column is not None))


def block_name(file: int, number: int) -> str:
    """Return the name of a block: of the same input it is the same in every run.

    Example:
        >>> block_name(3, 12)
        'part-000003-000012'
    """
    return f"part-{file:06d}-{number:06d}"


def has_dates(source: StoredSource, options: BlockOptions) -> bool:
    """Whether one of the first articles has a date."""
    first = itertools.islice(options.read(source), _LOOKED_AT)
    return any(isinstance(item, Record) and _date(item, options.date_column) is not None for item in first)


def read_blocks(files: pa.Table, options: BlockOptions) -> Iterator[pa.Table]:
    """Yield the blocks of files that are not done yet, one row each.

    The same files and blocks done give the same blocks again, so that Ray may repeat a lost piece of this at will.

    Args:
        files: rows with ``number``, ``path``, ``address``, ``size`` and ``done``, the numbers of blocks to leave out.
        options: how to read them.

    Raises:
        StoreFault: a file cannot be read to its end.
    """
    for file in files.to_pylist():
        source = StoredSource(file["path"], address=file["address"], size=file["size"])
        done = frozenset(file["done"])
        for number, (items, last) in enumerate(_cut(options.read(source), options.articles)):
            if number not in done:
                told = [_to_item(item, options.date_column) for item in items]
                name = block_name(file["number"], number)
                row = {"name": name, "file": source.place.file, "last": last, "items": told}
                yield pa.Table.from_pylist([row], _BLOCK)


def _cut(items: Iterable[Record | Rejected], most: int) -> Iterator[tuple[list[Record | Rejected], bool]]:
    held: list[Record | Rejected] = []
    size = 0
    for item in items:
        if len(held) >= most or size >= _MAX_CHARACTERS:
            yield held, False
            held, size = [], 0
        held.append(item)
        if isinstance(item, Record):
            size += len(item.article if isinstance(item.article, str) else item.article.text)
    yield held, True


def _to_item(item: Record | Rejected, date_column: str | None) -> dict[str, Any]:
    if isinstance(item, Rejected):
        return {"line": item.place.line, "reason": item.reason}
    article = Article(item.article) if isinstance(item.article, str) else item.article
    identity = item.key.get("id")
    return {
        "line": item.place.line,
        "is_page": isinstance(item.article, str),
        "text": article.text,
        "title": article.title,
        "id": None if identity is None else str(identity),
        "date": _date(item, date_column),
    }


def _date(record: Record, column: str | None) -> str | None:
    """Return the day of an article as ``YYYY-MM-DD``, as written, whatever its time zone; None where it tells none."""
    value = (record.columns or {}).get(column or "")
    if isinstance(value, pa.Scalar):
        try:
            value = value.as_py()
        except ValueError:  # a time in nanoseconds
            value = str(value)
    if isinstance(value, datetime.date):  # a datetime is one too
        return value.strftime("%Y-%m-%d")
    try:
        return datetime.date.fromisoformat(value.strip()[:10]).isoformat() if isinstance(value, str) else None
    except ValueError:
        return None


def _from_item(item: dict[str, Any], file: str) -> Record | Rejected:
    place = Place(file, item["line"])
    if item["reason"] is not None:
        return Rejected(place, item["reason"])
    identity = item["id"]
    key = {"path": place.key} if identity is None else {"id": identity}
    article = item["text"] if item["is_page"] else Article(item["text"], item["title"], identity)
    return Record(article, key, place, key | {"date": item["date"]})


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker tags.

    Attributes:
        bundle: the model, the same on every machine.
        threads: of a worker, and cores that Ray reserves for it.
        min_precision: as of :meth:`Tagger.require_precision`.
        choice: which tags are told.
    """

    bundle: SharedBundle
    threads: int
    min_precision: float | None
    choice: Choice


class TagBlocks:
    """A worker of Ray Data: holds one tagger, and tags and writes block after block."""

    def __init__(self, options: WorkerOptions, output: RayOutput) -> None:
        """Take what is needed; of a fault in here, Ray would tell no more than that the worker died."""
        self._options = options
        self._output = output

    @functools.cached_property
    def _tagger(self) -> Tagger:
        tagger = Tagger(self._options.bundle.load(), self._options.threads)
        if self._options.min_precision is not None:
            tagger.require_precision(self._options.min_precision)
        return tagger

    def __call__(self, blocks: pa.Table) -> pa.Table:
        """Tag and write blocks, and return their names; a block that is done again leaves the same files.

        Raises:
            WusumError: this machine has not the bundle and cannot fetch it, or has another one.
            StoreFault: the output takes no more.
        """
        for block in blocks.to_pylist():
            rows: list[Row] = []
            faults: list[Rejected] = []
            items = ((_from_item(item, block["file"]), Position()) for item in block["items"])
            for tagged, _ in predictions(lambda: self._tagger, items):
                if isinstance(tagged, Rejected):
                    faults.append(tagged)
                else:
                    rows.append(to_row(tagged.record, self._options.choice.apply(tagged.prediction)))
            self._output.commit(block["name"], rows, faults, last=block["last"])
        return blocks.select(["name"])
