"""The forms of an output file: each grows in segments that stand for themselves, and is put together at the end."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, Protocol, cast

from ..labels.errors import WusumError
from .checkpoint import sync_folder
from .columns import TAG_COLUMNS
from .formats import Packing, output_form, split_name
from .formats_bytes import missing
from .rejected import shown
from .sources import NEW_SUFFIX
from .writers import Row, to_line

_LIST_MARK = "|"  # between labels, or notes, in a cell of CSV


class Form(Protocol):
    """A form of output file.

    The file begins as a row of segments. Cut off after any whole segment it can be gone on with.
    """

    @property
    def seamless(self) -> bool:
        """Whether the finished file is the same wherever one segment ends and the next begins."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return one segment."""

    def finish(self, segments: Path, target: Path) -> None:
        """Put the finished file in its place and the segments away; may be done again after it broke off.

        Raises:
            OSError: the disk refuses.
        """


def open_form(path: Path) -> Form:
    r"""Return the form that the name of an output stands for.

    Raises:
        WusumError: it stands for none, or a package that it needs is not installed.

    Example:
        >>> open_form(Path("tags.jsonl")).encode([{"id": 7}])
        b'{"id": 7}\n'
    """
    name, form, packing = shown(str(path)), output_form(path.name), split_name(path.name)[1]
    if form is None:
        expected = "expected .jsonl, .csv, .tsv or .parquet, the first three also with .gz or .zst"
        raise WusumError(f"{name}: no form of output has this suffix; {expected}; choose another name")
    if packing == ".zst":
        try:
            import zstandard  # noqa: F401
        except ModuleNotFoundError:
            raise missing(f"{name}: is packed with zstd", "zstandard") from None
    if form == "parquet":
        try:
            from .formats_parquet_output import ParquetForm
        except ModuleNotFoundError:
            raise missing(f"{name}: is Parquet", "pyarrow") from None
        return ParquetForm()
    return JsonLinesForm(packing) if form == "jsonl" else CsvForm("\t" if form == "tsv" else ",", packing)


class JsonLinesForm:
    """JSON lines; packed, a segment is a member of gzip, or a frame of zstd, of its own.

    Example:
        >>> JsonLinesForm("").seamless, JsonLinesForm(".gz").seamless
        (True, False)
    """

    def __init__(self, packing: Packing) -> None:
        """``packing`` is the last suffix of the name, if any."""
        self._packing = packing

    @property
    def seamless(self) -> bool:
        """Whether the finished file is the same wherever segments end: a member begins anew."""
        return not self._packing

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return one segment."""
        data = b"".join(map(to_line, rows))
        if not data:
            return data
        if self._packing == ".gz":
            return gzip.compress(data, mtime=0)
        if self._packing == ".zst":
            import zstandard

            return bytes(zstandard.ZstdCompressor().compress(data))
        return data

    def finish(self, segments: Path, target: Path) -> None:
        """Put the file in its place: it is complete as it is."""
        segments.replace(target)


class CsvForm:
    r"""CSV with a header; the segments are JSON lines, because only the end knows all columns.

    Labels and notes are joined by ``|``, scores are an object of JSON in one cell.

    Example:
        >>> CsvForm(",", "").encode([{"id": 7}])
        b'{"id": 7}\n'
    """

    seamless = True

    def __init__(self, delimiter: str, packing: Packing) -> None:
        """``packing`` is the last suffix of the name, if any."""
        self._delimiter = delimiter
        self._packing = packing

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return one segment."""
        return b"".join(map(to_line, rows))

    def finish(self, segments: Path, target: Path) -> None:
        """Write the columns in the order of their first appearance, the tags last."""
        columns = tags_last({name: None for row in _rows(segments) for name in row})

        def write(file: IO[bytes]) -> None:
            with self._packed(file) as packed:
                writer = csv.writer(codecs.getwriter("utf-8")(packed, "replace"), delimiter=self._delimiter)
                writer.writerow(columns)
                for row in _rows(segments):
                    writer.writerow([_cell(row.get(name), name) for name in columns])

        write_new(target, write)
        segments.unlink()

    def _packed(self, file: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
        if self._packing == ".gz":
            return cast(AbstractContextManager[IO[bytes]], gzip.GzipFile("", "wb", fileobj=file, mtime=0))
        if self._packing == ".zst":
            import zstandard

            return cast(
                AbstractContextManager[IO[bytes]], zstandard.ZstdCompressor().stream_writer(file, closefd=False)
            )
        return nullcontext(file)


def tags_last(names: Sequence[str] | dict[str, None]) -> list[str]:
    """Return the names of columns with those of the tags at the end.

    Example:
        >>> tags_last(["topics", "actors", "scores", "notes", "year"])
        ['year', 'topics', 'actors', 'scores', 'notes']
    """
    return [*(name for name in names if name not in TAG_COLUMNS), *(name for name in TAG_COLUMNS if name in names)]


def write_new(target: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file beside its place and put it there when it is complete and on the disk."""
    new = target.with_name(target.name + NEW_SUFFIX)
    with new.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(target)
    sync_folder(target.parent)


def _rows(segments: Path) -> Iterator[Row]:
    with segments.open("rb") as lines:
        for line in lines:
            yield json.loads(line)


def _cell(value: Any, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and name in TAG_COLUMNS:
        return _LIST_MARK.join(value)
    return json.dumps(value, ensure_ascii=False)
