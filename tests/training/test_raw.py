import gzip
import json
import lzma
from collections import Counter
from pathlib import Path

import pytest

from wusum.labels.errors import WusumError
from wusum.training.raw import RawArticle, read_excluded, read_raw


def write(path: Path, *rows: object) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opened(path, "wt", encoding="utf-8") as stream:
        stream.write(text)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.xz"])
def test_articles_come_in_order_from_plain_and_compressed_files(tmp_path: Path, suffix: str) -> None:
    first = write(tmp_path / f"a{suffix}", {"id": "1", "title": "عنوان", "text": "نص", "section": "Politics"})
    second = write(tmp_path / "b.jsonl", {"id": "2", "text": "آخر"})
    assert list(read_raw([first, second])) == [RawArticle("1", "عنوان", "نص"), RawArticle("2", None, "آخر")]


def test_rows_without_text_and_excluded_ones_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"id": "1", "text": "نص"}, {"id": "2", "text": " "}, {"id": "3"}, {"id": "4", "text": None}]
    path = write(tmp_path / "a.jsonl", *rows, {"id": "5", "text": "نص"})
    tally = Counter[str]()
    assert [article.id for article in read_raw([path], {"5"}, tally)] == ["1"]
    assert tally == {"without text": 3, "excluded": 1}


def test_all_faults_are_told_together_with_file_line_and_field(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"id": "1", "text": "نص"},
        "{broken",
        {"text": "نص"},
        {"id": "3", "text": 7},
        {"id": "4", "text": "نص", "title": []},
        {"id": "1", "text": "نص"},
    )
    with pytest.raises(WusumError) as caught:
        list(read_raw([path]))
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 faults in raw articles:"
    for number, field, line in zip((2, 3, 4, 5, 6), ("json", "id", "text", "title", "id"), lines[1:], strict=True):
        assert line.startswith(f"{path}:{number}:{field}:")
    assert "'1' stands twice" in lines[-1]


def test_a_missing_or_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match=r"no\.jsonl: cannot read"):
        list(read_raw([tmp_path / "no.jsonl"]))
    damaged = tmp_path / "a.jsonl.xz"
    damaged.write_bytes(b"no xz")
    with pytest.raises(WusumError, match=r"a\.jsonl\.xz: cannot read"):
        list(read_raw([damaged]))


def test_of_a_split_only_the_train_part_is_not_excluded(tmp_path: Path) -> None:
    split = write(tmp_path / "split.jsonl", {"id": "1", "part": "train"}, {"id": "2", "part": "dev"})
    test = write(tmp_path / "test.jsonl", {"id": "3", "text": "نص"})
    assert read_excluded([split, test]) == {"2", "3"}
    with pytest.raises(WusumError, match=r"bad\.jsonl:1:id: missing"):
        read_excluded([write(tmp_path / "bad.jsonl", {"text": "نص"})])
