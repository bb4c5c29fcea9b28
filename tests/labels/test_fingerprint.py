"""The fingerprint holds for every copy of a text and for no other text."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from wusum.labels import text_hash

WORDS = st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1), max_size=8)
SPACE = st.text(" \t\r\n\u00a0\u2003", min_size=1, max_size=4)


def test_is_the_documented_sha256() -> None:
    # printf '%s' 'بيان رسمي' | sha256sum
    assert text_hash("بيان رسمي") == "fb90f9046010c7c810270f58506ec001cfad70b5163d3ed60ed7d7a8f3a6dfc3"
    assert text_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.text())
def test_is_blind_to_the_unicode_form(text: str) -> None:
    assert (
        text_hash(unicodedata.normalize("NFD", text))
        == text_hash(text)
        == text_hash(unicodedata.normalize("NFC", text))
    )


@given(WORDS, st.data())
def test_is_blind_to_white_space(words: list[str], data: st.DataObject) -> None:
    loose = data.draw(SPACE) + "".join(word + data.draw(SPACE) for word in words)
    assert text_hash(loose) == text_hash(" ".join(words))


@given(st.text(), st.text())
def test_differs_where_the_words_differ(first: str, second: str) -> None:
    def words(text: str) -> list[str]:
        return unicodedata.normalize("NFC", text).split()

    assert (text_hash(first) == text_hash(second)) == (words(first) == words(second))


@given(st.text())
def test_is_lower_case_hex(text: str) -> None:
    assert re.fullmatch("[0-9a-f]{64}", text_hash(text))


def test_tells_letters_and_marks_apart() -> None:
    assert text_hash("احمد") != text_hash("أحمد")
    assert text_hash("محمد") != text_hash("محمّد")
    assert text_hash("أحمد") == text_hash("أحمد")


def test_takes_any_string() -> None:
    assert re.fullmatch("[0-9a-f]{64}", text_hash("\ud800"))
