"""Is a text Arabic? The model was trained on nothing else, so other languages get no label."""

from __future__ import annotations

import re

from .canonical import canonicalise

SAMPLE_CHARS = 4000
MIN_ARABIC_SHARE = 0.5
MIN_FUNCTION_WORD_SHARE = 0.04
MIN_WORDS_TO_JUDGE = 25

_LETTER = re.compile(r"[^\W\d_]")
_ARABIC_LETTER = re.compile(r"[\u0621-\u064a\u066e-\u06d3\ufb50-\ufdff\ufe70-\ufefc]")
_WORD = re.compile(r"[^\W\d_]+")
# What may stand inside a word without changing it: vowels, tatweel, joiners and marks of direction.
_INSIDE = re.compile(r"[\u0610-\u061a\u0640\u064b-\u0652\u0670\u200c-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
# The commonest Arabic words that Persian, Urdu, Kurdish, Pashto and Uighur do not share as words of their own.
_FUNCTION_WORDS = frozenset(
    """
    في من على إلى الى أن ان التي الذي عن مع هذا هذه ما لا بعد قبل كان كانت قال قالت بين لم قد خلال ذلك حيث ولا وفي
    ومن وقال وأن وان أنه انه أي كما منذ حول ضد عند الذين غير كل بعض وقد التى فى الي علي
    """.split()  # noqa: SIM905 - a paragraph of words is read and edited more easily than a list
)

# With Persian letters, which `canonicalise` makes Arabic ones, Persian has the four words too.
_PERSIAN_LETTER = re.compile("[یک]")
_NOT_PERSIAN = _FUNCTION_WORDS - frozenset(("علي", "كل", "بين", "غير"))


def language_note(text: str) -> str | None:
    """Return why ``text`` is not taken for Arabic, or None when it is.

    Two signs are read in the first 4,000 characters: at least half of the letters are of the Arabic script, and, in
    texts of 25 words or more, at least one word in 25 is a common Arabic function word, however it is vowelled or
    stretched, and also where a Persian keyboard wrote it. A single letter is no text either.

    Example:
        >>> language_note("The ministers met in Geneva on Monday.")
        'not Arabic: 0 % of the letters are Arabic; no label given'
        >>> language_note("اجتمع الوزراء في جنيف") is None
        True
    """
    sample = text[:SAMPLE_CHARS]
    letters = len(_LETTER.findall(sample))
    if letters == 0:
        return "no letters to read; no label given"
    if letters == 1:
        return "a single letter; no label given"
    share = len(_ARABIC_LETTER.findall(sample)) / letters
    if share < MIN_ARABIC_SHARE:
        return f"not Arabic: {share:.0%} of the letters are Arabic; no label given".replace("%", " %")
    if _lacks_common_words(sample) and _lacks_common_words(
        _INSIDE.sub("", canonicalise(sample)), _NOT_PERSIAN if _PERSIAN_LETTER.search(sample) else _FUNCTION_WORDS
    ):
        return "not Arabic: Arabic script, but hardly any common Arabic word; no label given"
    return None


def _lacks_common_words(sample: str, common: frozenset[str] = _FUNCTION_WORDS) -> bool:
    words = _WORD.findall(sample)
    known = sum(word in common for word in words)
    return len(words) >= MIN_WORDS_TO_JUDGE and known < MIN_FUNCTION_WORD_SHARE * len(words)
