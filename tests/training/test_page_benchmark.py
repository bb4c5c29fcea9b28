"""The page benchmark: its pages, its measures, and that it runs on a few texts of our own."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from wusum.training import page_benchmark as bench

TOPICS = ("المياه", "القهوة", "الموانئ", "المدارس", "الغابات", "القطارات", "الأسواق", "المتاحف")

SLOT = re.compile(r"@(title|body|caption|headline|pair|teaser)")


def _articles() -> list[dict[str, object]]:
    return [
        {
            "id": f"own:{number}",
            "title": f"وزارة {topic} تعلن خطة جديدة للعام المقبل" if number % 2 else None,
            "text": f"أعلنت وزارة {topic} خطة تشمل {number} مدن.وقال الوزير إن خطة {topic} تبدأ في الربيع المقبل. "
            f"وأضاف أن {topic} تحتاج إلى عمال مدربين، وأنها ستدربهم. هل تكفي الأموال؟ وختم بأن {topic} أولوية",
            "topics": ["first" if number < 4 else "second"],
            "actors": [],
        }
        for number, topic in enumerate(TOPICS * 3)
    ]


def test_sentences_split_glued_full_stops_and_lose_nothing() -> None:
    text = "قال ذلك.وأضاف هذا . هل انتهى؟ نعم 3.5 مليون!"
    parts = bench.sentences(text)
    assert parts == ["قال ذلك.", "وأضاف هذا .", "هل انتهى؟", "نعم 3.5 مليون!"]


def test_resplit_keeps_every_sentence() -> None:
    text = str(_articles()[0]["text"])
    for seed in range(20):
        assert "".join("".join(bench.resplit(text, random.Random(seed))).split()) == "".join(text.split())


def test_pages_hold_the_whole_article_and_label_every_line() -> None:
    articles = _articles()
    maker = bench.PageMaker(articles, random.Random(1))
    for group in bench.families().values():
        for family in group:
            page = maker.make(articles[0], family)
            body = "".join(text for text, kind in zip(page.lines, page.truth, strict=True) if kind == "body")
            assert "".join(body.split()) == "".join(str(articles[0]["text"]).split())
            assert {"furniture", "title"} <= set(page.truth)
            assert not any("{" in line or SLOT.search(line) for line in page.lines)


def test_families_are_named_once_in_three_groups() -> None:
    groups = bench.families()
    assert set(groups) == {"tuned", "held_out", "blind"}
    names = Counter(family.name for group in groups.values() for family in group)
    assert max(names.values()) == 1


def test_measures() -> None:
    page = bench.Page(("aa", "b", "cccc", "", "d"), ("body", "body", "teaser", "blank", "furniture"))
    rows = bench.score([page], lambda lines: [True, False, False, False, True]).rows()
    assert rows["body recall"] == pytest.approx((1 / 2, 2 / 3))
    assert rows["furniture precision"] == pytest.approx((1 / 2, 4 / 5))
    assert rows["furniture recall"] == pytest.approx((1 / 2, 4 / 5))
    assert rows["teasers removed"] == (1.0, 1.0)


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    joined = tmp_path / "joined.jsonl"
    joined.write_text("".join(json.dumps(article) + "\n" for article in _articles()), "utf-8")
    assert bench.main([str(joined), "--pages", "2"]) == 0
    out = capsys.readouterr().out
    assert "held_out: ALL" in out
    assert "share of characters kept" in out
