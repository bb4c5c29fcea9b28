"""Finds every fault of a labelled file, so that one pass shows all that needs mending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from .jsonl import Row, label_faults, number_faults, parse_row, read_lines, text_faults
from .taxonomy import Kind, Taxonomy

LABEL_SEPARATOR: Final = ";"


def check_file(path: Path, taxonomy: Taxonomy) -> Iterator[str]:
    """Yield the faults of a labelled JSON Lines file, ``path:line:field: ...``, in line order; none when it is sound.

    A row needs ``id`` (text or a whole number), ``text`` and ids of labels: ``topics`` and ``actors`` (lists, or one
    text with ``;`` between the ids), for each kind of label that the scheme has. One of the two may be missing or null
    in a row: those labels were not judged there; but the file must have the field. ``title``, ``confidence`` and
    ``round`` are optional. Other fields are left alone.

    Raises:
        WusumError: the file cannot be read at all.

    Example:
        >>> list(check_file(Path("labelled.jsonl"), load_taxonomy()))  # doctest: +SKIP
        ["labelled.jsonl:7:actors: 'rusia' is not in scheme ...; did you mean 'russia'?"]
    """
    lines: dict[object, int] = {}
    empty = True
    absent = [field for field, _, ids in _label_fields(taxonomy) if ids]
    for number, line in read_lines(path):
        empty = False
        row = parse_row(line)
        if isinstance(row, str):
            yield f"{path}:{number}:{row}"
            continue
        absent = [field for field in absent if field not in row]
        row = with_text_id(row, "id")
        for fault in _row_faults(row, taxonomy):
            yield f"{path}:{number}:{fault}"
        row_id = row.get("id")
        if isinstance(row_id, str) and lines.setdefault(row_id, number) != number:
            yield f"{path}:{number}:id: {row_id!r} stands in line {lines[row_id]} already, expected once; remove one"
    if empty:
        yield f"{path}:1:json: the file is empty, expected one labelled article in a line; fill it"
    elif lines and len(absent) == 1:  # where both are absent every row has told
        yield f"{path}:{absent[0]}: no row has this field, expected a list of label ids; add it to the judged rows"


def with_text_id(row: Row, field: str) -> Row:
    """Return the row with an id that is a whole number written as text."""
    value = row.get(field)
    return {**row, field: str(value)} if isinstance(value, int) and not isinstance(value, bool) else row


def as_label_list(value: object, separator: str = LABEL_SEPARATOR) -> object:
    """Return the ids of a cell of text as a list; what is no text is returned as it is.

    Example:
        >>> as_label_list("economy; energy"), as_label_list(""), as_label_list(None)
        (['economy', 'energy'], [], None)
    """
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(separator) if part.strip()]


def unjudged_fault(fields: Sequence[str]) -> str:
    """Return the words about a row that has none of its label fields."""
    first, *others = fields
    also = f", and {' and '.join(others)} too" if others else ""
    return f"{first}: missing{also}, expected a list of label ids; write [] for none"


def _label_fields(taxonomy: Taxonomy) -> tuple[tuple[str, Kind, tuple[str, ...]], ...]:
    return ("topics", "topic", taxonomy.topics), ("actors", "actor", taxonomy.actors)


def _row_faults(row: Row, taxonomy: Taxonomy) -> Iterator[str]:
    yield from text_faults(row, "id")
    yield from text_faults(row, "title", optional=True)
    yield from text_faults(row, "text")
    fields = _label_fields(taxonomy)
    if all(row.get(field) is None for field, _, ids in fields if ids):
        yield unjudged_fault([field for field, _, ids in fields if ids])
    for field, kind, _ in fields:
        value = as_label_list(row.get(field))
        if value is not None:
            yield from label_faults({field: value}, field, taxonomy, kind)
    for field in ("confidence", "round"):
        yield from number_faults(row, field)
