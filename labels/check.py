"""Finds every fault of a labelled file, so that one pass shows all that needs mending."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .jsonl import Row, label_faults, number_faults, parse_row, read_lines, text_faults
from .taxonomy import Kind, Taxonomy


def check_file(path: Path, taxonomy: Taxonomy) -> Iterator[str]:
    """Yield the faults of a labelled JSON Lines file, ``path:line:field: ...``, in line order; none when it is sound.

    A row needs ``id``, ``text`` and, for each kind of label that the scheme has, ``topics`` or ``actors`` (lists of
    ids); ``title``, ``confidence`` and ``round`` are optional. Other fields are left alone.

    Raises:
        WusumError: the file cannot be read at all.

    Example:
        >>> list(check_file(Path("labelled.jsonl"), load_taxonomy()))  # doctest: +SKIP
        ["labelled.jsonl:7:actors: 'rusia' is not in scheme ...; did you mean 'russia'?"]
    """
    lines: dict[object, int] = {}
    empty = True
    for number, line in read_lines(path):
        empty = False
        row = parse_row(line)
        if isinstance(row, str):
            yield f"{path}:{number}:{row}"
            continue
        for fault in _row_faults(row, taxonomy):
            yield f"{path}:{number}:{fault}"
        row_id = row.get("id")
        if isinstance(row_id, str) and lines.setdefault(row_id, number) != number:
            yield f"{path}:{number}:id: {row_id!r} stands in line {lines[row_id]} already, expected once; remove one"
    if empty:
        yield f"{path}:1:json: the file is empty, expected one labelled article in a line; fill it"


def _row_faults(row: Row, taxonomy: Taxonomy) -> Iterator[str]:
    yield from text_faults(row, "id")
    yield from text_faults(row, "title", optional=True)
    yield from text_faults(row, "text")
    fields: tuple[tuple[str, Kind, tuple[str, ...]], ...] = (
        ("topics", "topic", taxonomy.topics),
        ("actors", "actor", taxonomy.actors),
    )
    for field, kind, ids in fields:
        if ids or field in row:
            yield from label_faults(row, field, taxonomy, kind)
    for field in ("confidence", "round"):
        yield from number_faults(row, field)
