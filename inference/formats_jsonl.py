"""Articles out of JSON lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .columns import TOO_LONG, ReadOptions, kind, to_record
from .formats_bytes import decode, lines
from .record import Record
from .rejected import Place, Rejected
from .sources import Source


def read_json_lines(chunks: Iterable[bytes], source: Source, options: ReadOptions) -> Iterator[Record | Rejected]:
    """Yield the article of each line that is not blank, or what is wrong with it.

    Example:
        >>> next(read_json_lines([b'{"text": "a", "id": "x"}'], Source("-"), ReadOptions())).key
        {'id': 'x'}
    """
    empty = True
    for number, line in enumerate(lines(chunks), start=1):
        if line is not None and not line.removeprefix(codecs.BOM_UTF8).strip():
            continue
        empty = False
        try:
            yield _read_line(line, Place(source.path, number), options)
        except Rejected as fault:
            yield fault.bare()
    if empty:
        yield Rejected(source.place, "no lines; expected one JSON object a line; drop it or fill it")


def _read_line(line: bytes | None, place: Place, options: ReadOptions) -> Record:
    if line is None:
        raise Rejected(place, TOO_LONG)
    row = _parse(decode(line.removeprefix(codecs.BOM_UTF8), place, "byte of the line"), place)
    return to_record(row, row, place, options)


def _parse(text: str, place: Place) -> Mapping[str, Any]:
    advice = "expected one JSON object a line; "
    advice += "join an object that is spread over lines with: jq -c ." if text.strip() in "{[" else "mend it or drop it"
    try:
        data = json.loads(text)
    except RecursionError:
        raise Rejected(place, "nested too deeply; expected a flat JSON object; drop the line") from None
    except json.JSONDecodeError as fault:
        raise Rejected(place, f"not JSON ({fault.msg} at column {fault.colno}); {advice}") from None
    except ValueError:
        raise Rejected(place, f"not JSON that can be read (a number of too many digits); {advice}") from None
    if not isinstance(data, dict):
        raise Rejected(place, f"is {kind(data)}; {advice}")
    return data
