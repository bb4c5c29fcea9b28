"""The draw of the articles of pre-training."""

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

from wusum.labels import WusumError
from wusum.labels.sources import SourceText
from wusum.training import news_draw
from wusum.training.news_draw import draw, main, unseen_texts
from wusum.training.raw import RawArticle


def test_politics_comes_whole_and_sport_hardly() -> None:
    sections = ("Politics", "Finance", "Sports")
    texts = [SourceText(f"sanad_khaleej:{name}/{n}.txt", None, "نص") for n in range(2000) for name in sections]
    texts += [SourceText(f"antcorpus:{name}/{n}.txt", None, "نص") for n in range(10) for name in ("sport", "politic")]
    drawn = list(draw(iter(texts)))
    counts = Counter(article.id.partition(":")[2].split("/")[0] for article in drawn)
    assert counts["Politics"] == 2000
    assert counts["Finance"] == pytest.approx(464, abs=60)
    assert counts["Sports"] == pytest.approx(80, abs=30)
    assert (counts["politic"], counts["sport"]) == (10, 0)
    assert drawn == list(draw(iter(texts)))


def test_the_files_of_the_corpora_as_published_get_their_ids() -> None:
    names = ["Politics/1.txt", "politic/JA-1.txt", "Tech/2.txt", "sport/3.txt"]
    everything = [SourceText(name, None, "نص") for name in names]
    drawn = [article.id for seed in range(200) for article in draw(iter(everything), seed)]
    khaleej = {"sanad_khaleej:Politics/1.txt", "sanad_khaleej:Technology/2.txt"}
    assert set(drawn) == {*khaleej, "antcorpus:politic/JA-1.txt"}


def test_the_command_reads_a_folder_of_sections(tmp_path: Path) -> None:
    marked = "<DOC><TITLE>عنوان</TITLE><TEXT>خبر</TEXT></DOC>"
    for section, text in (("Politics", "أعلن الوزير"), ("localNews", marked)):
        (tmp_path / "corpora" / section).mkdir(parents=True)
        (tmp_path / "corpora" / section / "1.txt").write_text(text, encoding="utf-8")
    main([str(tmp_path / "corpora"), "-o", str(tmp_path / "news.jsonl")])
    rows = [json.loads(line) for line in (tmp_path / "news.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [
        {"id": "sanad_khaleej:Politics/1.txt", "title": None, "text": "أعلن الوزير"},
        {"id": "antcorpus:localNews/1.txt", "title": "عنوان", "text": "خبر"},
    ]


def test_articles_of_test_and_dev_are_left_out_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": f"antcorpus:politic/{n}.txt", "text": text} for n, text in enumerate(("خبر", "نص  الاختبار\n"))]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(news_draw, "unseen_texts", lambda: {news_draw.text_hash("نص الاختبار")})
    main([str(tmp_path / "corpus.jsonl"), "-o", str(tmp_path / "news.jsonl")])
    assert json.loads((tmp_path / "news.jsonl").read_text(encoding="utf-8"))["text"] == "خبر"


def test_the_texts_of_test_and_dev_are_known() -> None:
    gold = news_draw.GOLD_FOLDER
    test = [json.loads(line) for line in (gold / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    unseen = unseen_texts()
    assert unseen >= {row["sha256"] for row in test}
    assert len(unseen) == len(test) + (gold / "split.jsonl").read_text(encoding="utf-8").count('"part": "dev"')


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


@pytest.mark.parametrize("name", ["mine:1", "antcorpus:Politics/1.txt", "صفحة/1.txt"])
def test_another_corpus_is_refused(name: str) -> None:
    with pytest.raises(WusumError, match="of neither corpus"):
        list(draw(iter([SourceText(name, None, "نص")])))


def test_two_newspapers_in_one_folder_are_refused() -> None:
    texts = [SourceText(name, None, "نص") for name in ("Politics/1.txt", "sanad_khaleej:Politics/1.txt")]
    with pytest.raises(WusumError, match=r"Politics/1\.txt: comes twice; expected one copy.* its folder Khaleej"):
        list(draw(iter(texts)))


def test_a_title_stays(tmp_path: Path) -> None:
    [article] = draw(iter([SourceText("antcorpus:politic/1.txt", "عنوان", "نص")]))
    assert article == RawArticle("antcorpus:politic/1.txt", "عنوان", "نص")
