"""Other spellings, and the benchmarks that use them or look at off-topic articles."""

import json
import random
import unicodedata
from pathlib import Path

import pytest

pytest.importorskip("torch")

from wusum.inference.article import Article
from wusum.training import off_topic_benchmark, spelling_benchmark
from wusum.training.spelling import RESPELLINGS

TEXT = "أعلنت وزارة الدفاع في موسكو، على لسان المتحدث باسمها، أن 12 طائرة عادت إلى قاعدتها."


def respelt(name: str) -> str:
    return RESPELLINGS[name](TEXT, random.Random(1))


@pytest.mark.parametrize("name", RESPELLINGS)
def test_each_spelling_changes_the_text_and_is_repeatable(name: str) -> None:
    assert respelt(name) != TEXT
    assert respelt(name) == respelt(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alef without hamza", "اعلنت وزارة الدفاع في موسكو، على لسان المتحدث باسمها، ان 12 طائرة عادت الى قاعدتها."),
        ("ya for alef maqsura", TEXT.replace("ى", "ي")),
        ("alef maqsura for ya", TEXT.replace("في ", "فى ")),
        ("ha for teh marbuta", TEXT.replace("ة", "ه")),
        ("no punctuation", TEXT.replace("،", " ").replace(".", " ")),
    ],
)
def test_letters_change_as_people_write_them(name: str, expected: str) -> None:
    assert respelt(name) == expected


def test_what_is_added_can_be_taken_away() -> None:
    marks = {c for c in respelt("diacritics") if unicodedata.combining(c)}
    assert marks and "".join(c for c in respelt("diacritics") if c not in marks) == TEXT
    assert respelt("tatweel").replace("ـ", "") == TEXT
    assert "".join(c for c in respelt("hidden marks") if unicodedata.category(c) != "Cf") == TEXT


def test_presentation_forms_are_those_of_their_places() -> None:
    shaped = respelt("presentation forms")
    assert unicodedata.normalize("NFKC", shaped) == TEXT
    assert shaped.startswith("ﺃﻋﻠﻨﺖ ﻭﺯﺍﺭﺓ ﺍﻟﺪﻓﺎﻉ ﻓﻲ ﻣﻮﺳﻜﻮ")


def test_both_fields_are_respelt() -> None:
    (article,) = spelling_benchmark.respell([Article("إلى", "أن", "1")], RESPELLINGS["alef without hamza"])
    assert (article.text, article.title, article.id) == ("الى", "ان", "1")


def test_the_benchmark_prints_every_spelling(
    tiny_recipe: list[str], tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = dict(option.split("=", 1) for option in tiny_recipe[1:])
    paths = [options["data.articles"], "--split-file", options["data.split"], "--bundle", str(tiny_bundle)]
    spelling_benchmark.main([*paths, "--count", "4"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 dev articles")
    assert [line.split("\t")[0] for line in lines[2:]] == list(RESPELLINGS)


def test_off_topic_articles_are_counted_by_section(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": f"x:{name}/{n}", "text": "فاز الفريق."} for name in ("Sports", "Politics") for n in range(3)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    written = tmp_path / "flagged.jsonl"
    off_topic_benchmark.main([str(tmp_path / "corpus.jsonl"), "--bundle", str(tiny_bundle), "-o", str(written)])
    lines = dict(line.split("\t")[:2] for line in capsys.readouterr().out.splitlines())
    flagged = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    assert lines["Sports"] == lines["all"] == f"{len(flagged)} of 3"
    assert "Politics" not in lines
