"""AraBERT's own normalisation, so that the model meets at use the text it met at pre-training.

`preprocess` equals, character for character, what the package ``arabert`` 1.0.1 does for ``bert-base-arabertv02``; a
test compares the two. But it takes linear time, where the package takes exponential time on ``@http://aaaa...`` and
quadratic time on long words. `repair` mends beforehand what the package would destroy; `arabert_v02` is both in turn.
"""

from __future__ import annotations

import html
import re

import numpy as np

from .canonical import canonicalise

_LINK, _MAIL, _MENTION = " [رابط] ", " [بريد] ", " [مستخدم] "

_LETTER = "\u0621-\u063a\u0641-\u064a"
_WORD = f"0-9a-zA-Z{_LETTER}\\[\\]"
# The other characters that the vocabulary has. A slash is not among them; it becomes a dash before this counts.
_SIGNS = re.escape("!\"#$%'()*+,.:;-<=·>?@\\^_`{|}~—٪’،؟୍“؛”ۚ»«–…‘") + "\u0653-\u066c\u0671-\u0674"
# What is kept: words together with the spaces after them, and signs one by one. Any other character parts two pieces.
_PIECE = re.compile(f"[{_WORD}][{_WORD} ]*+|[{_SIGNS}]")
_MARKS = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0640"
_EASTERN_DIGITS = "٠١٢٣٤٥٦٧٨٩"

_DIGIT_AT_LETTER = re.compile(f"[0-9](?:(?=[{_LETTER}])|(?<=[{_LETTER}][0-9]))")
# These look only from a run's beginning: from each of its places, the search would be quadratic.
_DIGITS_LETTERS = re.compile(f"(?<![0-9])([0-9]++)([{_LETTER}]++)")
_LETTERS_DIGITS = re.compile(f"(?<![{_LETTER}])([{_LETTER}]++)([0-9]++)")

# Addresses, in the order in which the package looks for them.
_ENDING = re.compile(r"\.[a-z]{2,6}\b")
_DOTTED = re.compile(r"\.[a-z]{2}")
_ADDRESS = re.compile(
    r"(?:https?://.)?(?:www\.)?[-a-zA-Z0-9@:%._+~#=]{2,256}" + _ENDING.pattern + r"[-a-zA-Z0-9@:%_+.~#?&/=]*"
)
_HTTP_ASCII = re.compile(r"https?://[a-zA-Z0-9_\-./~?=%&]+")
_WWW_ASCII = re.compile(r"www[a-zA-Z0-9_\-?=%&/.~]+")
# A run of letters and `.com`, again from a run's beginning, which may also be where the match before has cut a run.
_DOT_COM = re.compile(r"(?:(?<![a-zA-Z])|(?<=\.com))[a-zA-Z]++\.com")
_HTTP_REST = re.compile(r"http\S*")
_WWW_REST = re.compile(r"www\S*")
_MAIL_DOTTED = re.compile(r"(?<![\w-])[\w-]++@(?:[\w-]++\.)+[\w-]+")
_UNSPACED = re.compile(r"\S++")
_USER = re.compile(r"@\w+")
_MARKUP = re.compile(r"<[^>]+>")

# What may stand between < and >: an element with well-formed attributes, a comment or a declaration.
_ATTRIBUTE = r"""[A-Za-z_:@][^\s=<>"']*+(?:\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+'|[^\s"'<>]++))?+"""
_NO_MARKUP = re.compile(rf"<(?!/?[A-Za-z][A-Za-z0-9:-]*+(?:\s++{_ATTRIBUTE})*+\s*+/?>|[!?][^<>]*+>)")
_LONG_REFERENCE = re.compile(r"&#(?:[0-9]{20,}|[xX][0-9a-fA-F]{20,});?")


def _unescape(text: str) -> str:
    """`html.unescape`, but without its error on a number of thousands of digits: that is U+FFFD too."""
    if "&" not in text:
        return text
    return html.unescape(_LONG_REFERENCE.sub("\ufffd", text))


def repair(text: str) -> str:
    """Return the text with what the package would destroy put into a form that it keeps.

    Character references are resolved once. Letters are made canonical (`canonicalise`): the package deletes
    presentation forms, ``ڤ گ چ پ ژ``, Persian letters and digits, and cuts words at invisible characters and Quranic
    marks. A ``<`` that opens no HTML element, comment or declaration becomes a space: the package deletes what stands
    between any ``<`` and a later ``>``.

    Example:
        >>> repair("ڤلاديمير &lt;بوتين&gt; <b>")
        'فلاديمير  بوتين> <b>'
    """
    text = canonicalise(_unescape(text))
    if "<" in text:
        text = _NO_MARKUP.sub(" ", text)
    return text


def preprocess(text: str) -> str:
    """Return what ``ArabertPreprocessor("bert-base-arabertv02").preprocess(text)`` returns.

    Example:
        >>> preprocess("قالَ في 2015م: راجع www.example.org!!!!")
        'قال في 2015 م : راجع [رابط] ! !'
    """
    text = _unescape(text)
    for mark in _MARKS:
        text = text.replace(mark, "")
    text = _without_markup(_mask_people(_mask_links(text)))
    for value, digit in enumerate(_EASTERN_DIGITS):
        text = text.replace(digit, str(value))
    text = _shorten_runs(text).replace("/", "-")
    # No run is longer than two, so that three spaces at most follow one another here, and two replacements leave one.
    text = " ".join(_PIECE.findall(text)).replace("  ", " ").replace("  ", " ")
    return _split_numbers(text.rstrip())


def arabert_v02(text: str) -> str:
    """Normalise a text for AraBERT v0.2: `repair`, then `preprocess`. Any string is accepted.

    Example:
        >>> arabert_v02("ﻗﺎل ڤلاديمير پوتين")
        'قال فلاديمير بوتين'
    """
    return preprocess(repair(text))


def _mask_links(text: str) -> str:
    http, www, dotted = "http" in text, "www" in text, _DOTTED.search(text)
    if dotted:
        text = _mask_addresses(text)
    if http:
        text = _HTTP_ASCII.sub(_LINK, text)
    if www:
        text = _WWW_ASCII.sub(_LINK, text)
    if dotted and ".com" in text:
        text = _DOT_COM.sub(_LINK, text)
    if http:
        text = _HTTP_REST.sub(_LINK, text)
    if www:
        text = _WWW_REST.sub(_LINK, text)
    return text.replace("://", _LINK)


def _mask_addresses(text: str) -> str:
    # An address may hold a space only after its ://. Otherwise word by word gives the same and spares most words.
    if "p:// " in text or "s:// " in text:
        return _ADDRESS.sub(_LINK, text)
    words = (_ADDRESS.sub(_LINK, word) if "." in word and _ENDING.search(word) else word for word in text.split(" "))
    return " ".join(words)


def _mask_people(text: str) -> str:
    if "@" not in text:
        return text
    return " ".join(_mask_person(word) if "@" in word else word for word in text.split(" "))


def _mask_person(text: str) -> str:
    text = _MAIL_DOTTED.sub(_MAIL, text)
    text = _UNSPACED.sub(lambda match: _MAIL if "@" in match[0][1:-1] else match[0], text)
    return _USER.sub(_MENTION, text)


def _without_markup(text: str) -> str:
    text = text.replace("<br />", " ")
    # Only up to the last >, or each < after it would search the rest of the text in vain.
    end = text.rfind(">") + 1
    return _MARKUP.sub(" ", text[:end]) + text[end:] if end else text


def _shorten_runs(text: str) -> str:
    """Cut a run of three or more of one character to two; not of an ASCII digit.

    Other digits, and characters beyond U+FFFF, which are two code units here, become spaces afterwards in any case.
    """
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    repeated = (codes[2:] == codes[1:-1]) & (codes[2:] == codes[:-2])
    if not repeated.any():
        return text
    repeated &= (codes[2:] < ord("0")) | (codes[2:] > ord("9"))
    return np.delete(codes, np.flatnonzero(repeated) + 2).tobytes().decode("utf-16-le", "surrogatepass")


def _split_numbers(text: str) -> str:
    """Part numbers from the Arabic letters they touch. Expects single spaces between words, and none at the ends."""
    parts, done = [], 0
    while touch := _DIGIT_AT_LETTER.search(text, done):
        begin, end = text.rfind(" ", done, touch.start()) + 1, text.find(" ", touch.end())
        parts.append(text[done:begin])
        done = end if end > 0 else len(text)
        word = _DIGITS_LETTERS.sub(r" \1 \2 ", text[begin:done])
        parts.append(" ".join(_LETTERS_DIGITS.sub(r" \1 \2 ", word).split()))
    return "".join(parts) + text[done:]
