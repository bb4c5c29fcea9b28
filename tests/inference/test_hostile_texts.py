"""`Tagger.predict` on hostile texts: a prediction with a note or one sentence, in linear time and bounded memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wusum.inference import Article, Tagger
from wusum.inference.cleaner import clean_page, keep_lines
from wusum.inference.language import language_note
from wusum.labels import WusumError

from .hostile import MEGABYTE, STORY, VALUES, from_a_small_process, limit_time

pytest.importorskip("resource")

_CLOCK_SECONDS = 1200
_LETTER = re.compile(r"[^\W\d_]")

_LARGE = {
    "STORY * 27_000": "read the first",  # 5 MB
    "STORY.replace(' ', '') * 15_000": "hardly any common Arabic word",
    "'س' * 1_000_000": "read the first",  # one line of 2 MB without a space
    "'ا\\n' * 666_000": "hardly any common Arabic word",
    "'\\n' * 1_000_000": "empty text",
    "'\\0\\n' * 500_000": "no label given",
    "'\\0' * 1_000_000": "no label given",
    "'\\ud800\\udfff' * 500_000": "no label given",
    "'😀' * 500_000": "no label given",
    "'\\u202e\\u2066' * 500_000": "no label given",
    "'ا' + '\\u064e\\u0651\\u0654' * 300_000": "a single letter",
    "'<b>' * 200_000 + STORY + '</b>' * 200_000": "not Arabic",
    "'<' * 1_000_000": "no label given",
    "'نص text текст 文字 ' * 50_000": "not Arabic",
    "'\\ufdfa' * 300_000": "",
    "'| ' * 500_000": "no label given",
    "'في ' * 500_000": "read the first",
    "'. ' * 500_000 + STORY": "",
    "' '.join(map(str, range(100_000)))": "no letters",
    "'\\n'.join(' '.join(f'كلمة{n}{k}' for k in range(40)) + '.' for n in range(1_990))": "",
    "'\\n'.join(f'{n:06d}' + 'س' * 690 for n in range(1_400))": "",
}
_DIRECT = """
import json, resource, sys
sys.path[:] = {path!r}
from wusum.inference import Article, Tagger
tagger = Tagger.load(threads=1)
STORY = {story!r}
plain = tagger.predict(STORY)
assert tagger.predict(chr(10) * 1_000_000 + STORY).scores == plain.scores
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
notes = {{}}
for source in {sources!r}:
    text = eval(source)
    forms = [text, {{"text": text}}, Article(STORY, text)]
    notes[source] = [tagger.predict(form, evidence=evidence).notes for form in forms for evidence in (False, True)]
print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, notes]))
"""


def test_hostile_texts_of_megabytes_are_noted_in_linear_time_and_bounded_memory(tmp_path: Path) -> None:
    code = _DIRECT.format(path=sys.path, story=STORY, sources=list(_LARGE))
    argv = from_a_small_process([sys.executable, "-c", code], tmp_path / "peak")
    done = subprocess.run(
        argv, capture_output=True, check=False, timeout=_CLOCK_SECONDS, preexec_fn=limit_time, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, after, notes = json.loads(done.stdout)
    for source, expected in _LARGE.items():
        page, page_again, text, text_again, *_ = notes[source]
        assert page == page_again, source
        assert text == text_again, source
        assert expected in " ".join(text), (source, text)
        assert expected in " ".join(page) or "empty text" in " ".join(page), (source, page)
    assert after - before < 200 * MEGABYTE


@pytest.fixture(scope="module")
def tagger(tiny_bundle: Path) -> Tagger:
    return Tagger.load(tiny_bundle, threads=1)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.none() | VALUES, st.sampled_from(["page", "mapping", "article"]), st.booleans())
@example("ا", None, "page", True)
def test_any_text_gives_a_prediction_or_one_sentence(
    tagger: Tagger, text: str, title: str | None, form: str, evidence: bool
) -> None:
    given: Any = {"page": text, "mapping": {"text": text, "title": title}, "article": Article(text, title)}[form]
    prediction = tagger.predict(given, evidence=evidence)
    assert tuple(prediction.scores) == tagger.taxonomy.ids
    assert all(0 <= score <= 1 for score in prediction.scores.values())
    labels = {*prediction.topics, *prediction.actors}
    if len(_LETTER.findall(text if form == "page" else f"{title or ''}{text}")) < 2:
        assert not labels
        assert prediction.notes[-1].endswith("no label given")
    assert (prediction.evidence is not None) == evidence
    if prediction.evidence is not None:
        assert set(prediction.evidence) == labels
        for one in (one for found in prediction.evidence.values() for one in found):
            original = text if one.field == "text" else title
            assert original is not None
            assert original[one.start : one.end] == one.text
    json.dumps(prediction.to_dict())


@pytest.mark.parametrize(
    "given",
    [
        *([], ["نص"], 7, None, b"\xd9\x86", {}, {"text": None}, {"text": b"a"}, {"text": ["a"]}, {1: 2}, object()),
        *({"text": "نص", "title": 3}, {"text": "نص", "title": ["\ud800"]}, {"text": "نص", "id": 7}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_no_article_is_one_sentence(tagger: Tagger, given: Any) -> None:
    with pytest.raises(WusumError) as caught:
        tagger.predict([STORY, given, STORY])
    assert "\n" not in str(caught.value)
    assert "expected a string" in str(caught.value)


_VOWELLED = "قَالَ الرَّئِيسُ إِنَّ بِلَادَهُ تُرَحِّبُ بِالِاتِّفَاقِ فِي جِنِيفَ، وَأَضَافَ أَنَّ اللِّقَاءَ كَانَ مُفِيدًا بَعْدَ عَامٍ مِنَ الْخِلَافِ عَلَى الْحُدُودِ. "


@pytest.mark.parametrize(
    "dressed",
    [
        _VOWELLED * 3,
        "".join(char + "ـ" * char.isalpha() for char in STORY * 3),
        "\u202e".join(STORY * 3),
        (STORY * 3)
        .replace("في", "\ufed3\ufef2")
        .replace("إن", "\ufe87\ufee5")
        .replace("كانت", "\ufedb\ufe8e\ufee7\ufe96"),
    ],
    ids=["vowelled", "stretched", "marks of direction", "presentation forms"],
)
def test_arabic_in_odd_dress_is_still_arabic(dressed: str) -> None:
    assert language_note(dressed) is None


def test_a_text_of_too_many_lines_to_tell_apart_is_kept_whole() -> None:
    text = "\r\n \0" + "ا\r\n\r\n" * 20_001 + "\0 \r\n"
    page = clean_page(text)
    assert (page.title, page.title_span, page.dropped, page.total) == (None, None, 0, 20_002)
    ((start, end),) = page.line_spans
    assert text[start:end] == page.body
    assert page.body.split() == ["ا"] * 20_001
    assert sum(keep_lines(text.splitlines())) == page.total
    assert clean_page("\0\n" * 30_000 + STORY).body == STORY
