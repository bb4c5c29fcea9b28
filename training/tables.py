"""Rows of a file of articles, streamed: JSON lines, CSV, Parquet, the folder of a Hugging Face dataset."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

from ..labels.errors import WusumError
from ..labels.jsonl import JSONL_SUFFIXES, parse_row, read_lines

if TYPE_CHECKING:
    from datasets import Features

CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".tsv", ".tsv.gz", ".tsv.xz")
PARQUET_SUFFIXES = (".parquet",)
MAX_CELL_CHARS = 10_000_000  # a longer cell is a quote that nobody closed
_BATCH_ROWS = 256

Row = tuple[int, Mapping[str, object] | str]


@dataclass(frozen=True)
class Table:
    """An open file of articles.

    Attributes:
        columns: names of its columns; None where every row names its own (JSON lines).
        size: number of rows, or an upper bound of it; for progress.
        unit: what a row's number counts.
        read: yields number (from 1) and values of every row, or the words that say what is wrong with it
            (``field: ...``); takes the names of the columns that are needed.
    """

    columns: tuple[str, ...] | None
    size: int
    unit: Literal["line", "row"]
    read: Callable[[Collection[str]], Iterator[Row]]


def open_table(path: Path) -> Table:
    """Open a file of articles; its name tells the format, and a folder is a dataset.

    Raises:
        WusumError: it is missing, damaged or of no known format. ``read`` raises it too, where damage comes later.

    Example:
        >>> table = open_table(Path("articles.parquet"))  # doctest: +SKIP
        >>> next(table.read(["id", "topics"]))  # doctest: +SKIP
        (1, {'id': 'a', 'topics': ['economy']})
    """
    if path.is_dir():
        return _unique(path, _open_dataset(path))
    if not path.is_file():
        raise WusumError(f"{path}: not found, expected labelled articles; `wusum labels join` builds them")
    name = path.name.lower()
    if name.endswith(JSONL_SUFFIXES):
        return _open_json_lines(path)
    if name.endswith(CSV_SUFFIXES):
        return _unique(path, _open_csv(path))
    if name.endswith(PARQUET_SUFFIXES):
        return _unique(path, _open_parquet(path))
    known = ", ".join((*JSONL_SUFFIXES, *CSV_SUFFIXES, *PARQUET_SUFFIXES))
    raise WusumError(f"{path}: unknown format, expected a folder that save_to_disk wrote or one of {known}; rename it")


def _unique(path: Path, table: Table) -> Table:
    names = table.columns or ()
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise WusumError(f"{path}: two columns are called {twice!r}, expected one; rename one of them")
    return table


def _open_json_lines(path: Path) -> Table:
    size = sum(1 for _ in read_lines(path))
    return Table(None, size, "line", lambda names: ((number, parse_row(line)) for number, line in read_lines(path)))


def _open_csv(path: Path) -> Table:
    lines = _text_lines(path)
    first = next(lines, "")
    tabs = "\t" in first and ("," not in first or ".tsv" in path.name.lower())
    delimiter = "\t" if tabs else ","
    size = sum(1 for _ in lines)
    header = next(_csv_rows(path, delimiter), None)
    if header is None:
        raise WusumError(f"{path}:1: the file is empty, expected a first line with the names of the columns")
    if isinstance(header[1], str):
        raise WusumError(f"{path}:{header[0]}:{header[1]}")
    columns = tuple(header[1])
    if len(columns) == 1:
        expected = "expected several; the delimiter should be a comma or a tab"
        raise WusumError(f"{path}:{header[0]}: one column is found, {columns[0][:100]!r}, {expected}")
    return Table(columns, size, "line", lambda names: _csv_records(path, delimiter, columns))


def _csv_records(path: Path, delimiter: str, columns: Sequence[str]) -> Iterator[Row]:
    rows = _csv_rows(path, delimiter)
    next(rows)  # the header
    for number, cells in rows:
        if isinstance(cells, str):
            yield number, cells
        elif len(cells) != len(columns):
            expected = f"expected {len(columns)} as in the header; put a cell that holds the delimiter into quotes"
            yield number, f"csv: {len(cells)} cells, {expected}"
        else:
            yield number, dict(zip(columns, cells, strict=True))


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the cells of every row that is not blank, with the number of its first line; a broken quote ends it."""
    reader = csv.reader(_text_lines(path), delimiter=delimiter, strict=True)
    usual = csv.field_size_limit(MAX_CELL_CHARS)  # one for the whole process, 131,072 if nobody changed it
    try:
        start = 1
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as fault:
        yield start, f"csv: {fault}, expected closed quotes and a quote in a cell doubled; the rest was not read"
    finally:
        csv.field_size_limit(usual)


def _text_lines(path: Path) -> Iterator[str]:
    number = 0
    try:
        with _open_bytes(path) as stream:
            for number, line in enumerate(stream, 1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as fault:
        advice = "convert the file; if it is Windows-1256: iconv -f WINDOWS-1256 -t UTF-8"
        raise WusumError(f"{path}:{number}: not UTF-8, expected UTF-8 text; {advice}") from fault
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise WusumError(f"{path}: cannot read: {reason}; expected a sound file; copy or write it again") from fault


def _open_bytes(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix.lower() == ".xz":
        return cast(IO[bytes], lzma.open(path, "rb"))
    return path.open("rb")


@contextmanager
def _arrow_faults(path: Path, what: str) -> Iterator[None]:
    """Turn what Arrow says about a damaged file into one sentence."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise WusumError(f"{path}: cannot read ({reason}), expected {what}; copy or write it again") from fault


def _open_parquet(path: Path) -> Table:
    from pyarrow.parquet import ParquetFile

    with _arrow_faults(path, "a whole Parquet file"), ParquetFile(path) as file:
        schema, size = file.schema_arrow, file.metadata.num_rows
        names: dict[str, list[str]] = {}
        if b"huggingface" in (schema.metadata or {}):  # `datasets` keeps the names of its classes there
            from datasets import Features

            names = _class_names(Features.from_arrow_schema(schema))

    def read(needed: Collection[str]) -> Iterator[Row]:
        number = 0
        # Buffering ahead would hold the whole file, compressed, in memory.
        with _arrow_faults(path, "a whole Parquet file"), ParquetFile(path, pre_buffer=False) as file:
            columns = [name for name in schema.names if name in needed]
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                for values in batch.to_pylist():
                    number += 1
                    yield number, _with_names(values, names)

    return Table(tuple(schema.names), size, "row", read)


def _open_dataset(path: Path) -> Table:
    splits = path / "dataset_dict.json"
    if splits.is_file():
        with _arrow_faults(path, "a dataset that save_to_disk wrote"):
            found = ", ".join(map(str, json.loads(splits.read_text(encoding="utf-8"))["splits"]))
        raise WusumError(f"{path}: holds the splits {found}, expected one; name its folder, {path}/NAME")
    if not (path / "state.json").is_file():
        raise WusumError(f"{path}: is a folder, but none that save_to_disk of `datasets` wrote; name a file")
    from datasets import Dataset

    with _arrow_faults(path, "a dataset that save_to_disk wrote"):
        dataset = Dataset.load_from_disk(str(path)).with_format(None)  # it may have been saved with one
    names = _class_names(dataset.features)

    def read(needed: Collection[str]) -> Iterator[Row]:
        number = 0
        with _arrow_faults(path, "a dataset that save_to_disk wrote"):
            columns = [name for name in dataset.column_names if name in needed]
            for batch in dataset.select_columns(columns).iter(_BATCH_ROWS):
                for cells in zip(*batch.values(), strict=True):
                    number += 1
                    yield number, _with_names(dict(zip(batch, cells, strict=True)), names)

    return Table(tuple(dataset.column_names), len(dataset), "row", read)


def _class_names(features: Features) -> dict[str, list[str]]:
    """Return the class names of the columns that hold numbers of classes, or lists of them."""
    from datasets import ClassLabel

    inner = {name: getattr(feature, "feature", feature) for name, feature in features.items()}
    return {name: feature.names for name, feature in inner.items() if isinstance(feature, ClassLabel)}


def _with_names(values: dict[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    for column in names.keys() & values.keys():
        value = values[column]
        known = names[column]
        numbers = value if isinstance(value, list) else [value]
        found = [known[number] if number is not None and 0 <= number < len(known) else None for number in numbers]
        values[column] = found if isinstance(value, list) else found[0]
    return values
