"""The draw of the articles of pre-training."""

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

from wusum.labels import WusumError
from wusum.training.news_draw import draw, main
from wusum.training.raw import RawArticle


def test_politics_comes_whole_and_sport_hardly() -> None:
    sections = ("Politics", "Finance", "Sports")
    articles = [RawArticle(f"sanad_khaleej:{name}/{n}.txt", None, "نص") for n in range(2000) for name in sections]
    articles += [
        RawArticle(f"antcorpus:{name}/{n}.txt", None, "نص") for n in range(10) for name in ("sport", "politic")
    ]
    drawn = list(draw(iter(articles)))
    counts = Counter(article.id.partition(":")[2].split("/")[0] for article in drawn)
    assert counts["Politics"] == 2000
    assert counts["Finance"] == pytest.approx(464, abs=60)
    assert counts["Sports"] == pytest.approx(80, abs=30)
    assert (counts["politic"], counts["sport"]) == (10, 0)
    assert drawn == list(draw(iter(articles)))


def test_the_command_writes_what_was_drawn(tmp_path: Path) -> None:
    row = {"id": "sanad_khaleej:Politics/1.txt", "title": None, "text": "نص"}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    main([str(tmp_path / "corpus.jsonl"), "-o", str(tmp_path / "news.jsonl")])
    assert json.loads((tmp_path / "news.jsonl").read_text(encoding="utf-8")) == row


def test_a_refused_corpus_leaves_nothing_behind(tmp_path: Path) -> None:
    corpus = tmp_path / "other.jsonl"
    corpus.write_text('{"id": "other:Politics/1", "text": "نص"}\n', encoding="utf-8")
    with pytest.raises(WusumError, match="of neither corpus"):
        main([str(corpus), "-o", str(tmp_path / "news.jsonl")])
    assert [path.name for path in tmp_path.iterdir()] == ["other.jsonl"]


def test_another_corpus_is_refused() -> None:
    with pytest.raises(WusumError, match="of neither corpus"):
        list(draw(iter([RawArticle("mine:1", None, "نص")])))
