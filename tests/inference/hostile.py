"""Hostile articles, and files of every form that hold them among sane ones."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

from wusum.inference.article import Article
from wusum.inference.formats_bytes import MAX_BYTES
from wusum.inference.prediction import Prediction

from .tag_runs import StubTagger, packed

STORY = "اجتمع الوزراء يوم الاثنين في جنيف لبحث الأزمة، وقال الوزير إن المحادثات كانت مفيدة وإنها ستستمر غدا."
MEGABYTE = 1024  # in the unit in which the system tells peaks of memory
_CPU_SECONDS = 120  # guards against hanging; of the processor, not of the clock, because other work may run beside
_MARK = re.compile(r"sane-\d+")
_DEEP = "[" * 3000 + "]" * 3000

VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            " \n\t",
            "\u00a0\u200f\u200b",
            "ا",
            "x",
            "\0",
            "نص\0نص",
            "\ud800",
            "نص\udfff",
            "😀🎉" * 50,
            "\u202e\u2066" * 50,
        ]
    ),
    st.sampled_from(
        ["نص text текст 文字", "\u064e\u0654" * 2000, "\ufdfa" * 500, "'\"", 'a";b\tc|d,e', "=1+1", "\r", "\x85ا"]
    ),
    st.sampled_from(["<b>" * 20_000, "&amp;" * 20_000, _DEEP, '{"a":' * 3000, "\n" * 20_000 + "ا", "ا\n" * 20_000]),
    st.sampled_from(["س" * (MAX_BYTES // 2), "س" * (MAX_BYTES // 2 + 1)]),
    st.text(st.characters(), max_size=60),
)
"""Texts that nobody wrote to be read. The largest is one character over the limit."""

_JSON_LINES = (
    *(b"nonsense", b"{", b"[1]", b"null", b'"text"', b"{}", b'{"text": 1}', b'{"text": ["a"]}', b'{"text": "a"}{}'),
    *(b'{"text": "\xff"}', b'{"text": "\x00"}', b"\x00" * 50, b'{"text": "\\ud800"}', b'{"text": "a", "id": 1.5}'),
    *(
        b"[" * 100_000,
        b'{"text":' * 100_000,
        b'{"text": "a", "n": ' + b"1" * 5000 + b"}",
        b'{"text": "' + b"a" * MAX_BYTES,
    ),
    *(b'{"text": "a", "text": "b", "n": NaN}', b'{"text": "a", "topics": {"x": [[]]}, "": 0, "\\ud800": "\\udfff"}'),
)
_ROWS = (
    *(b'2,"a"b,c', b'2,"not closed,a', b"2;a;b", b"2,a", b"2,a,b,c", b"2|a|b", b"\xff\xfe,a,b", b"2,a,\x00", b"2,,"),
    *("2,عنوان,قال الوزير".encode("cp1256"), b"2,a," + b"x" * MAX_BYTES, b"," * 100_000, b'2,"""",""""'),
)
"""What stands where a line of JSON, or a row of CSV with three columns, should; each is one fault or one article."""

WHOLE: tuple[tuple[str, bytes], ...] = (
    *(
        ("a.txt", b""),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0"),
        ("a.txt", STORY.encode("utf-32")),
        ("a.txt", STORY.encode("cp1256")),
    ),
    *(("a.txt", b"\xff\xfe\xd8"), ("a.txt.gz", b"\x1f\x8b\x08\0garbage"), ("a.txt.zst", b"\x28\xb5\x2f\xfd\0garbage")),
    *(("a.jsonl", b""), ("a.jsonl", b"\n \n"), ("a.jsonl", bytes(range(256)) * 50), ("a.jsonl", b"PAR1" + b"\0" * 50)),
    *(
        ("a.csv", b""),
        ("a.csv", b"id^title^text\n1^a^b\n2^a^b\n"),
        ("a.csv", b"id,txet\n1,a\n"),
        ("a.csv", b"text,text\na,b\n"),
    ),
    *(
        ("a.tsv", b"\0"),
        ("a.csv", b'"'),
        ("a.parquet", b""),
        ("a.parquet", b"PAR1PAR1"),
        ("a.parquet", b"id,text\n1,a\n"),
    ),
    *(
        ("a.html", b"<html></html>"),
        ("a.html", b"<html>" + b"<b>" * 60_000),
        ("a.html", b"<html>\0"),
        ("a.html", b"<p>\xff</p>"),
    ),
)
"""Files that hold no article: each is one fault."""


class Place(NamedTuple):
    """Where a hostile article stands, as the list of rejected inputs names it."""

    file: str
    line: int | None


class Input(NamedTuple):
    """A path for `wusum tag`, and what it must make of it.

    Attributes:
        path: a file, a folder, or ``-``.
        content: what standard input gives.
        sane: the marks of the sane articles, in order.
        hostile: the places of the others.
        broken: the file that ends too early: a fault must tell so, and articles behind it may be lost.
    """

    path: str
    content: bytes
    sane: list[str]
    hostile: list[Place]
    broken: str | None = None


class MarkingTagger(StubTagger):
    """Notes the marks that stand in a text."""

    def predict(self, article: str | Article, *, evidence: bool = False) -> Prediction:
        text = article if isinstance(article, str) else article.text
        return Prediction(("diplomacy",), (), {"diplomacy": 0.9}, tuple(_MARK.findall(text)))


Row = tuple[str, ...] | bytes  # the cells of id, title and text, or a whole line
Draw = Callable[[st.SearchStrategy[Any]], Any]


def inputs(draw: Draw, folder: Path) -> list[Input]:
    """Draw one to three inputs of any form, at most one of them standard input, and write them."""
    fresh = (f"sane-{number}" for number in range(1000))
    makers = draw(st.lists(st.sampled_from([_pages, _table, _whole]), min_size=1, max_size=3))
    found = [make(draw, folder / str(number), fresh) for number, make in enumerate(makers)]
    if draw(st.booleans()):
        found.insert(draw(st.integers(0, len(found))), _standard_input(draw, fresh))
    return found


def _pages(draw: Draw, folder: Path, marks: Iterator[str]) -> Input:
    """A folder of pages, some of them packed."""
    folder.mkdir()
    sane, hostile = [], []
    for number in range(draw(st.integers(1, 4))):
        suffix, packing = (
            draw(st.sampled_from([".txt", ".html", ".htm"])),
            draw(st.sampled_from(["", "", ".gz", ".zst"])),
        )
        path = folder / f"{number}{suffix}{packing}"
        if draw(st.booleans()):
            sane.append(next(marks))
            text = f"عنوان الخبر الأول في هذا اليوم\n{sane[-1]} {STORY}\n{STORY}"
        else:
            hostile.append(Place(str(path), None))
            text = draw(VALUES)
        if suffix != ".txt":
            text = "<html><body><article><p>" + text.replace("\n", "</p><p>") + "</p></article></body></html>"
        path.write_bytes(packed(text.encode("utf-8", "surrogatepass"), packing))
    return Input(str(folder), b"", sane, hostile)


def _table(draw: Draw, folder: Path, marks: Iterator[str]) -> Input:
    """A table of any form; a packed one, and Parquet, may be cut."""
    folder.mkdir()
    form = draw(st.sampled_from(["jsonl", "csv", "tsv", "parquet"]))
    packing = "" if form == "parquet" else draw(st.sampled_from(["", ".gz", ".zst"]))
    path = folder / f"a.{form}{packing}"
    data, sane, lines = _rows(draw, form, marks)
    data = packed(data, packing)
    cut = (packing or form == "parquet") and draw(st.booleans())
    path.write_bytes(data[: draw(st.integers(0, len(data) - 1))] if cut else data)
    hostile = [] if cut else [Place(str(path), line) for line in lines]
    return Input(str(path), b"", sane, hostile, str(path) if cut else None)


def _whole(draw: Draw, folder: Path, marks: Iterator[str]) -> Input:
    folder.mkdir()
    name, data = draw(st.sampled_from(WHOLE))
    (folder / name).write_bytes(data)
    return Input(str(folder / name), b"", [], [Place(str(folder / name), None)])


def _standard_input(draw: Draw, marks: Iterator[str]) -> Input:
    data, sane, lines = _rows(draw, "jsonl", marks)
    return Input("-", packed(data, draw(st.sampled_from(["", ".gz", ".zst"]))), sane, [Place("-", n) for n in lines])


def _rows(draw: Draw, form: str, marks: Iterator[str]) -> tuple[bytes, list[str], list[int]]:
    """Draw the rows of a table: its bytes, the marks of the sane ones, and the lines of the hostile ones."""
    raw = {"jsonl": _JSON_LINES, "csv": _ROWS}.get(form, ())
    sane, bad = [next(marks)], []
    rows: list[Row] = [("s", "عنوان", f"{sane[0]} {STORY}")]  # standard input is known for JSON lines by the first one
    for number in range(1, draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["sane", "value", "raw" if raw else "value"]))
        if kind == "sane":
            sane.append(next(marks))
            rows.append((f"s{number}", "عنوان", f"{sane[-1]} {STORY}"))
            continue
        bad.append(number)
        value, field = draw(VALUES), draw(st.sampled_from([0, 1, 2, 2, 2]))
        cells = tuple(value if field == place else usual for place, usual in enumerate(("h", "عنوان", "نص")))
        rows.append(draw(st.sampled_from(raw)) if kind == "raw" else cells)
    encode = {"jsonl": _json_lines, "csv": _csv, "tsv": _tsv, "parquet": _parquet}[form]
    data, begins = encode(rows)
    return data, sane, [begins[number] for number in bad]


def _json_lines(rows: Sequence[Row]) -> tuple[bytes, list[int]]:
    lines = [row if isinstance(row, bytes) else _json_line(row) for row in rows]
    return b"\n".join(lines), list(range(1, len(lines) + 1))


def _json_line(row: tuple[str, ...]) -> bytes:
    return json.dumps(dict(zip(("id", "title", "text"), row, strict=True))).encode()


def _csv(rows: Sequence[Row], delimiter: str = ",") -> tuple[bytes, list[int]]:
    parts, begins = [delimiter.join(("id", "title", "text")).encode() + b"\n"], []
    line = 2
    for row in rows:
        begins.append(line)
        parts.append(row + b"\n" if isinstance(row, bytes) else _csv_row(row, delimiter))
        line += parts[-1].count(b"\n")
    return b"".join(parts), begins


def _tsv(rows: Sequence[Row]) -> tuple[bytes, list[int]]:
    return _csv(rows, "\t")


def _csv_row(row: tuple[str, ...], delimiter: str) -> bytes:
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row)
    data = sink.getvalue().encode("utf-8", "surrogatepass")
    # Of a row over several lines that is no text, each line is a fault of its own: here it stands on one.
    return data if _is_text(data) else data[:-1].replace(b"\n", b" ") + b"\n"


def _is_text(data: bytes) -> bool:
    return not re.search(rb"[\0-\x08\x0e-\x1f\x7f]|\xed[\xa0-\xbf]", data)


def _parquet(rows: Sequence[Row]) -> tuple[bytes, list[int]]:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    names = ("id", "title", "text")
    # What is no UTF-8 stands there as it is: Arrow looks only when it is asked.
    columns = [[value.encode("utf-8", "surrogatepass") for value in column] for column in zip(*rows, strict=True)]
    arrays = [pa.array(column, pa.binary()).view(pa.string()) for column in columns]
    pq.write_table(pa.table(dict(zip(names, arrays, strict=True))), sink, row_group_size=3)
    return sink.getvalue(), list(range(1, len(rows) + 1))


def marks(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The marks that the rows of an output note, in their order."""
    return [mark for row in rows for mark in _MARK.findall(str(row["notes"]))]


_SMALL = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def from_a_small_process(argv: Sequence[str], peak: Path) -> list[str]:
    """Return a command line that runs another and writes its peak of memory, in kilobytes, into a file.

    A new process begins with the peak of the one that starts it, and the one that runs the tests is large.
    """
    return [sys.executable, "-c", _SMALL, str(peak), *argv]


def limit_time() -> None:
    """Let the system end this process after so much work; for a process that has just been started."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
