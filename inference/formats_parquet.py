"""Parquet in and out, by pyarrow, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .columns import TOO_LONG, ReadOptions, check_header, to_record
from .formats_bytes import MAX_BYTES, missing
from .record import Record
from .rejected import STDIN, Place, Rejected, shown
from .sources import Source, file_size

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_BUFFER = 1 << 16
_FRAME = 1 << 10  # what Arrow may need beside a value itself
_PATIENCE = 50_000_000_000  # bytes of values too long: a file of 2 KB can stand for hours of them


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
        row, patience = 0, _PATIENCE
        for group in range(file.num_row_groups):
            for item in _read_group(file, group, names, row, source, options):
                if isinstance(item, _TooLong):
                    patience -= item.size
                    if patience < 0:
                        told = "so many are, that the rows behind it are passed over"
                        yield Rejected(item.place, f"{item.reason}; {told}")
                        return
                yield item
            row += file.metadata.row_group(group).num_rows
            source.taken = file_size(source.path) * row // max(1, file.metadata.num_rows)
        if not row:
            yield Rejected(source.place, "no rows; expected one article a row; drop it or fill it")


class _TooLong(Rejected):
    """A value that is over 2 MB."""

    def __init__(self, place: Place, field: str, size: int) -> None:
        super().__init__(place, TOO_LONG, field)
        self.size = size


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

    rows, done = file.metadata.row_group(group).num_rows, 0
    try:
        # One by one: where a long value of a dictionary stands in many rows, two of them are twice as large already.
        for batch in file.iter_batches(1, row_groups=[group], columns=names, use_threads=False):
            done += 1
            item = _read_row(batch, Place(source.path, row + done), options)
            del batch  # it is out of memory when the next one comes
            yield item
    except (pa.ArrowException, OSError) as fault:
        reason = f"damaged Parquet from this row on, {rows - done} rows lost ({_first_line(fault)})"
        yield Rejected(Place(source.path, row + done + 1), f"{reason}; expected a whole file; copy it again")


def _read_row(batch: pa.RecordBatch, place: Place, options: ReadOptions) -> Record | Rejected:
    import pyarrow as pa

    columns = options.columns
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if (size := _size(column)) > MAX_BYTES + _FRAME:
            return _TooLong(place, shown(name)[:30], size)
    try:
        row = {
            name: _value(batch.column(name)[0])
            for name in (columns.text, columns.title, columns.id)
            if name in batch.schema.names
        }
        own = {}
        if options.keep:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                value = column[0]
                # Other types stay Arrow's own, so that Parquet gets back exactly what it gave.
                own[name] = _value(value) if _is_text(value.type) or not value.is_valid else value
        return to_record(row, own, place, options)
    except UnicodeDecodeError:
        return Rejected(place, "not UTF-8; expected text; write the file again with text in UTF-8")
    except pa.ArrowException as fault:
        return Rejected(place, f"cannot be read ({_first_line(fault)}); mend it or drop the row")
    except Rejected as fault:
        return fault.bare()


def _size(column: pa.Array) -> int:
    """Return how many bytes a column of one row takes; what else its dictionary holds does not count."""
    if hasattr(column, "dictionary"):
        return 0 if column.null_count else int(column.dictionary.slice(column.indices[0].as_py(), 1).nbytes)
    return int(column.nbytes)


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
