"""Sentences: where they end, and offsets that are exact whatever the text."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wusum.inference.sentences import MAX_CHARS, split_sentences

PARTS = (
    *("قال الوزير", "وأكد", "د", "أ", "3", "٥", "2015", "U", "org", "«داعش»", "ً", "🎉", "\ud800", "\0", "كلمة " * 130),
    *(
        ".",
        "..",
        "...",
        "…",
        "!",
        "؟",
        "؛",
        "،",
        ":",
        '"',
        "»",
        ")",
        "(",
        "(!)",
        " ",
        "\u00a0",
        "\t",
        "\u200f",
        "\u202b",
    ),
    *("\n", "\r\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", " .وأكد", ".و", "،و", "3.5"),
)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["قال الوزير ذلك.", "وأكد السفير هذا!", "فمن يعلم؟", "لا أحد؛", "وانتهى الأمر."],
        ["قال إن «الأمر انتهى.»", "ثم خرج (مع وفده.)", "وعاد."],
        ["بلغ النمو 3.5 بالمئة في ٢٠١٥.", "وكان 2.4 قبل عام."],
        ["نقل موقع example.org الخبر عن U.S. Army.", "ثم حذفه."],
        ["قال د. سمير لوكالة أ.ف.ب إن م. نبيل غادر.", "ثم نفى."],
        ["نقلت ذلك (أ.ف.ب).", "ونفته الوزارة."],
        ["1. يجتمع الوفد غدا.", "2. يوقع الاتفاق."],
        ["سخر من «الانتصار» (!) الذي أعلنوه.", "وضحك."],
        ["قال ... إن الوفد غادر.", "وأضاف أن...الوفد عاد."],
        ["صمت طويلا…", "ثم مضى...", "وعاد."],
        ["قال ذلك، وأضاف: لا نعلم،ولا نريد."],
        ['قال: "انتهى الأمر."', '"ونعود غدا."'],
    ],
)
def test_sentences_end_where_a_reader_would_say(sentences: list[str]) -> None:
    assert cut(" ".join(sentences)) == sentences
    assert cut("\n".join(sentences)) == sentences
    assert cut("\r\n \u00a0".join(sentences)) == sentences


def test_glued_sentences_are_told_apart() -> None:
    assert cut("غادر الوفد.وأكد ذلك.ثم عاد،وانتهى") == ["غادر الوفد.", "وأكد ذلك.", "ثم عاد،وانتهى"]
    assert cut("غادر الوفد .وأكد ذلك ؟!نعم") == ["غادر الوفد .", "وأكد ذلك ؟!", "نعم"]
    assert cut("بلغ العدد 30.وأكد ذلك") == ["بلغ العدد 30.", "وأكد ذلك"]
    assert cut("غادر الوفد\n.وأكد ذلك") == ["غادر الوفد", ".وأكد ذلك"]
    assert cut('قال: "انتهى."وأضاف') == ['قال: "انتهى.', '"وأضاف']


def test_what_is_no_sentence_stays_with_the_one_before() -> None:
    assert cut("غادر الوفد. ***\nثم عاد. \u200f") == ["غادر الوفد. ***", "ثم عاد. \u200f"]
    assert cut("***") == ["***"]
    assert cut(" \n\u00a0 ") == cut("") == []


def test_long_sentences_are_cut_at_a_comma_or_a_space() -> None:
    comma = "كلمة " * 60 + "هنا، " + "كلمة " * 80
    first, second = cut(comma)
    assert first.endswith("هنا،")
    assert second.split() == ["كلمة"] * 80
    words = cut("كلمة " * 500)
    assert all(MAX_CHARS // 2 <= len(part) <= MAX_CHARS and set(part.split()) == {"كلمة"} for part in words[:-1])
    assert [len(part) for part in cut("ا" * (2 * MAX_CHARS + 1))] == [MAX_CHARS, MAX_CHARS, 1]


def test_reading_is_lazy() -> None:
    first = next(split_sentences("غادر الوفد.\n" + "ثم عاد. " * 2_000_000))
    assert first == (0, 11)


@pytest.mark.parametrize("unit", [". ", "1.", "د.", "... ", "(.)", '."', "\u200f.", "ا", " ", "\n.", "***\n"])
def test_long_monotonous_texts_are_split_in_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))  # a quadratic search would not come back
    assert sum(end - start for start, end in split_sentences(text)) <= len(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join) | st.text(max_size=200))
@example("كلمة\ud800." * 400)
def test_every_character_lies_in_one_sentence(text: str) -> None:
    spans = list(split_sentences(text))
    assert all(0 < end - start <= MAX_CHARS for start, end in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)
    assert all(len(text[start:end].splitlines()) == 1 for start, end in spans)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())
