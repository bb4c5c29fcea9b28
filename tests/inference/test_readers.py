"""Inputs of every kind become articles or one clear fault each."""

from __future__ import annotations

import codecs
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wusum.inference.article import Article
from wusum.inference.columns import Columns, ReadOptions
from wusum.inference.formats_bytes import MAX_BYTES
from wusum.inference.readers import read_records
from wusum.inference.record import Record
from wusum.inference.rejected import Rejected, shown
from wusum.inference.sources import Source

from .hostile import limit_time

PAGE = "لقاء في جنيف\nاجتمع الوزراء يوم الاثنين."


def read(path: Path, options: ReadOptions | None = None) -> list[Record | Rejected]:
    return list(read_records(Source(str(path)), options or ReadOptions()))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def only_fault(path: Path) -> str:
    (item,) = read(path)
    assert isinstance(item, Rejected)
    assert "\n" not in str(item)
    return str(item).removeprefix(f"{path.parent}{os.sep}")


def only_record(path: Path) -> Record:
    (item,) = read(path)
    assert isinstance(item, Record), item
    return item


@pytest.mark.parametrize(
    "content",
    [
        PAGE.encode(),
        PAGE.encode("utf-8-sig"),
        PAGE.encode("utf-16"),
        b"\xfe\xff" + PAGE.encode("utf-16-be"),
        PAGE.replace("\n", "\r\n").encode(),
        PAGE.replace("\n", "\r").encode(),
    ],
    ids=["utf-8", "bom", "utf-16-le", "utf-16-be", "crlf", "cr"],
)
@pytest.mark.parametrize("name", ["a.txt", "a.text", "no_suffix"])
def test_a_text_file_is_a_page_whatever_its_encoding_and_line_ends(tmp_path: Path, name: str, content: bytes) -> None:
    record = only_record(write(tmp_path / name, content))
    assert record.article == PAGE
    assert record.key == {"path": str(tmp_path / name)}


def test_a_text_file_that_begins_with_a_brace_is_still_a_page(tmp_path: Path) -> None:
    assert only_record(write(tmp_path / "a.txt", '{"text": "نص"}')).article == '{"text": "نص"}'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "a.txt: empty; expected"),
        (b"\xef\xbb\xbf", "a.txt: only white space; expected"),
        (" \n\t\r\n\u00a0\u200f\u200b".encode(), "a.txt: only white space; expected"),
        (b"PK\x03\x04\x00\x00", "a.txt: binary data; expected text"),
        (b"\x01\x02\x03\x04abc", "a.txt: binary data; expected text"),
        (PAGE.encode("utf-16-le"), "a.txt: binary data; expected text"),
        (b"\xff\xfea\x00b", "a.txt: damaged UTF-16 (truncated data); expected"),
        (b"ab\xffcd", "a.txt: not UTF-8 at byte 2; expected UTF-8; convert it; if it is Windows-1256: iconv"),
        (
            "قال الوزير".encode("cp1256"),
            "a.txt: not UTF-8 at byte 0; expected UTF-8; looks like Windows-1256; convert it: iconv -f WINDOWS-1256",
        ),
        (b"\xef\xbb\xbfab\xffcd", "a.txt: not UTF-8 at byte 5; expected UTF-8;"),
        (b"a" * (MAX_BYTES + 1), "a.txt: over 2 MB; expected one article;"),
    ],
)
def test_what_is_no_text_is_told_with_reason_and_advice(tmp_path: Path, content: bytes, expected: str) -> None:
    assert only_fault(write(tmp_path / "a.txt", content)).startswith(expected)


def test_the_largest_article_is_read(tmp_path: Path) -> None:
    assert only_record(write(tmp_path / "a.txt", b"a" * MAX_BYTES)).article == "a" * MAX_BYTES


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nonsense", "not JSON (Expecting value at column 1); expected one JSON object a line; mend it or drop it"),
        ("{", "expected one JSON object a line; join an object that is spread over lines with: jq -c ."),
        ('["نص"]', "is an array; expected one JSON object a line"),
        ("null", "is null; expected one JSON object a line"),
        ("3", "is a number; expected one JSON object a line"),
        ('{"body": "نص", "x\\u001b[2J": 1}', "text: missing; expected a string (columns here: body, x\\x1b[2J); see"),
        ("{}", "text: missing; expected a string (columns here: none)"),
        ('{"text": null}', "text: missing; expected a string"),
        ('{"text": ["نص"]}', "text: is an array; expected a string"),
        ('{"text": true}', "text: is true or false; expected a string"),
        ('{"text": " \\n "}', "text: empty; expected the text"),
        ('{"text": "نص", "title": 5}', "title: is a number; expected a string"),
        ('{"text": "نص", "id": 1.5}', "id: is a number; expected a string"),
        ('{"text": "نص", "id": {}}', "id: is an object; expected a string"),
        ('{"text": "ab\\ud800c"}', "text: half a surrogate pair at character 2; expected text; mend the \\u escape"),
        ('{"text": "نص", "title": "\\udfff"}', "title: half a surrogate pair at character 0"),
        ('{"text": "نص", "id": "\\udfff"}', "id: half a surrogate pair at character 0"),
        ("[" * 100_000, "nested too deeply; expected a flat JSON object"),
        ('{"text": ' * 100_000, "nested too deeply; expected a flat JSON object"),
        ('{"text": "نص", "n": ' + "1" * 5000 + "}", "not JSON that can be read (a number of too many digits)"),
        ('{"text": "' + "a" * MAX_BYTES + '"}', "over 2 MB; expected one article a line"),
        (b'{"text": "\xff"}', "not UTF-8 at byte of the line 10; expected UTF-8"),
        (b'{"text": "\x00"}', "binary data; expected text"),
    ],
)
def test_a_bad_line_costs_itself_and_no_other(tmp_path: Path, line: str | bytes, expected: str) -> None:
    good = '{"text": "نص أول"}\n'.encode()
    bad = line.encode() if isinstance(line, str) else line
    first, fault, last = read(write(tmp_path / "a.jsonl", good + bad + b"\n" + good))
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert isinstance(fault, Rejected)
    assert str(fault).startswith(f"{tmp_path / 'a.jsonl'}:2:")
    assert expected in str(fault)
    assert "\n" not in str(fault)


def test_a_json_line_gives_a_clean_article_under_its_own_id(tmp_path: Path) -> None:
    lines = [
        {"id": "n-1", "title": "عنوان", "text": "نص"},
        {"id": 7, "title": "  ", "text": "نص"},
        {"id": None, "title": None, "text": "نص", "other": [1]},
        {"id": "", "text": "نص"},
    ]
    path = write(tmp_path / "a.jsonl", "\r\n\r\n".join(json.dumps(line) for line in lines))
    records = [item for item in read(path) if isinstance(item, Record)]
    assert [record.article for record in records] == [
        Article("نص", "عنوان", "n-1"),
        Article("نص", None, "7"),
        Article("نص"),
        Article("نص"),
    ]
    assert [record.key for record in records] == [
        {"id": "n-1"},
        {"id": 7},
        {"path": f"{path}:5"},
        {"path": f"{path}:7"},
    ]


def test_other_field_names_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"key": "k", "head": "عنوان", "body": "نص"}')
    (record,) = read(path, ReadOptions(Columns("body", "head", "key")))
    assert isinstance(record, Record)
    assert record.article == Article("نص", "عنوان", "k")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.NDJSON", "a.json", "no_suffix"])
def test_json_lines_are_known_by_name_or_first_character(tmp_path: Path, name: str, encoding: str) -> None:
    path = write(tmp_path / name, '\n {"text": "نص أول"}\n{"text": "نص ثان"}'.encode(encoding))
    assert [record.article for record in read(path) if isinstance(record, Record)] == [
        Article("نص أول"),
        Article("نص ثان"),
    ]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_json_lines_without_a_line_are_told(tmp_path: Path, content: bytes) -> None:
    assert only_fault(write(tmp_path / "a.jsonl", content)).startswith("a.jsonl: no lines; expected one JSON object")


def test_a_binary_file_named_jsonl_gives_one_fault_not_one_a_line(tmp_path: Path) -> None:
    fault = only_fault(write(tmp_path / "a.jsonl", bytes(range(256)) * 50))
    assert fault.startswith("a.jsonl: binary data; expected text")


class _Dribble(io.RawIOBase):
    """A stream without end, of one line."""

    def __init__(self, start: bytes, pieces: int) -> None:
        self._pieces: Iterator[bytes] = iter([start, *[b"a" * 65536] * pieces, b"\n", b'{"text": "b"}\n'])

    def read1(self, _size: int) -> bytes:
        return next(self._pieces, b"")

    def __enter__(self) -> _Dribble:
        return self


def test_memory_stays_bounded_however_long_a_line_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Dribble(b'{"text": "', pieces=3200)  # 200 MB
    monkeypatch.setattr(Source, "open", lambda _: stream)
    tracemalloc.start()
    fault, record = read_records(Source("a.jsonl"), ReadOptions())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(fault, Rejected)
    assert isinstance(record, Record)
    assert record.article == Article("b")
    assert peak < 5 * MAX_BYTES


_PEEK = """
import sys
sys.path[:] = {path!r}
from wusum.inference.formats_bytes import peek
blank = 1_900_000
head, chunks = peek(iter([{mark!r}, *[b" "] * blank, b"a", b"b"]))
assert head == {mark!r} + b" " * blank + b"a"
assert b"".join(chunks) == head + b"b"
assert len(peek(iter([b" "] * 3_000_000))[0]) == 2_000_001
"""


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_beginning_in_millions_of_blank_pieces_is_read_in_linear_time(mark: bytes) -> None:
    pytest.importorskip("resource")
    argv = [sys.executable, "-c", _PEEK.format(path=sys.path, mark=mark)]
    done = subprocess.run(argv, capture_output=True, check=False, preexec_fn=limit_time)
    assert done.returncode == 0, done.stderr


def test_a_page_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Dribble(b"", pieces=3200)
    monkeypatch.setattr(Source, "open", lambda _: stream)
    stream._pieces = iter(stream._pieces)
    next(stream._pieces)
    (fault,) = read_records(Source("a.txt"), ReadOptions())
    assert "over 2 MB" in str(fault)
    assert len(list(stream._pieces)) > 3000


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"{", b'{"text": "a']),
    st.sampled_from(["a.txt", "a.jsonl", "a"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_give_records_or_faults(tmp_path: Path, content: bytes, start: bytes, name: str) -> None:
    items = read(write(tmp_path / name, start + content))
    assert items
    for item in items:
        if isinstance(item, Rejected):
            assert "\n" not in str(item)
        else:
            text = item.article if isinstance(item.article, str) else item.article.text
            assert text.strip()
            text.encode()


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "article.txt", PAGE)
    assert only_fault(tmp_path / "artcle.txt").endswith(f"did you mean {tmp_path / 'article.txt'}?")
    assert only_fault(tmp_path / "zzz") == "zzz: no such file or folder; expected a file, a folder or -; check the path"
    assert "the folder" in only_fault(tmp_path / "none" / "a.txt")


def test_what_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Source) -> None:
        raise PermissionError(13, "Permission denied")

    assert "cannot be read (Is a directory)" in only_fault(tmp_path)
    assert "cannot be read (File name too long)" in only_fault(tmp_path / ("a" * 300))
    (fault,) = read_records(Source("a\0b"), ReadOptions())
    assert str(fault) == "a\\x00b: cannot be read (a NUL in its name); expected a readable file; check the path"
    monkeypatch.setattr(Source, "open", refuse)
    assert only_fault(tmp_path / "a.txt").startswith("a.txt: no permission to read it; expected a readable file")


def test_shown_names_stay_on_one_line_and_steer_no_terminal() -> None:
    assert shown("a\nb\x1b[2J\u202e.txt") == "a\\nb\\x1b[2J\\u202e.txt"
    assert shown("مقال.txt") == "مقال.txt"
    assert shown(os.fsdecode(b"\xff.txt")) == "\ufffd.txt"
    assert shown("") == "''"
