"""Canonical Arabic letters: one code point for what a reader of Arabic news takes for one letter.

Only what is unambiguous is folded. ``أ إ آ ى ة`` stay: folding them would change words, and with them the encoder's pieces.

Where several Arabic letters can stand for a foreign one, the choice is the news' own. In 32,000 news articles ``ڨ`` words exist
elsewhere with ق (69 of 86 tokens, Tunisian place names); in 9,800 encyclopedia articles ``پ`` words exist in the news with ب (203,
ف 16), ``ڤ`` with ف (113, ب 16, و 12), ``چ`` with ج (14; شـ 6, كـ 5, تشـ 1). For ``گ`` 50 names with a foreign g were counted in the
news: 35 are mostly spelt with غ (بلغراد، أردوغان), 12 with ج, 3 with ك. ``ژ`` is too rare to count; ج is how جان and جنيف are spelt.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

_LETTERS = {
    "ا": "ٱ",
    "أ": "ٲٵ",
    "إ": "ٳ",
    "ب": "پڀ",
    "ت": "ٹٽټ",
    "ج": "چژ",
    "د": "ڈ",
    "ر": "ڑړڕ",
    "ش": "ښ",
    "غ": "گګ",
    "ف": "ڤڥڢڡ",
    "ق": "ڨٯ",
    "ك": "کڪڭݣ",
    "ل": "ڵ",
    "ن": "ں",
    "ه": "ھہەۀۂ",
    "ة": "ۃ",
    "و": "ۆۇۈۋۊ",
    "ي": "یےېێۍ",
    "ئ": "ۓ",
}
_PERSIAN_DIGITS = "۰۱۲۳۴۵۶۷۸۹"
_PRESENTATION = ((0xFB50, 0xFBC1), (0xFBD3, 0xFD3D), (0xFD50, 0xFDFC), (0xFE70, 0xFEFC))
# Whole phrases (peace be upon him ...) in one code point. Spelt out, one of them is 18 letters; no label depends on them.
_HONORIFICS = ((0xFBC2, 0xFBD2), (0xFD40, 0xFD4F), (0xFD90, 0xFD91), (0xFDC8, 0xFDCF), (0xFDFA, 0xFDFB), (0xFDFD, 0xFDFF))
_QURANIC_MARKS = (
    (0x0610, 0x061A),
    (0x0656, 0x065F),
    (0x0670, 0x0670),
    (0x06D6, 0x06DC),
    (0x06DF, 0x06E8),
    (0x06EA, 0x06ED),
    (0x08D3, 0x08E1),
    (0x08E3, 0x08FF),
)
# Controls other than white space, joiners, directions, byte order marks, variation selectors. They go without a space because in
# news they stand inside words. A zero width space is not here: it marks the end of a word.
_HIDDEN = (
    (0x0000, 0x0008),
    (0x000E, 0x001B),
    (0x007F, 0x0084),
    (0x0086, 0x009F),
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x180B, 0x180F),
    (0x200C, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xE0000, 0xE0FFF),
)
_SURROGATES = (0xD800, 0xDFFF)
_HAMZA_MARKS = "\u0653\u0654\u0655"
_COMPOSED = {
    "ا\u0653": "آ",
    "ا\u0654": "أ",
    "ا\u0655": "إ",
    "و\u0654": "ؤ",
    "ي\u0654": "ئ",
    "ى\u0654": "ئ",
}
# Between a letter and its hamza at most a shadda and a vowel or two can stand; without a bound the search would be quadratic.
_HAMZA = re.compile("([اويى]?)([\u064b-\u0652]{0,4})([\u0653-\u0655]+)")


def folder(table: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that replaces characters by a table, in linear time, and fast where few characters are in the table.

    Args:
        table: from one character to its replacement, which may be empty and holds no character that is itself a key.

    Example:
        >>> folder({"ـ": "", "٣": "3"})("الـــ٣")
        'ال3'
    """
    codes = {ord(char): replacement for char, replacement in table.items()}
    starts = [code for code in sorted(codes) if code - 1 not in codes]
    ends = [code for code in sorted(codes) if code + 1 not in codes]
    run = re.compile(_set(zip(starts, ends, strict=True)) + "+")
    # `re` is fastest at counting members of a set within U+FFFF, so it first counts what is not in the table.
    gaps = zip([0] + [end + 1 for end in ends], [start - 1 for start in starts] + [0xFFFF], strict=True)
    other = re.compile(_set((first, min(last, 0xFFFF)) for first, last in gaps) + "*+")

    def fold(text: str) -> str:
        return text if other.fullmatch(text) else run.sub(lambda match: match[0].translate(codes), text)

    return fold


def _set(ranges: Iterable[tuple[int, int]]) -> str:
    return "[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges if first <= last) + "]"


def _span(*ranges: tuple[int, int]) -> Iterable[str]:
    return (chr(code) for first, last in ranges for code in range(first, last + 1))


def _canonical_table() -> dict[str, str]:
    table = {variant: letter for letter, variants in _LETTERS.items() for variant in variants}
    table |= {digit: str(value) for value, digit in enumerate(_PERSIAN_DIGITS)}
    removed = set(_span(*_QURANIC_MARKS, *_HIDDEN))
    for char in _span(*_PRESENTATION):
        # A vowel's isolated form is a space and the vowel, its medial form a tatweel and the vowel: here it is the vowel alone.
        spelt = unicodedata.normalize("NFKC", char).lstrip(" ـ")
        if spelt != char:
            table[char] = "".join(table.get(letter, letter) for letter in spelt if letter not in removed)
    table |= dict.fromkeys(removed, "")
    return table | dict.fromkeys(_span(*_HONORIFICS, _SURROGATES), " ")


_fold = folder(_canonical_table())


def _composed(match: re.Match[str]) -> str:
    letter, vowels, marks = match.groups()
    return _COMPOSED.get(letter + marks[0], letter) + vowels


def canonicalise(text: str) -> str:
    """Return a text with its letters in their canonical code points; ordinary Arabic comes back unchanged.

    Presentation forms become letters and honorific ligatures a space. Keyboard variants and Persian, Urdu, Kurdish and Maghrebi
    letters become Arabic ones, Persian digits ASCII digits. A hamza or madda that follows its letter joins it. Quranic marks and
    invisible characters go; unpaired surrogates become a space. Vowels, tatweel, punctuation and white space stay. The result
    is at most four times as long, and canonicalising it again changes nothing.

    Example:
        >>> canonicalise("ﻓﻼدﻳﻤﻴﺮ گروميكو ۱۹۴۵")
        'فلاديمير غروميكو 1945'
    """
    text = _fold(text)
    if any(mark in text for mark in _HAMZA_MARKS):
        text = _HAMZA.sub(_composed, text)
    return text
