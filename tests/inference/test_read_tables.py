"""Tables of every form and packing become articles, and bad rows one fault each."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest

from wusum.inference import formats_csv, formats_parquet
from wusum.inference.article import Article
from wusum.inference.columns import Columns, ReadOptions
from wusum.inference.formats_bytes import MAX_BYTES
from wusum.inference.record import Record
from wusum.inference.rejected import Rejected

from .tag_runs import articles, packed, read, reason

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zstandard")

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


def test_the_reason_of_a_bad_row_holds_no_raw_tab(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\n1\ta\n2\t"a"b\n', encoding="utf-8")
    _, fault = read(path)
    assert isinstance(fault, Rejected)
    assert "('\\t' expected after '\"')" in fault.reason
    assert fault.reason.isprintable()


def test_a_row_of_very_many_tiny_lines_is_over_the_limit_and_takes_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 100_000
    monkeypatch.setattr(formats_csv, "MAX_BYTES", most)
    path = tmp_path / "a.csv"
    path.write_text(f'id,text\n1,"{"a" * (most - 4)}"\n2,"' + "\n" * most + '"\n3,b\n\n', encoding="utf-8")
    tracemalloc.start()
    items = read(path)
    assert tracemalloc.get_traced_memory()[1] < 30 * most
    tracemalloc.stop()
    assert [item.key["id"] for item in items if isinstance(item, Record)] == ["1", "3"]
    faults = [item for item in items if isinstance(item, Rejected)]
    assert [fault.place.line for fault in faults] == [3, most + 3]
    assert faults[0].reason.startswith("a row over 2 MB")
    assert faults[1].reason.startswith("not a row of CSV (unexpected end of data)")


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


@pytest.mark.parametrize("known_as_dictionary", [False, True])
def test_a_long_value_of_a_dictionary_costs_its_rows_and_is_never_in_memory_many_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known_as_dictionary: bool
) -> None:
    path = tmp_path / "a.parquet"
    values = pa.DictionaryArray.from_arrays(pa.array([0, *[1] * 60, 2, None], pa.int32()), ["x", "y" * 10_000_000, "z"])
    table = pa.table({"id": [str(i) for i in range(63)], "text": values, "n": list(range(63))})
    pq.write_table(table, path, compression="zstd", store_schema=known_as_dictionary)
    assert path.stat().st_size < 10_000
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        for keep in (False, True):
            first, *faults, last, missing = read(path, ReadOptions(keep=keep))
            assert isinstance(first, Record)
            assert isinstance(last, Record)
            assert (first.article, last.article) == (Article("x", None, "0"), Article("z", None, "61"))
            assert [str(fault) for fault in faults] == [
                f"{path}:{row}:text: over 2 MB; expected one article a line; split it or drop it"
                for row in range(2, 62)
            ]
            assert "text: missing" in str(missing)
    finally:
        pa.set_memory_pool(usual)
    assert pool.max_memory() < 70_000_000  # plain text in 32 rows takes 320 MB
    monkeypatch.setattr(formats_parquet, "_PATIENCE", 100_000_000)
    items = read(path)
    assert len(items) == 11
    assert "so many are, that the rows behind it are passed over" in str(items[-1])


def test_a_long_value_in_a_column_that_is_kept_costs_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"n": ["a", "b" * (MAX_BYTES + 2000)], "m": [["a"], ["b"]], "text": ["x", "y"]}
    pq.write_table(pa.table(columns), path)
    assert articles(path) == [Article("x"), Article("y")]
    first, fault = read(path, ReadOptions(keep=True))
    assert isinstance(first, Record)
    assert str(fault).startswith(f"{path}:2:n: over 2 MB")


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


@pytest.mark.parametrize(
    ("patience", "ids", "lines"), [(100_000_000, ["1", "3", "4", "6"], [3, 6]), (1, ["1", "6"], [3])]
)
def test_rows_that_a_bad_one_has_swallowed_are_read_again_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int, ids: list[str], lines: list[int]
) -> None:
    monkeypatch.setattr(formats_csv, "_MOST_AGAIN", patience)
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,a\n2,"not closed\n3,b\n4,c\n5,"this neither\n6,d\n', encoding="utf-8")
    items = read(path)
    assert [item.key["id"] for item in items if isinstance(item, Record)] == ids
    faults = [item for item in items if isinstance(item, Rejected)]
    assert [fault.place.line for fault in faults] == lines
    assert ["and the 3 lines behind it are passed over" in fault.reason for fault in faults] == [patience == 1] * len(
        faults
    )
