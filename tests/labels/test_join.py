"""Joining on invented texts in every layout, and on the real gold where the shared texts are at hand."""

from __future__ import annotations

import gzip
import json
import lzma
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from wusum.labels import WusumError, text_hash
from wusum.labels.join import WRITTEN, join
from wusum.labels.sources import read_source

PLAIN = "عقد الوزيران اجتماعا في العاصمة.\nواتفقا على فتح المعبر."
MARKED = "أعلنت اللجنة نتائج الانتخابات <أولية> & نهائية.\nوتجري الجولة الثانية غدا."
THIRD = "وصلت قافلة مساعدات إلى المدينة المحاصرة."
TITLE = "إعلان نتائج الانتخابات"
TREC = f"""<DOC>
<DOCNO>XX-politic-1-20200101</DOCNO>
<TITLE> {TITLE} </TITLE>
<ABSTRACT>

</ABSTRACT>
<TEXT>
  {MARKED.replace(" ", "  ")}

</TEXT>
</DOC>
"""
Rows = Sequence[Mapping[str, object]]


def write_rows(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gold_row(gold_id: str, text: str, **more: object) -> dict[str, object]:
    row = {"id": gold_id, "source": "press", "sha256": text_hash(text), "topics": ["diplomacy"], "actors": ["usa"]}
    return {**row, **more}


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    folder = tmp_path / "gold"
    train = [gold_row("trec:politic/XX-1.txt", MARKED, confidence=2, round=1), gold_row("plain:Politics/1.txt", PLAIN)]
    write_rows(folder / "train.jsonl", train)
    write_rows(folder / "test.jsonl", [gold_row("rows:3", THIRD, annotator_a=["usa"], annotator_b=[])])
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    plain = tmp_path / "plain" / "Khaleej" / "Politics"
    plain.mkdir(parents=True)
    (plain / "1.txt").write_text(unicodedata.normalize("NFD", PLAIN) + "\r\n", encoding="utf-8")
    (plain / "2.txt").write_text("خبر آخر.", encoding="utf-8")
    (plain / "notes.md").write_text("not an article", encoding="utf-8")
    trec = tmp_path / "trec" / "politic"
    trec.mkdir(parents=True)
    (trec / "XX-1.txt").write_text(TREC, encoding="utf-8")
    rows = write_rows(
        tmp_path / "rows" / "a.jsonl", [{"id": "rows:3", "text": THIRD}, {"id": "rows:4", "title": "عنوان"}]
    )
    return [tmp_path / "plain", tmp_path / "trec", rows.parent]


def test_joins_every_layout_in_gold_order(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    out = tmp_path / "deep" / "out"
    reports = join(sources, out, gold=gold)
    assert [(report.split, report.joined, report.expected) for report in reports] == [("train", 2, 2), ("test", 1, 1)]
    assert all(not (report.missing or report.changed or report.repeated) for report in reports)
    first, second = read_rows(out / "train.jsonl")
    assert list(first) == ["id", "source", "title", "text", "topics", "actors", "confidence", "round"]
    assert (first["id"], first["title"], first["text"]) == ("trec:politic/XX-1.txt", TITLE, MARKED)
    assert (first["topics"], first["actors"], first["confidence"], first["round"]) == (["diplomacy"], ["usa"], 2, 1)
    assert (second["id"], second["title"]) == ("plain:Politics/1.txt", None)
    (third,) = read_rows(out / "test.jsonl")
    assert (third["text"], third["annotator_a"], third["annotator_b"]) == (THIRD, ["usa"], [])
    assert sorted(path.name for path in out.iterdir()) == ["test.jsonl", "train.jsonl"]


def test_one_split_is_joined_alone_and_the_other_beside_it(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    out = tmp_path / "out"
    [train] = join(sources, out, gold=gold, wanted=("train",))
    assert (train.split, train.joined) == ("train", 2)
    assert [path.name for path in out.iterdir()] == ["train.jsonl"]
    [test] = join(sources, out, gold=gold, wanted=("test",))
    assert (test.split, test.joined) == ("test", 1)
    assert len(read_rows(out / "train.jsonl")) == 2


def test_finds_a_text_under_another_name(tmp_path: Path, gold: Path) -> None:
    file = tmp_path / "copy" / "Tech" / "renamed.txt"
    file.parent.mkdir(parents=True)
    file.write_text(PLAIN, encoding="utf-8")
    train, _ = join([file], tmp_path / "out", gold=gold)
    assert train.joined == 1
    assert train.missing == ("trec:politic/XX-1.txt",)


def test_tells_changed_from_missing(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    (tmp_path / "plain" / "Khaleej" / "Politics" / "1.txt").write_text(PLAIN + " تصويب", encoding="utf-8")
    train, test = join(sources[:2], tmp_path / "out", gold=gold)
    assert (train.joined, train.changed, train.missing) == (1, ("plain:Politics/1.txt",), ())
    assert (test.joined, test.changed, test.missing) == (0, (), ("rows:3",))
    assert read_rows(tmp_path / "out" / "test.jsonl") == []


def test_a_good_copy_beside_a_changed_one_counts(tmp_path: Path, gold: Path) -> None:
    rows = [{"id": "plain:Politics/1.txt", "text": text} for text in (PLAIN + " تصويب", PLAIN)]
    train, _ = join([write_rows(tmp_path / "rows.jsonl", rows)], tmp_path / "out", gold=gold)
    assert (train.joined, train.changed) == (1, ())


def test_the_first_of_repeated_texts_counts(tmp_path: Path, gold: Path) -> None:
    rows = [{"id": "x", "text": THIRD, "title": "أول"}, {"id": "y", "text": THIRD, "title": "ثان"}]
    _, test = join([write_rows(tmp_path / "rows.jsonl", rows)], tmp_path / "out", gold=gold)
    assert (test.joined, test.repeated) == (1, ("rows:3",))
    assert read_rows(tmp_path / "out" / "test.jsonl")[0]["title"] == "أول"


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_reads_compressed_rows(tmp_path: Path, gold: Path, suffix: str, compress: object) -> None:
    content = json.dumps({"id": "rows:3", "text": THIRD}).encode()
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(compress(content))  # type: ignore[operator]
    _, test = join([path], tmp_path / "out", gold=gold)
    assert test.joined == 1
    path.write_bytes(compress(content)[:-6])  # type: ignore[operator]
    with pytest.raises(WusumError, match="cannot read"):
        join([path], tmp_path / "other", gold=gold)


def test_keeps_what_is_there_unless_forced(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "test.jsonl").write_text("mine\n", encoding="utf-8")
    with pytest.raises(WusumError, match=r"test\.jsonl: exists already.*--force"):
        join(sources, out, gold=gold)
    assert [path.name for path in out.iterdir()] == ["test.jsonl"]
    assert (out / "test.jsonl").read_text(encoding="utf-8") == "mine\n"
    join(sources, out, gold=gold, force=True)
    assert len(read_rows(out / "test.jsonl")) == 1


def test_a_fault_on_the_way_leaves_the_old_output(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    out = tmp_path / "out"
    join(sources, out, gold=gold)
    before = (out / "train.jsonl").read_bytes()
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "rows:3", "text": 5}\n', encoding="utf-8")
    with pytest.raises(WusumError, match=r"broken\.jsonl:1:text: expected text, got a number"):
        join([*sources, broken], out, gold=gold, force=True)
    assert (out / "train.jsonl").read_bytes() == before
    assert len(list(out.iterdir())) == 2


def test_refuses_when_nothing_joins(tmp_path: Path, gold: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"id": "x", "text": "غير ذلك"}])
    with pytest.raises(WusumError, match=r"1 texts read.*none is a gold article"):
        join([rows], tmp_path / "out", gold=gold)
    assert not (tmp_path / "out").exists()


def test_refuses_sources_it_cannot_read(tmp_path: Path, gold: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n", encoding="utf-8")
    for name, expected in (
        ("none", "no such file or folder"),
        ("empty", r"holds no \.txt or \.jsonl file"),
        ("table.csv", "expected a folder"),
    ):
        with pytest.raises(WusumError, match=f"{name}: {expected}"):
            join([tmp_path / name], tmp_path / "out", gold=gold)


def test_refuses_an_output_that_is_a_file(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(WusumError, match="is a file, expected a folder"):
        join(sources, tmp_path / "out", gold=gold)
    with pytest.raises(WusumError, match="cannot write"):
        join(sources, tmp_path / "out" / "below", gold=gold)


def test_a_file_in_another_encoding_is_reported_not_fatal(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    (tmp_path / "plain" / "Khaleej" / "Politics" / "1.txt").write_bytes(PLAIN.encode("cp1256"))
    train, _ = join(sources, tmp_path / "out", gold=gold)
    assert train.changed == ("plain:Politics/1.txt",)


def test_our_own_articles_are_joined_but_no_source(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    written = next(read_source(WRITTEN))
    train = read_rows(gold / "train.jsonl")
    write_rows(gold / "train.jsonl", [*train, gold_row(written.name, written.text)])
    report, _ = join(sources, tmp_path / "out", gold=gold)
    assert (report.joined, report.missing) == (3, ())
    row = read_rows(tmp_path / "out" / "train.jsonl")[2]
    assert (row["id"], row["title"], row["text"]) == (written.name, written.title, written.text)
    wrong = write_rows(tmp_path / "wrong.jsonl", [{"id": "x", "text": "نص آخر."}])
    with pytest.raises(WusumError, match="none is a gold article"):
        join([wrong], tmp_path / "other", gold=gold)


def test_counts_texts_for_the_progress_display(tmp_path: Path, gold: Path, sources: list[Path]) -> None:
    seen: list[tuple[int, int]] = []
    join(sources, tmp_path / "out", gold=gold, on_text=lambda read, joined: seen.append((read, joined)))
    assert [read for read, _ in seen] == [1, 2, 3, 4]
    assert seen[-1] == (4, 3)


def test_joins_the_whole_gold(tmp_path: Path, shared: Path) -> None:
    reports = join([shared / "data" / "gold", *sorted((shared / "data" / "corpora").glob("*.jsonl.xz"))], tmp_path)
    assert [(report.split, report.joined) for report in reports] == [("train", 14418), ("test", 250)]
    assert not any(report.missing or report.changed for report in reports)
    for split in ("train", "test"):
        joined = {row["id"]: row for row in read_rows(tmp_path / f"{split}.jsonl")}
        own = [row for name, row in joined.items() if name.startswith("wusum:written/")]
        assert len(own) == (3289 if split == "train" else 0)
        for original in read_rows(shared / "data" / "gold" / f"{split}.jsonl"):
            row = joined[original["id"]]
            assert (row["title"], row["text"]) == (original["title"], original["text"])
