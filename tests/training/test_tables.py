"""Tables of articles: line numbers, damage of every kind in one sentence, classes of datasets by name."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from wusum.labels import WusumError, load_taxonomy
from wusum.training.config import ColumnConfig
from wusum.training.data import read_labelled
from wusum.training.tables import Table, open_table

from .table_files import WRITERS, write_csv, write_dataset, write_jsonl, write_parquet

HEADER = "id,title,text,topics,actors\n"
ROW = {"id": "a", "title": "عنوان", "text": "نص", "topics": ["diplomacy"], "actors": ["russia", "usa"]}


def rows_of(table: Table) -> list[tuple[int, object]]:
    return list(table.read(table.columns or ()))


def fault_of(path: Path) -> str:
    with pytest.raises(WusumError) as caught:
        read_labelled(path, load_taxonomy())
    message = str(caught.value)
    count, _, faults = message.rpartition(":\n")
    assert "\n" not in count + faults
    return message


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_rows_have_the_number_of_their_first_line(tmp_path: Path) -> None:
    content = HEADER + 'a,"ع, ن","سطر\nآخر ""هنا""\n\nوآخر",diplomacy,\n\nb,,نص,,russia;usa\nc,,نص\n'
    table = open_table(write(tmp_path / "a.csv", content))
    assert table.columns == ("id", "title", "text", "topics", "actors")
    found = rows_of(table)
    assert [number for number, _ in found] == [2, 7, 8]
    assert found[0][1] == {
        "id": "a",
        "title": "ع, ن",
        "text": 'سطر\nآخر "هنا"\n\nوآخر',
        "topics": "diplomacy",
        "actors": "",
    }
    assert found[2][1] == "csv: 3 cells, expected 5 as in the header; put a cell that holds the delimiter into quotes"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_comma_and_tab_are_found_out(tmp_path: Path, name: str, delimiter: str) -> None:
    (article,) = read_labelled(write_csv(tmp_path / name, [ROW], delimiter), load_taxonomy())
    assert article.labels == ("diplomacy", "russia", "usa")


def test_another_delimiter_is_named(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [ROW], ";")
    found = "one column is found, 'id;title;text;topics;actors', expected several"
    assert fault_of(path) == f"{path}:1: {found}; the delimiter should be a comma or a tab"


def test_a_byte_order_mark_and_long_cells(tmp_path: Path) -> None:
    text = "كلمة " * 100_000  # beyond the limit that the csv module has by itself
    content = b"\xef\xbb\xbf" + f"{HEADER}a,,{text},,\r\n".encode()
    (article,) = read_labelled(write(tmp_path / "a.csv", content), load_taxonomy())
    assert article.text == text


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("name", ["articles.jsonl", "articles.csv", "articles.tsv"])
def test_compressed_files(tmp_path: Path, name: str, suffix: str) -> None:
    plain = WRITERS[name](tmp_path / name, [ROW])
    packed = (gzip.compress if suffix == ".gz" else lzma.compress)(plain.read_bytes())
    path = write(tmp_path / (name + suffix), packed)
    assert read_labelled(path, load_taxonomy()) == read_labelled(plain, load_taxonomy())
    message = fault_of(write(path, packed[:-9]))
    assert message.startswith(f"{path}: cannot read: ")
    assert "expected a sound" in message


def test_an_open_quote_ends_in_one_fault(tmp_path: Path) -> None:
    message = fault_of(write(tmp_path / "a.csv", HEADER + 'a,,نص,,\nb,,"نص,,\nc,,نص,,\n'))
    assert "a.csv:3:csv: unexpected end of data, expected closed quotes" in message
    message = fault_of(write(tmp_path / "b.csv", HEADER + 'a,,"نص" هنا,,\nb,,نص,,\n'))
    assert "b.csv:2:csv: " in message


def test_csv_that_is_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER.encode() + "a,,نص,,\n".encode() + "b,,نص,,\n".encode("cp1256"))
    assert fault_of(path) == (
        f"{path}:3: not UTF-8, expected UTF-8 text; convert the file; "
        "if it is Windows-1256: iconv -f WINDOWS-1256 -t UTF-8"
    )


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_csv(tmp_path: Path, content: str) -> None:
    assert "the file is empty, expected a first line with the names" in fault_of(write(tmp_path / "a.csv", content))


def test_a_csv_without_rows(tmp_path: Path) -> None:
    assert "holds no article" in fault_of(write(tmp_path / "a.csv", HEADER))


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    assert "two columns are called 'text'" in fault_of(write(tmp_path / "a.csv", "id,text,text,topics,actors\n"))


@pytest.mark.parametrize("size", [0, 3, 100, -20])
def test_a_cut_parquet(tmp_path: Path, size: int) -> None:
    path = write_parquet(tmp_path / "a.parquet", [ROW])
    path.write_bytes(path.read_bytes()[:size])
    message = fault_of(path)
    assert message.startswith(f"{path}: cannot read (")
    assert "expected a whole Parquet file; copy or write it again" in message


def test_a_parquet_that_is_damaged_inside(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [ROW | {"id": str(number)} for number in range(50)])
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    assert fault_of(path).startswith(f"{path}: cannot read (")


@pytest.mark.parametrize("name", ["articles.parquet", "articles"])
def test_faults_of_what_has_no_lines_name_the_row(tmp_path: Path, name: str) -> None:
    rows = [ROW | {"id": str(number)} for number in range(600)]
    rows[599] |= {"topics": ["diplomcy"]}
    path = WRITERS[name](tmp_path / name, rows)
    assert f"{path}:row 600:topics: 'diplomcy' is not in scheme" in fault_of(path)


def test_a_folder_of_several_splits(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    part = Dataset.from_list([ROW])
    DatasetDict({"train": part, "validation": part}).save_to_disk(tmp_path / "all")
    path = tmp_path / "all"
    assert fault_of(path) == f"{path}: holds the splits train, validation, expected one; name its folder, {path}/NAME"
    assert len(read_labelled(path / "train", load_taxonomy())) == 1


def test_a_damaged_dataset(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "articles", [ROW])
    (data,) = path.glob("*.arrow")
    data.write_bytes(data.read_bytes()[:100])
    assert "expected a dataset that save_to_disk wrote" in fault_of(path)
    (path / "state.json").write_text("{", encoding="utf-8")
    assert "expected a dataset that save_to_disk wrote" in fault_of(path)


def test_other_folders_and_files_are_refused(tmp_path: Path) -> None:
    assert "is a folder, but none that save_to_disk" in fault_of(tmp_path)
    assert "not found, expected labelled articles" in fault_of(tmp_path / "none.csv")
    assert "unknown format, expected a folder that save_to_disk wrote or one of .jsonl" in fault_of(
        write(tmp_path / "a.xlsx", "x")
    )


@pytest.mark.parametrize("kind", ["dataset", "parquet"])
def test_classes_of_a_dataset_become_names(tmp_path: Path, kind: str) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    names = ["russia", "usa", "diplomacy"]
    features = Features(
        {
            "id": Value("int64"),
            "text": Value("string"),
            "label": ClassLabel(names=names),
            "tags": List(ClassLabel(names=names)),
        }
    )
    rows = [{"id": 1, "text": "نص", "label": 2, "tags": [0, 2]}, {"id": 2, "text": "نص", "label": 0, "tags": []}]
    dataset = Dataset.from_list(rows, features=features).with_format("numpy")
    path = tmp_path / ("data" if kind == "dataset" else "data.parquet")
    if kind == "dataset":
        dataset.save_to_disk(path)
    else:
        dataset.to_parquet(path)
    for column, expected in (("label", [("diplomacy",), ("russia",)]), ("tags", [("diplomacy", "russia"), ()])):
        articles = read_labelled(path, load_taxonomy(), ColumnConfig(labels=column))
        assert [article.labels for article in articles] == expected
        assert [article.id for article in articles] == ["1", "2"]


def test_a_class_that_is_not_set_is_not_judged(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"id": Value("string"), "text": Value("string"), "labels": ClassLabel(names=["russia"])})
    Dataset.from_list([{"id": "a", "text": "نص", "labels": -1}], features=features).save_to_disk(tmp_path / "data")
    with pytest.raises(WusumError, match="row 1:labels: missing, expected a list of label ids"):
        read_labelled(tmp_path / "data", load_taxonomy(), ColumnConfig(labels="labels"))


def test_only_needed_columns_are_read(tmp_path: Path) -> None:
    for name in ("articles.parquet", "articles"):
        table = open_table(WRITERS[name](tmp_path / name, [ROW]))
        assert list(table.read(["id", "none"])) == [(1, {"id": "a"})]


def test_a_parquet_is_not_held_in_memory(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rng, path = np.random.default_rng(0), tmp_path / "a.parquet"
    with parquet.ParquetWriter(path, pyarrow.schema({"id": pyarrow.string()}), compression="none") as writer:
        for _ in range(32):
            writer.write_table(pyarrow.table({"id": [rng.bytes(1000).hex() for _ in range(100)]}))
    rows = open_table(path).read(["id"])
    before = pyarrow.total_allocated_bytes()
    held = max(pyarrow.total_allocated_bytes() - before for number, _ in rows if number % 100 == 0)
    assert held < path.stat().st_size / 4


def test_lines_of_json_are_numbered_with_the_blank_ones(tmp_path: Path) -> None:
    table = open_table(write_jsonl(tmp_path / "A.JSONL", [ROW, "", "", ROW]))
    assert table.columns is None
    assert [number for number, _ in rows_of(table)] == [1, 4]
