"""From bytes to articles: text files and JSON lines, streamed, every fault told and none fatal to its neighbours."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..labels.errors import WusumError
from .article import Article
from .sources import Source, cannot_read, shown

MAX_BYTES = 2_000_000  # of one article; a longer "article" is a dump in the wrong place
_CHUNK = 1 << 16
_MAX_CONTROL_SHARE = 0.1
_CONTROLS = bytes(sorted({*range(32), 127} - set(b"\t\n\v\f\r")))
_JSON_LINE = re.compile(rb'^(?:\xef\xbb\xbf)?[ \t]*\{\s*"', re.MULTILINE)  # then only single lines are binary
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Fields:
    """Names of the fields of a JSON line."""

    text: str = "text"
    title: str = "title"
    id: str = "id"


@dataclass(frozen=True)
class Record:
    """One article as read.

    Attributes:
        article: a page (a string, furniture included) or an ``Article`` that came in fields.
        key: what the output calls it: ``{"id": ...}`` where the input has an id, otherwise ``{"path": ...}``.
        where: what messages call it.
    """

    article: str | Article
    key: Mapping[str, str | int]
    where: str


def read_records(source: Source, fields: Fields = Fields()) -> Iterator[Record | WusumError]:
    """Yield the articles of one input in constant memory; a fault stands as a value in the place of its article.

    UTF-8 with or without a byte-order mark, and UTF-16 with one, are read. An input whose name does not tell is taken
    for JSON lines when its first character that is no white space is ``{``.

    Example:
        >>> [str(fault) for fault in read_records(Source("no/such.txt"))]
        ['no/such.txt: no such file or folder; the folder no does not exist either; check the path']
    """
    where = source.where
    try:
        with source.open() as stream:
            head, chunks = _peek(_as_utf8(_chunks(stream)))
            if _is_binary(head) and not _JSON_LINE.search(head):
                raise _binary(where)
            lines = source.json_lines
            if lines or (lines is None and head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")):
                yield from _read_lines(chunks, source, fields)
            else:
                yield Record(_read_page(chunks, where), {"path": source.key}, where)
    except WusumError as fault:
        yield fault
    except UnicodeDecodeError as fault:
        yield WusumError(f"{where}: damaged UTF-16 ({fault.reason}); expected whole characters; save it as UTF-8")
    except OSError as fault:
        yield cannot_read(source.path, fault)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    # read1 hands over what a pipe holds already instead of waiting for a full chunk.
    read = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK):
        yield chunk


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 2:
            break
    if not head.startswith(_UTF16_MARKS):
        yield from itertools.chain([head], chunks) if head else ()
        return
    decoder = codecs.getincrementaldecoder("utf-16")()
    for chunk in itertools.chain([head], chunks):
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return what comes up to the first character that is no white space, and the whole stream again."""
    head = b""
    for chunk in chunks:
        head += chunk
        if head.removeprefix(codecs.BOM_UTF8).strip() or len(head) > MAX_BYTES:
            break
    return head, itertools.chain([head], chunks) if head else chunks


def _read_page(chunks: Iterable[bytes], where: str) -> str:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > MAX_BYTES:
            raise WusumError(f"{where}: over 2 MB; expected one article; put many into a .jsonl file, one a line")
    if not data:
        raise WusumError(f"{where}: empty; expected the text of an article; drop it or fill it")
    text = _decode(bytes(data), where, "byte")
    if _is_blank(text):
        raise WusumError(f"{where}: only white space; expected the text of an article; drop it or fill it")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_lines(chunks: Iterable[bytes], source: Source, fields: Fields) -> Iterator[Record | WusumError]:
    empty = True
    for number, line in enumerate(_lines(chunks), start=1):
        where = f"{source.where}:{number}"
        if line is not None and not line.removeprefix(codecs.BOM_UTF8).strip():
            continue
        empty = False
        try:
            yield _read_line(line, where, f"{source.key}:{number}", fields)
        except WusumError as fault:
            yield fault
    if empty:
        yield WusumError(f"{source.where}: no lines; expected one JSON object a line; drop it or fill it")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield the lines; None in the place of one that is too long, which is never held in memory."""
    line = bytearray()
    over = False
    for chunk in chunks:
        for index, piece in enumerate(chunk.split(b"\n")):
            if index:
                yield None if over else bytes(line)
                line.clear()
                over = False
            if not over:
                line += piece
                over = len(line) > MAX_BYTES
            if over:
                line.clear()
    if over or line:
        yield None if over else bytes(line)


def _read_line(line: bytes | None, where: str, path: str, fields: Fields) -> Record:
    if line is None:
        raise WusumError(f"{where}: over 2 MB; expected one article a line; split it or drop it")
    data = _parse(_decode(line.removeprefix(codecs.BOM_UTF8), where, "byte of the line"), where)
    text = _string(data, fields.text, where)
    if text is None:
        has = ", ".join(shown(name)[:30] for name in itertools.islice(data, 6)) or "none"
        raise WusumError(f"{where}:{fields.text}: missing; expected a string (fields here: {has}); see --text-field")
    if _is_blank(text):
        raise WusumError(f"{where}:{fields.text}: empty; expected the text of an article; drop the line or fill it")
    title = _string(data, fields.title, where)
    title = None if title is None or _is_blank(title) else title
    identity = data.get(fields.id)
    if isinstance(identity, int) and not isinstance(identity, bool):
        return Record(Article(text, title, str(identity)), {"id": identity}, where)
    name = _string(data, fields.id, where) or None
    return Record(Article(text, title, name), {"path": path} if name is None else {"id": name}, where)


def _parse(text: str, where: str) -> Mapping[str, Any]:
    advice = "expected one JSON object a line; "
    advice += "join an object that is spread over lines with: jq -c ." if text.strip() in "{[" else "mend it or drop it"
    try:
        data = json.loads(text)
    except RecursionError:
        raise WusumError(f"{where}: nested too deeply; expected a flat JSON object; drop the line") from None
    except json.JSONDecodeError as fault:
        raise WusumError(f"{where}: not JSON ({fault.msg} at column {fault.colno}); {advice}") from None
    except ValueError:
        raise WusumError(f"{where}: not JSON that can be read (a number of too many digits); {advice}") from None
    if not isinstance(data, dict):
        raise WusumError(f"{where}: is {_kind(data)}; {advice}")
    return data


def _string(data: Mapping[str, Any], field: str, where: str) -> str | None:
    value = data.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise WusumError(f"{where}:{field}: is {_kind(value)}; expected a string; mend it or drop the line")
    try:
        value.encode()
    except UnicodeEncodeError as fault:
        raise WusumError(
            f"{where}:{field}: half a surrogate pair at character {fault.start}; expected text; mend the \\u escape"
        ) from None
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _decode(data: bytes, where: str, place: str) -> str:
    if _is_binary(data):
        raise _binary(where)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as fault:
        windows = _looks_like_windows_1256(data)
        guess = "looks like Windows-1256; convert it" if windows else "convert it; if it is Windows-1256"
        raise WusumError(
            f"{where}: not UTF-8 at {place} {fault.start}; expected UTF-8; {guess}: iconv -f WINDOWS-1256 -t UTF-8"
        ) from None


def _is_binary(data: bytes) -> bool:
    controls = len(data) - len(data.translate(None, _CONTROLS))
    return b"\0" in data or controls > _MAX_CONTROL_SHARE * len(data)


def _binary(where: str) -> WusumError:
    return WusumError(f"{where}: binary data; expected text; convert it to UTF-8 text or leave it out")


def _looks_like_windows_1256(data: bytes) -> bool:
    high = [c for c in data[:_CHUNK].decode("cp1256", "replace") if c > "\x7f"]
    return len(high) >= 4 and sum("\u0621" <= c <= "\u064a" for c in high) > 0.7 * len(high)


def _is_blank(text: str) -> bool:
    """Whether nothing can be seen: white space, direction marks and control characters only."""
    return not any(c.isprintable() and not c.isspace() for c in text)
