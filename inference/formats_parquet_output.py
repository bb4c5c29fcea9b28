"""Parquet out: segments are streams of Arrow, because a Parquet file cannot be gone on with once its end is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .formats_output import tags_last, write_new
from .writers import Row, to_line

_GROUP_ROWS = 20_000
_GROUP_BYTES = 1 << 25
_MOST_EXACT = 1 << 53
_LABELS = pa.list_(pa.string())
_SENTENCE = pa.struct(
    [
        *(("field", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("text", pa.string())),
        ("weight", pa.float64()),
    ]
)
_TAG_TYPES = {
    **dict.fromkeys(("topics", "actors", "notes"), _LABELS),
    "scores": pa.map_(pa.string(), pa.float64()),
    "evidence": pa.map_(pa.string(), pa.list_(_SENTENCE)),
}


class ParquetForm:
    """Parquet; a column keeps the type that it had in Parquet, others become numbers, truth values or text.

    Lists and objects of JSON stand as JSON in a text, and so does a column whose rows disagree about its type.

    Example:
        >>> ParquetForm().seamless
        False
    """

    seamless = False  # what type a column has is found out segment by segment

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return one segment."""
        if not rows:
            return b""
        names = tags_last({name: None for row in rows for name in row})
        table = pa.table({_whole(name): _column(name, [row.get(name) for row in rows]) for name in names})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return bytes(sink.getvalue())

    def finish(self, segments: Path, target: Path) -> None:
        """Give all segments one schema and write them as one file."""
        types: dict[str, set[pa.DataType]] = {}
        wide: set[str] = set()
        for batch in _batches(segments):
            for field, column in zip(batch.schema, batch.columns, strict=True):
                types.setdefault(field.name, set()).add(field.type)
                if _is_wide(column):
                    wide.add(field.name)
        schema = pa.schema([(name, _common(types[name], name in wide)) for name in tags_last(dict.fromkeys(types))])

        def write(file: IO[bytes]) -> None:
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for table in _groups(segments, schema):
                    writer.write_table(table)

        write_new(target, write)
        segments.unlink()


def _column(name: str, values: list[Any]) -> pa.Array:
    if name in _TAG_TYPES:
        if pa.types.is_map(_TAG_TYPES[name]):
            values = [list(value.items()) for value in values]
        return pa.array(values, _TAG_TYPES[name])
    found = {value.type if isinstance(value, pa.Scalar) else type(value) for value in values if value is not None}
    arrow = [each for each in found if isinstance(each, pa.DataType)]
    if len(found) == 1 and arrow and not pa.types.is_dictionary(arrow[0]):
        return pa.array(values, arrow[0])
    plain = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    type_ = plain.get(next(iter(found))) if len(found) == 1 else pa.float64() if found == {int, float} else None
    if not found:
        return pa.nulls(len(values))
    try:
        if type_ is not None:
            return pa.array(values, type_)
    except (OverflowError, pa.ArrowInvalid):  # a whole number of more than 64 bits
        pass
    return pa.array([_as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(json.loads(to_line({"": value}))[""], ensure_ascii=False)
    return _whole(text)


def _whole(text: str) -> str:
    """Return the text with a question mark for each half of a surrogate pair, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _common(types: set[pa.DataType], wide: bool) -> pa.DataType:
    known = types - {pa.null()}
    if len(known) == 1:
        return next(iter(known))
    return pa.float64() if known == {pa.int64(), pa.float64()} and not wide else pa.string()


def _is_wide(column: pa.Array) -> bool:
    """Whether a whole number stands in it that no float holds: an id must not lose its last digits."""
    if column.type != pa.int64():
        return False
    ends = pc.min_max(column)
    return any(end is not None and abs(end) > _MOST_EXACT for end in (ends["min"].as_py(), ends["max"].as_py()))


def _batches(segments: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(segments)) as file:
        size = file.size()
        while file.tell() < size:
            with pa.ipc.open_stream(file) as stream:
                yield from stream


def _groups(segments: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in _batches(segments):
        fitted = _fit(batch, schema)
        waiting.append(fitted)
        rows += fitted.num_rows
        size += fitted.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _fit(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        position = batch.schema.get_field_index(field.name)
        column = pa.nulls(batch.num_rows, field.type) if position < 0 else batch.column(position)
        if column.type != field.type:
            column = _as_type(column, field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_type(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if pa.types.is_null(column.type) or not pa.types.is_string(type_):
        return column.cast(type_)
    return pa.array([_as_text(value if value.is_valid else None) for value in column], type_)
