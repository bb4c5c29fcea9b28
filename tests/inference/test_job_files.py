"""Inputs and outputs of every form, and bad input of every kind beside good input."""

from __future__ import annotations

import contextlib
import csv
import datetime
import decimal
import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wusum.inference import cli, html_page, progress, tag_command
from wusum.inference.article import Article
from wusum.inference.choice import Choice
from wusum.inference.columns import Columns, ReadOptions
from wusum.inference.formats_bytes import MAX_BYTES
from wusum.inference.html_page import PageReader
from wusum.inference.prediction import Prediction
from wusum.inference.readers import read_records
from wusum.inference.record import Record
from wusum.inference.rejected import Rejected
from wusum.inference.sources import Source, find_sources
from wusum.labels import load_taxonomy

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
zstandard = pytest.importorskip("zstandard")

Capture = pytest.CaptureFixture[str]
STORY = "اجتمع الوزراء يوم الاثنين في جنيف لبحث الأزمة، وقال الوزير إن المحادثات كانت مفيدة وإنها ستستمر غدا."
HTML = f"""<html><head><title>لقاء في جنيف</title>
<meta property="article:published_time" content="2016-03-04T10:00:00Z"><meta name="author" content="Samir Haddad">
</head><body><nav><a href="/">الرئيسية</a></nav><article><h1>لقاء في جنيف</h1><p>{STORY}</p>
<p>وأضاف أن وفودا من عشر دول حضرت اللقاء الذي عقد في قصر الأمم، وأن البيان الختامي سيصدر مساء الثلاثاء.</p>
</article><footer>حقوق النشر محفوظة</footer></body></html>"""


class StubTagger:
    taxonomy = load_taxonomy()

    def predict(self, article: str | Article) -> Prediction:
        text = article if isinstance(article, str) else article.text
        scores = {"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7, "isis": 0.1}
        return Prediction(
            ("diplomacy", "terrorism"), ("russia",), scores, (text[:20].encode("utf-8", "replace").decode(),)
        )

    def stream(self, articles: Iterable[str | Article]) -> Iterator[Prediction]:
        return map(self.predict, articles)


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_command, "_load_tagger", lambda bundle, threads: StubTagger())
    entry = EntryPoint("tag", "wusum.inference.tag_command:COMMAND", cli.GROUP)
    monkeypatch.setattr(cli, "_entries", lambda: EntryPoints([entry]))


@pytest.fixture(scope="module")
def pages() -> Iterator[PageReader]:
    with PageReader() as pages:
        yield pages


def run(*argv: str | Path) -> int:
    return cli.main(["tag", *map(str, argv)])


def read(path: Path, options: ReadOptions | None = None, otherwise: Any = None) -> list[Record | Rejected]:
    return list(read_records(Source(str(path), otherwise), options or ReadOptions()))


def articles(path: Path, options: ReadOptions | None = None) -> list[str | Article]:
    items = read(path, options)
    assert all(isinstance(item, Record) for item in items), items
    return [item.article for item in items if isinstance(item, Record)]


def reason(path: Path, options: ReadOptions | None = None) -> str:
    (item,) = read(path, options)
    assert isinstance(item, Rejected)
    assert "\n" not in str(item)
    return item.reason


def packed(data: bytes, packing: str) -> bytes:
    if packing == ".zst":
        return bytes(zstandard.ZstdCompressor().compress(data))
    return gzip.compress(data) if packing == ".gz" else data


TWO = [Article("نص أول", "عنوان", "7"), Article("نص, ثان", None, "8")]


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,title,text\n7,عنوان,نص أول\n8,,"نص, ثان"\n'),
        ("a.csv", "\ufeffid;other;title;text\r\n7;x;عنوان;نص أول\r\n\r\n8;;;نص, ثان"),
        ("a.tsv", "text\tid\ttitle\nنص أول\t7\tعنوان\nنص, ثان\t8\t\n"),
        ("a.jsonl", '{"id": 7, "title": "عنوان", "text": "نص أول"}\n{"id": "8", "text": "نص, ثان"}'),
    ],
)
def test_tables_are_read_whatever_their_form_and_packing(tmp_path: Path, name: str, content: str, packing: str) -> None:
    path = tmp_path / (name + packing)
    path.write_bytes(packed(content.encode(), packing))
    assert articles(path) == TWO
    path = tmp_path / "no_suffix"  # the packing is known by the content
    path.write_bytes(packed(content.encode(), packing))
    form = "tsv" if name == "a.tsv" else name[2:]
    assert [item.article for item in read(path, otherwise=form) if isinstance(item, Record)] == TWO


def test_parquet_is_read_and_a_number_with_gaps_is_still_an_id(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["نص أول", "نص, ثان"], "id": [7.0, 8.0], "title": ["عنوان", None]}), path)
    records = read(path)
    assert [item.article for item in records if isinstance(item, Record)] == TWO
    assert [item.key for item in records if isinstance(item, Record)] == [{"id": 7}, {"id": 8}]


def test_members_of_gzip_and_frames_of_zstd_are_read_one_after_the_other(tmp_path: Path) -> None:
    for packing in (".gz", ".zst"):
        path = tmp_path / f"a.jsonl{packing}"
        path.write_bytes(b"".join(packed(f'{{"text": "t{i}"}}\n'.encode(), packing) for i in range(40)))
        assert articles(path) == [Article(f"t{i}") for i in range(40)]
        path.write_bytes(path.read_bytes()[:-5])
        assert "damaged" in str(read(path)[-1])
        path.write_bytes(path.read_bytes()[:30] + b"garbage" * 30)
        assert "damaged" in str(read(path)[-1])


def test_a_bomb_in_gzip_is_not_unpacked_beyond_an_article(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"a" * 50_000_000))
    tracemalloc.start()
    assert reason(path).startswith("over 2 MB")
    assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BYTES
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "empty"),
        ("id,txet\n1,a\n", "no such column (columns here: id, txet); expected a header that names it; did you mean"),
        ("id;Text\n1;a\n", "no such column (columns here: id, Text); expected a header that names it; did you mean"),
        ("text,text\na,b\n", "text: stands twice in the header"),
    ],
)
def test_a_table_without_its_columns_is_one_fault(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    assert expected in reason(tmp_path / "a.csv") or (expected == "empty" and "no rows" in reason(tmp_path / "a.csv"))


def test_a_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,headline,body\n1,h,a\n", encoding="utf-8")
    assert articles(tmp_path / "a.csv", ReadOptions(Columns("body", "headline"))) == [Article("a", "h", "1")]
    told = reason(tmp_path / "a.csv", ReadOptions(Columns("body", "headlines")))
    assert told.startswith("headlines: no such column")
    assert told.endswith("did you mean --title-column headline?")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    assert reason(tmp_path / "a.parquet") == "text: a column of int64; expected text; see --text-column"


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ('2,"a"b', "not a row of CSV"),
        ('2,"not closed', "not a row of CSV"),
        ("2;a", "1 columns where the header has 2; expected as many; look for another delimiter"),
        ("2,a,b", "3 columns where the header has 2"),
        ("2, ", "text: empty"),
        ("2,a\0", "binary data"),
    ],
)
def test_a_bad_row_of_csv_costs_itself_and_no_later_one(tmp_path: Path, bad: str, expected: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'id,text\n1,a\n{bad}\n3,"b\nc"\n4,"d"\n5,e\n', encoding="utf-8")
    items = read(path)
    ids = [item.key["id"] for item in items if isinstance(item, Record)]
    faults = [item for item in items if isinstance(item, Rejected)]
    assert ids == ["1", "3", "4", "5"]
    assert [fault.place.line for fault in faults] == [3]
    assert expected in faults[0].reason


def test_a_row_of_50_mb_is_passed_over_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b"id,text\n1,a\n2,")
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'\n3,b\n4,"')
        for _ in range(50):
            file.write(b"x" * 999_999 + b"\n")
        file.write(b'"\n5,c\n')
    tracemalloc.start()
    items = read(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * MAX_BYTES
    tracemalloc.stop()
    assert [item.key["id"] for item in items if isinstance(item, Record)] == ["1", "3", "5"]
    assert "over 2 MB" in str(items[1])


def test_a_cut_or_damaged_parquet_is_told_and_the_rest_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"نص {i} " + "كلمة " * 50 for i in range(300)]})
    pq.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert reason(path).startswith("damaged or cut off Parquet")
    middle = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(data[: middle + 2] + b"\xff" * 200 + data[middle + 202 :])
    items = read(path)
    good = [item for item in items if isinstance(item, Record)]
    assert len(good) >= 200
    assert any(isinstance(item, Rejected) for item in items)


def test_parquet_with_50_mb_in_one_field_is_read_around_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a", "b", "c"], "text": ["x", "y" * 50_000_000, "z"]}), path)
    first, fault, last = read(path)
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert "text: over 2 MB" in str(fault)


def test_html_gives_article_title_date_and_author(tmp_path: Path, pages: PageReader) -> None:
    path = tmp_path / "a.html"
    path.write_text(HTML, encoding="utf-8")
    options = ReadOptions(pages=pages)
    (record,) = read(path, options)
    assert isinstance(record, Record)
    assert isinstance(record.article, Article)
    assert record.article.title == "لقاء في جنيف"
    assert STORY in record.article.text
    assert "الرئيسية" not in record.article.text
    facts = {"title": "لقاء في جنيف", "date": "2016-03-04", "author": "Samir Haddad"}
    assert record.columns == {"path": str(path), **facts}
    (whole,) = articles(path, ReadOptions(clean="never", pages=pages))
    assert isinstance(whole, Article)
    assert "الرئيسية" in whole.text
    (page,) = articles(path, ReadOptions(clean="always", pages=pages))
    assert isinstance(page, str)
    assert page.startswith("لقاء في جنيف\n")
    (tmp_path / "old").write_bytes(HTML.replace("<head>", "<head><meta charset='windows-1256'>").encode("cp1256"))
    (old,) = articles(tmp_path / "old", options)
    assert isinstance(old, Article)
    assert STORY in old.text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<html>" + "<b>" * 60_000, "over 50,000 tags"),
        ("<html><body></body></html>", "no article in this HTML"),
        ("<html>" + "<div>" * 40_000, ""),
        ("<html>" + "&amp;" * 300_000, ""),
        ("<html>\0", "binary data"),
        ("<html>" + "x" * MAX_BYTES, "over 2 MB"),
    ],
)
def test_a_page_that_is_no_article_costs_itself(tmp_path: Path, pages: PageReader, content: str, expected: str) -> None:
    path = tmp_path / "a.html"
    path.write_text(content, encoding="utf-8")
    (item,) = read(path, ReadOptions(pages=pages))
    if expected:
        assert isinstance(item, Rejected)
        assert expected in item.reason


def test_a_page_that_takes_too_long_ends_its_reader_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb, good = tmp_path / "a.html", tmp_path / "b.html"
    attributes = " ".join(f"a{i}=1" for i in range(100_000))
    bomb.write_text(f"<html><p {attributes}>x</p></html>", encoding="utf-8")
    good.write_text(HTML, encoding="utf-8")
    with PageReader() as pages:
        options = ReadOptions(pages=pages)
        assert isinstance(read(good, options)[0], Record)
        monkeypatch.setattr(html_page, "MAX_SECONDS", 1.0)
        assert "HTML that takes over 1 seconds to read" in reason(bomb, options)
        monkeypatch.setattr(html_page, "MAX_SECONDS", 60.0)
        assert isinstance(read(good, options)[0], Record)


def test_clean_says_what_is_a_page(tmp_path: Path) -> None:
    page, table = tmp_path / "a.txt", tmp_path / "a.jsonl"
    page.write_text("عنوان\nنص", encoding="utf-8")
    table.write_text('{"text": "نص"}\n{"title": "عنوان", "text": "نص"}', encoding="utf-8")
    clean = [Article("نص"), Article("نص", "عنوان")]
    assert articles(page) == ["عنوان\nنص"]
    assert articles(table) == clean
    assert articles(page, ReadOptions(clean="always")) == ["عنوان\nنص"]
    assert articles(table, ReadOptions(clean="always")) == ["نص", "عنوان\nنص"]
    assert articles(page, ReadOptions(clean="never")) == [Article("عنوان\nنص")]
    assert articles(table, ReadOptions(clean="never")) == clean


def test_patterns_give_what_they_match(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "sub/c.jsonl", "out.jsonl", "out.jsonl.rejected.jsonl", "x[1].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")

    def found(pattern: str) -> list[str]:
        sources = find_sources([str(tmp_path / pattern)], leave_out=str(tmp_path / "out.jsonl"))
        return [str(source.place).removeprefix(f"{tmp_path}/") for source in sources if isinstance(source, Source)]

    assert found("*.jsonl") == ["b.jsonl"]
    assert found("**/*.jsonl") == ["b.jsonl", "sub/c.jsonl"]
    assert found("x[1].txt") == ["x[1].txt"]
    assert found("") == ["a.csv", "b.jsonl", "sub/c.jsonl"] or found("") == ["x[1].txt"]
    (fault,) = find_sources([str(tmp_path / "*.xml")])
    assert "no file matches" in str(fault)


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    data = path.read_bytes()
    data = zstandard.ZstdDecompressor().decompressobj().decompress(data) if path.suffix == ".zst" else data
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    text = data.decode("utf-8")
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if ".tsv" in path.name else ","))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst", ".tsv"])
def test_csv_out_joins_labels_by_bars(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / f"out{suffix}"
    source.write_text('{"id": 1, "text": "a"}\n{"text": "b", "topics": ["x"], "n": null}\n', encoding="utf-8")
    assert run(source, "-o", target) == 0
    tags = {"topics": "diplomacy|terrorism", "actors": "russia"}
    tags["scores"] = '{"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7}'
    assert rows_of(target) == [
        {"id": "1", "path": "", **tags, "notes": "a"},
        {"id": "", "path": f"{source}:2", **tags, "notes": "b"},
    ]
    assert run(source, "-o", target, "--force", "--keep-columns") == 0
    own = [
        {"id": "1", "text": "a", "input_topics": "", "n": ""},
        {"id": "", "text": "b", "input_topics": '["x"]', "n": ""},
    ]
    assert rows_of(target) == [{**mine, **tags, "notes": mine["text"]} for mine in own]


def test_parquet_keeps_the_types_of_its_own_columns(tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    columns = {
        "id": pa.array([1, 2], pa.int32()),
        "text": pa.array(["a", "b"]),
        "when": pa.array([datetime.datetime(2016, 3, 4), None], pa.timestamp("ns")),
        "price": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")], pa.decimal128(5, 2)),
        "blob": pa.array([b"\x00\xff", None]),
        "list": pa.array([[1, 2], []], pa.list_(pa.int16())),
        "record": pa.array([{"x": 1.5}, None]),
        "share": pa.array([float("nan"), 0.5]),
    }
    pq.write_table(pa.table(columns), source)
    assert run(source, "-o", target, "--keep-columns") == 0
    table = pq.read_table(target)
    assert table.select(list(columns)).schema.equals(pa.table(columns).schema)
    assert table.select([name for name in columns if name != "share"]).equals(pa.table(columns).drop(["share"]))
    assert table["topics"].to_pylist() == [["diplomacy", "terrorism"]] * 2
    assert dict(table["scores"].to_pylist()[0]) == {"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7}
    lines = tmp_path / "out.jsonl"
    assert run(source, "-o", lines, "--keep-columns") == 0
    first = rows_of(lines)[0]
    assert [first[name] for name in columns] == [
        1,
        "a",
        "2016-03-04 00:00:00",
        "1.50",
        "00ff",
        [1, 2],
        {"x": 1.5},
        None,
    ]


def test_parquet_out_settles_types_over_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wusum.inference import job

    monkeypatch.setattr(job, "_SEGMENT_ITEMS", 2)
    source, target = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    values: list[Any] = [1, 2, 3.5, None, True, "x", 2**70, [1, {"a": "ب"}], "\ud800"]
    lines = [{"text": "a", "n": i, "mixed": value} for i, value in enumerate(values)]
    lines[3]["late"] = 1
    source.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert run(source, "-o", target, "--keep-columns") == 0
    table = pq.read_table(target)
    assert table.schema.names == ["text", "n", "mixed", "late", "topics", "actors", "scores", "notes"]
    assert [str(table.schema.field(name).type) for name in ("n", "mixed", "late")] == ["int64", "string", "int64"]
    told = ["1", "2", "3.5", None, "true", "x", str(2**70), '[1, {"a": "ب"}]', "?"]
    assert table["mixed"].to_pylist() == told
    assert table["late"].to_pylist() == [None] * 3 + [1] + [None] * 5


def test_an_output_that_has_no_form_is_refused(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    for name, expected in (("t.xlsx", "no form of output has this suffix"), ("t.parquet.gz", "no form of output")):
        assert run(tmp_path / "a.txt", "-o", tmp_path / name) == 2
        assert expected in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "wusum.inference.formats_parquet_output", raising=False)
    for name in ("t.csv.zst", "t.parquet"):
        assert run(tmp_path / "a.txt", "-o", tmp_path / name) == 2
        assert "install it: pip install 'wusum[files]'" in capsys.readouterr().err
    (tmp_path / "a.parquet").touch()
    assert run(tmp_path / "a.parquet") == 2
    assert "is Parquet, which needs the package pyarrow" in capsys.readouterr().err


def test_html_without_trafilatura_is_one_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.html").write_text(HTML, encoding="utf-8")
    monkeypatch.setattr(html_page.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    assert run(tmp_path / "a.html") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("is HTML, which needs the package trafilatura; install it: pip install 'wusum[files]'")


def test_labels_top_and_scores_are_chosen(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}', encoding="utf-8")

    def tags(*options: str) -> tuple[list[str], dict[str, float]]:
        assert run(tmp_path / "a.jsonl", *options) == 0
        row = json.loads(capsys.readouterr().out)
        return row["topics"] + row["actors"], row["scores"]

    assert tags() == (
        ["diplomacy", "terrorism", "russia"],
        {"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7},
    )
    assert tags("--top", "2") == (["diplomacy", "russia"], {"diplomacy": 0.9, "russia": 0.7})
    assert tags("--labels", "terrorism, isis") == (["terrorism"], {"terrorism": 0.6})
    assert tags("--labels", "terrorism,isis", "--all-scores") == (
        ["terrorism"],
        {"terrorism": 0.6, "isis": 0.1},
    )
    assert len(tags("--all-scores")[1]) == 4
    assert run(tmp_path / "a.jsonl", "--labels", "rusia") == 2
    assert "did you mean 'russia'?" in capsys.readouterr().err
    assert Choice(top=1).apply(Prediction((), (), {"isis": 0.1})).scores == {}


def test_many_rejections_are_told_twenty_times_and_listed_all(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' + "x\n" * 50, encoding="utf-8")
    assert run(tmp_path / "a.jsonl", "-o", tmp_path / "tags.jsonl") == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 22
    assert err[20] == "wusum: more were rejected; from here on they are only counted"
    assert err[21].startswith("wusum: 50 of 51 inputs rejected, 1 tagged; reasons in ")
    listed = [json.loads(line) for line in (tmp_path / "tags.jsonl.rejected.jsonl").read_bytes().splitlines()]
    assert [(row["file"], row["line"]) for row in listed] == [(str(tmp_path / "a.jsonl"), i) for i in range(2, 52)]
    assert listed[0]["reason"].startswith("not JSON")
    (tmp_path / "tags.jsonl").unlink()
    assert run(tmp_path, "-o", tmp_path / "more.jsonl") == 1  # the list itself holds no articles
    assert capsys.readouterr().err.splitlines()[-1].startswith("wusum: 50 of 51 inputs rejected")


def test_a_line_a_minute_where_nobody_watches(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' * 5, encoding="utf-8")
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0)
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))  # type: ignore[attr-defined]
    assert run(tmp_path / "a.jsonl") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["wusum: 3 tagged"]


_DEEP = "[" * 3000 + "]" * 3000
_BAD = st.one_of(
    st.sampled_from(
        ["", " \n\t", "x", "\ud800", "a\0b", "نص text текст 文字", "😀🎉", "\u202e\u200f", "'\"", "a;b\tc|d"]
    ),
    st.text(max_size=50),
    st.sampled_from(["<b>" * 60_000, "<html><table>" * 3000, _DEEP, '{"a":' * 3000, "س" * 1_100_000]),
)
_FORMS = st.sampled_from(["a.txt", "a.html", "a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz", "a.csv.zst", "a"])


def damaged(name: str, text: str, cut: float, garbage: bytes) -> bytes:
    """A file that holds the text, of which a part may be missing or replaced."""
    form, packing = name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2], Path(name).suffix
    if form == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({"text": [text.encode("utf-8", "replace").decode(), "نص"]}), sink)
        data = sink.getvalue()
    elif form == "jsonl":
        data = json.dumps({"id": "x", "text": text, "n": [text]}).encode() + b"\n"
    elif form in ("csv", "tsv"):
        data = f'id,text\nx,"{text}"\ny;z\n'.encode("utf-8", "surrogatepass")
    else:
        data = text.encode("utf-8", "surrogatepass")
    data = packed(data, packing) if packing in (".gz", ".zst") else data
    middle = int(len(data) * cut)
    return data[:middle] + garbage + data[middle + len(garbage) :] if garbage else data[: middle or None]


@given(
    st.lists(st.tuples(_FORMS, _BAD, st.sampled_from([0, 0.5, 0.9]), st.binary(max_size=20)), min_size=1, max_size=4),
    st.sampled_from(["t.jsonl", "t.csv", "t.parquet"]),
    st.booleans(),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
def test_bad_input_of_any_kind_costs_itself_and_the_rest_is_tagged(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    pages: PageReader,
    bad: list[tuple[str, str, float, bytes]],
    output: str,
    keep: bool,
) -> None:
    monkeypatch.setattr(tag_command, "PageReader", lambda: contextlib.nullcontext(pages))
    folder = tmp_path_factory.mktemp("bad")
    good = folder / "good.jsonl"
    good.write_text('{"id": "good", "text": "نص"}', encoding="utf-8")
    paths = [good]
    for number, (name, *content) in enumerate(bad):
        (folder / str(number)).mkdir()
        paths.append(folder / str(number) / name)
        paths[-1].write_bytes(damaged(name, *content))
    (folder / "out").mkdir()
    target = folder / "out" / output
    code = run(*paths, good, "-o", target, *["--keep-columns"] * keep)
    err = capsys.readouterr().err.splitlines()
    rows = rows_of(target)
    listed = folder / "out" / f"{output}.rejected.jsonl"
    faults = [json.loads(line) for line in listed.read_bytes().splitlines()] if listed.exists() else []
    assert err[-1].startswith(f"wusum: {len(faults)} of {len(faults) + len(rows)} inputs rejected, {len(rows)} tagged")
    assert code == (1 if faults else 0)
    assert [row["id"] for row in (rows[0], rows[-1])] == ["good", "good"]
    told = {fault["file"] for fault in faults}
    for fault in faults:
        assert fault["reason"]
        assert len(fault["reason"]) < 500
    assert told <= {str(path) for path in paths}
    assert len(rows) - 2 + len(faults) >= len(bad)
