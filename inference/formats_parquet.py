"""Parquet in and out, by pyarrow, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .columns import ReadOptions, check_header, to_record
from .formats_bytes import missing
from .record import Record
from .rejected import STDIN, Place, Rejected
from .sources import Source, file_size

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_MAX_ROWS = 32
_BATCH_BYTES = 1 << 22
_BUFFER = 1 << 16


def read_parquet(source: Source, options: ReadOptions) -> Iterator[Record | Rejected]:
    """Yield the article of each row, or what is wrong with it.

    Raises:
        Rejected: the file is damaged, or has no column with the text.
        WusumError: pyarrow is not installed.
    """
    if source.path == STDIN:
        raise Rejected(source.place, "Parquet cannot be read from a pipe; expected a file; save it and name that")
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise missing(f"{source.place}: is Parquet", "pyarrow") from None
    with source.open() as stream:
        try:
            file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER)
        except (pa.ArrowException, OSError) as fault:
            raise _damaged(source.place, fault) from None
        names = _wanted(file.schema_arrow, source.place, options)
        row = 0
        for group in range(file.num_row_groups):
            yield from _read_group(file, group, names, row, source, options)
            row += file.metadata.row_group(group).num_rows
            source.taken = file_size(source.path) * row // max(1, file.metadata.num_rows)
        if not row:
            yield Rejected(source.place, "no rows; expected one article a row; drop it or fill it")


def _damaged(place: Place, fault: Exception) -> Rejected:
    return Rejected(place, f"damaged or cut off Parquet ({_first_line(fault)}); expected a whole file; copy it again")


def _first_line(fault: Exception) -> str:
    return str(fault).split("\n")[0][:120]


def _wanted(schema: pa.Schema, place: Place, options: ReadOptions) -> list[str]:
    check_header(schema.names, place, options.columns)
    type_ = schema.field(options.columns.text).type
    if not _is_text(type_):
        raise Rejected(place, f"a column of {type_}; expected text; see --text-column", options.columns.text)
    if options.keep:
        if len(set(schema.names)) < len(schema.names):
            raise Rejected(place, "two columns of one name; expected each name once; rename one")
        return list(schema.names)
    columns = options.columns
    return [name for name in schema.names if name in (columns.text, columns.title, columns.id)]


def _read_group(
    file: ParquetFile, group: int, names: list[str], row: int, source: Source, options: ReadOptions
) -> Iterator[Record | Rejected]:
    import pyarrow as pa

    size = file.metadata.row_group(group)
    # Values of the usual size come many at a time, large ones one by one.
    rows = max(1, min(_MAX_ROWS, _BATCH_BYTES * size.num_rows // max(1, size.total_byte_size)))
    done = 0
    try:
        for batch in file.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
            for index in range(batch.num_rows):
                done += 1
                yield _read_row(batch, index, Place(source.path, row + done), options)
    except (pa.ArrowException, OSError) as fault:
        reason = f"damaged Parquet from this row on, {size.num_rows - done} rows lost ({_first_line(fault)})"
        yield Rejected(Place(source.path, row + done + 1), f"{reason}; expected a whole file; copy it again")


def _read_row(batch: pa.RecordBatch, index: int, place: Place, options: ReadOptions) -> Record | Rejected:
    import pyarrow as pa

    columns = options.columns
    try:
        row = {
            name: _value(batch.column(name)[index])
            for name in (columns.text, columns.title, columns.id)
            if name in batch.schema.names
        }
        own = {}
        if options.keep:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                value = column[index]
                # Other types stay Arrow's own, so that Parquet gets back exactly what it gave.
                own[name] = _value(value) if _is_text(value.type) or not value.is_valid else value
        return to_record(row, own, place, options)
    except UnicodeDecodeError:
        return Rejected(place, "not UTF-8; expected text; write the file again with text in UTF-8")
    except pa.ArrowException as fault:
        return Rejected(place, f"cannot be read ({_first_line(fault)}); mend it or drop the row")
    except Rejected as fault:
        return fault.bare()


def _value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        raise
    except ValueError:  # a time in nanoseconds, which Python's own types do not hold
        return str(value)


def _is_text(type_: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))
