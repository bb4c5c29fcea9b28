"""JSON Lines with line numbers: reading them (plain, .gz, .xz) and naming what is wrong with a row."""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final, cast

from .errors import WusumError
from .taxonomy import Kind, Taxonomy

JSONL_SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.xz")

Row = Mapping[str, object]


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number (from 1) and the bytes of every line that is not blank, holding one line at a time.

    Raises:
        WusumError: the file is missing, may not be read, or its compression is broken.
    """
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WusumError(f"{path}: cannot read: {reason}; expected a sound .jsonl, .jsonl.gz or .jsonl.xz") from error


def parse_row(line: bytes) -> Row | str:
    """Return the JSON object of a line, or the words that say why it is none."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return "json: not UTF-8, expected UTF-8 text; convert the file"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        problem = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", "number too long")
        return f"json: {problem}, expected one JSON object in a line; mend the line"
    if not isinstance(row, dict):
        return f"json: expected an object, got {type_name(row)}; write one object in a line"
    return cast(Row, row)


def rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield number and object of every line; raises WusumError at the first line that is no JSON object."""
    for number, line in read_lines(path):
        row = parse_row(line)
        if isinstance(row, str):
            raise WusumError(f"{path}:{number}:{row}")
        yield number, row


def text_faults(row: Row, field: str, *, optional: bool = False) -> Iterator[str]:
    """Yield what is wrong with a field that should hold text; an optional one may be missing or null."""
    value = row.get(field)
    if value is None and optional:
        return
    if field not in row:
        yield f"{field}: missing, expected text; add the field or drop the line"
    elif not isinstance(value, str):
        yield f"{field}: expected text, got {type_name(value)}; mend the field"
    elif not value.strip() and not optional:
        yield f"{field}: empty, expected text; fill the field or drop the line"


def number_faults(row: Row, field: str) -> Iterator[str]:
    """Yield what is wrong with an optional field that should hold a whole number."""
    value = row.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        yield f"{field}: expected a whole number, got {type_name(value)}; mend the field"


def label_faults(row: Row, field: str, taxonomy: Taxonomy, kind: Kind | None) -> Iterator[str]:
    """Yield what is wrong with a field that should list label ids of one kind (None: of any kind)."""
    value = row.get(field)
    if field not in row:
        yield f"{field}: missing, expected a list of label ids; write [] for none"
        return
    if not isinstance(value, list):
        yield f"{field}: expected a list of label ids, got {type_name(value)}; write a list"
        return
    for position, item in enumerate(value):
        if item not in taxonomy.ids:
            yield f"{field}: {taxonomy.unknown(item)}"
        elif kind is not None and taxonomy[item].kind != kind:
            yield f"{field}: {item!r} is of kind {taxonomy[item].kind}, expected a {kind}; move it"
        elif item in value[:position]:
            yield f"{field}: {item!r} given twice, expected once; remove one"


def type_name(value: object) -> str:
    """Return the JSON name of a value's type, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".xz":
        return cast(IO[bytes], lzma.open(path, "rb"))
    return path.open("rb")
