"""Other spellings of the same Arabic text, as archives, keyboards and PDF files bring them."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

Respell = Callable[[str, random.Random], str]

_MARKS = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652"
_HAMZA = str.maketrans("أإآٱ", "اااا")
_YA, _FINAL_YA = str.maketrans("ى", "ي"), "ي"
_TA = str.maketrans("ة", "ه")
_PERSIAN = str.maketrans("يكى0123456789٠١٢٣٤٥٦٧٨٩", "یکی۰۱۲۳۴۵۶۷۸۹۰۱۲۳۴۵۶۷۸۹")
_HIDDEN = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2069\ufeff"


def diacritics(text: str, draw: random.Random) -> str:
    """Put a vowel mark after every third letter or so."""
    return "".join(c + draw.choice(_MARKS) if _is_letter(c) and draw.random() < 0.3 else c for c in text)


def tatweel(text: str, draw: random.Random) -> str:
    """Stretch every tenth letter or so that is joined to the next."""
    pairs = zip(text, text[1:] + " ", strict=True)
    return "".join(
        c + "ـ" * draw.randint(1, 4) if _joins(c) and _is_letter(after) and draw.random() < 0.1 else c
        for c, after in pairs
    )


def bare_alef(text: str, _: random.Random) -> str:
    """Write every alef without its hamza or madda."""
    return text.translate(_HAMZA)


def dotted_ya(text: str, _: random.Random) -> str:
    """Write every final alef maqsura as ya, as is usual in Egypt the other way round."""
    return text.translate(_YA)


def undotted_ya(text: str, _: random.Random) -> str:
    """Write every final ya without its dots."""
    pairs = zip(text, text[1:] + " ", strict=True)
    return "".join("ى" if c == _FINAL_YA and not _is_letter(after) else c for c, after in pairs)


def ha_for_ta(text: str, _: random.Random) -> str:
    """Write every teh marbuta without its dots."""
    return text.translate(_TA)


def persian(text: str, _: random.Random) -> str:
    """Write ya, kaf and the digits as a Persian keyboard does."""
    return text.translate(_PERSIAN)


def presentation_forms(text: str, _: random.Random) -> str:
    """Write each letter in the form that it takes in its place, as PDF files do."""
    shapes = _shapes()
    written = []
    for before, c, after in zip(" " + text, text, text[1:] + " ", strict=False):
        forms = shapes.get(c)
        if forms is None:
            written.append(c)
            continue
        joined_before, joined_after = _joins(before), _joins(c) and after in shapes and after != "ء"
        name = "medial" if joined_before and joined_after else "final" if joined_before else "isolated"
        name = "initial" if joined_after and not joined_before else name
        written.append(forms.get(name, c))
    return "".join(written)


def hidden_marks(text: str, draw: random.Random) -> str:
    """Strew joiners, marks of direction and byte order marks over a twentieth of the places."""
    return "".join(draw.choice(_HIDDEN) + c if draw.random() < 0.05 else c for c in text)


def no_punctuation(text: str, _: random.Random) -> str:
    """Put a space for every mark of punctuation."""
    return "".join(" " if unicodedata.category(c).startswith("P") else c for c in text)


RESPELLINGS: Mapping[str, Respell] = MappingProxyType(
    {
        "diacritics": diacritics,
        "tatweel": tatweel,
        "alef without hamza": bare_alef,
        "ya for alef maqsura": dotted_ya,
        "alef maqsura for ya": undotted_ya,
        "ha for teh marbuta": ha_for_ta,
        "Persian letters and digits": persian,
        "presentation forms": presentation_forms,
        "hidden marks": hidden_marks,
        "no punctuation": no_punctuation,
    }
)


def _is_letter(character: str) -> bool:
    return "ء" <= character <= "ي" and character != "ـ"


def _joins(character: str) -> bool:
    """Whether a letter is written together with the next one: Unicode has an initial form of it."""
    return "initial" in _shapes().get(character, {})


@cache
def _shapes() -> Mapping[str, Mapping[str, str]]:
    """The presentation forms of each single letter, by the name of the place."""
    shapes: dict[str, dict[str, str]] = {}
    for code in range(0xFE80, 0xFEF5):
        place, _, letter = unicodedata.decomposition(chr(code)).partition(" ")
        if place and " " not in letter:
            shapes.setdefault(chr(int(letter, 16)), {})[place.strip("<>")] = chr(code)
    return shapes
