"""Evidence beside a reader's marks."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wusum.inference.features import InputConfig
from wusum.inference.prediction import Evidence
from wusum.labels import WusumError, load_taxonomy
from wusum.labels.fingerprint import text_hash
from wusum.labels.rationales import Rationale, read_rationales
from wusum.training import rationale_benchmark as bench
from wusum.training.data import LabelledArticle

SENTENCES = [f"{'هذه جملة طويلة بما يكفي لتقرأ وحدها دون جارتها ' * 2}وهي الجملة رقم {number}." for number in range(4)]
TEXT = "  \n".join(SENTENCES)


def places() -> tuple[tuple[str, int, int], ...]:
    found, start = [], 0
    for sentence in SENTENCES:
        found.append(("text", start, start + len(sentence)))
        start += len(sentence) + 1
    return tuple(found)


def marked(**labels: list[int]) -> Rationale:
    carried = {label: frozenset(numbers) for label, numbers in labels.items()}
    return Rationale("a", text_hash(TEXT), places(), carried, {}, frozenset())


def tagger(**evidence: list[int]) -> Any:
    """A tagger whose evidence for each label is these sentences."""
    given = {
        label: tuple(Evidence("text", TEXT.index(SENTENCES[n]), 0, SENTENCES[n], 0.9) for n in numbers)
        for label, numbers in evidence.items()
    }
    return SimpleNamespace(
        bundle=SimpleNamespace(input=InputConfig("plain-1")),
        taxonomy=load_taxonomy(),
        predict=lambda *_, **__: SimpleNamespace(evidence=given),
    )


ARTICLE = LabelledArticle("a", None, TEXT, ("diplomacy", "syria"))


def test_evidence_is_counted_where_the_reader_marked_it() -> None:
    [row] = bench.hits(tagger(syria=[2, 0]), ARTICLE, marked(syria=[1, 2]))
    assert row == (1.0, 2.0, 1.0, 0.5)
    [row] = bench.hits(tagger(syria=[0]), ARTICLE, marked(syria=[1]))
    assert row == (0.0, 1.0, 0.0, 0.25)


def test_only_labels_rightly_given_count() -> None:
    assert list(bench.hits(tagger(russia=[0]), ARTICLE, marked(russia=[0]))) == []
    [row] = bench.hits(tagger(russia=[0], diplomacy=[3]), ARTICLE, marked(diplomacy=[0, 1, 2, 3]))
    assert row == (1.0, 1.0, 1.0, 1.0)


def test_another_text_is_refused() -> None:
    other = LabelledArticle("a", None, "نص آخر", ("syria",))
    with pytest.raises(WusumError, match="a: its text is not the one whose sentences were marked"):
        list(bench.hits(tagger(syria=[0]), other, marked(syria=[0])))


def test_the_benchmark_prints_its_three_shares(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.Tagger, "load", lambda _: tagger(syria=[2, 0], diplomacy=[1]))
    row = {"id": "a", "text": TEXT, "topics": ["diplomacy"], "actors": ["syria"]}
    (tmp_path / "articles.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    marks = {"id": "a", "sha256": text_hash(TEXT), "sentences": [list(place) for place in places()]}
    marks["carried"] = {"syria": [1, 2], "diplomacy": [0, 1, 2, 3]}
    (tmp_path / "marks.jsonl").write_text(json.dumps(marks) + "\n", encoding="utf-8")
    bench.main([str(tmp_path / "articles.jsonl"), "--rationales", str(tmp_path / "marks.jsonl")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 articles, 2 labels rightly given; 1 of them are carried by every sentence")
    assert [line.split(": ")[1].split(" ")[0] for line in lines[1:]] == ["50.0%", "100.0%", "50.0%"]


def test_the_packaged_marks_are_of_dev_articles_only() -> None:
    split = bench.DEV_RATIONALES.with_name("split.jsonl").open(encoding="utf-8")
    dev = {row["id"] for row in map(json.loads, split) if row["part"] == "dev"}
    assert {one.id for one in read_rationales(bench.DEV_RATIONALES)} <= dev
