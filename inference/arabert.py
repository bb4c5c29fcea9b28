"""AraBERT's own normalisation, so that the model meets at use the text it met at pre-training.

`preprocess` equals, character for character, what the package ``arabert`` 1.0.1 does for ``bert-base-arabertv02`` and,
with ``emojis``, for ``bert-base-arabertv02-twitter``; tests compare the two. But it takes linear time, where the
package takes exponential time on ``@http://aaaa...`` and quadratic time on long words. `repair` mends beforehand what
the package would destroy; `arabert_v02` and `arabert_v02_twitter` are both in turn.
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


def _ranges(codes: str) -> str:
    """The inside of a regular expression's set, from hexadecimal code points and ranges of them."""
    ends = (part.partition("-") for part in codes.split())
    return "".join(f"\\U{first:0>8}-\\U{last or first:0>8}" for first, _, last in ends)


# Every character of the emojis of the package emoji 1.4.2, which arabert 1.0.1 asks for; U+FE0F is dropped at the end.
_EMOJIS = _ranges(
    """
    a9 ae 200d 203c 2049 20e3 2122 2139 2194-2199 21a9-21aa 231a-231b 2328 23cf 23e9-23f3 23f8-23fa 24c2
    25aa-25ab 25b6 25c0 25fb-25fe 2600-2604 260e 2611 2614-2615 2618 261d 2620 2622-2623 2626 262a 262e-262f
    2638-263a 2640 2642 2648-2653 265f-2660 2663 2665-2666 2668 267b 267e-267f 2692-2697 2699 269b-269c
    26a0-26a1 26a7 26aa-26ab 26b0-26b1 26bd-26be 26c4-26c5 26c8 26ce-26cf 26d1 26d3-26d4 26e9-26ea 26f0-26f5
    26f7-26fa 26fd 2702 2705 2708-270d 270f 2712 2714 2716 271d 2721 2728 2733-2734 2744 2747 274c 274e
    2753-2755 2757 2763-2764 2795-2797 27a1 27b0 27bf 2934-2935 2b05-2b07 2b1b-2b1c 2b50 2b55 3030 303d 3297
    3299 1f004 1f0cf 1f170-1f171 1f17e-1f17f 1f18e 1f191-1f19a 1f1e6-1f1ff 1f201-1f202 1f21a 1f22f 1f232-1f23a
    1f250-1f251 1f300-1f321 1f324-1f393 1f396-1f397 1f399-1f39b 1f39e-1f3f0 1f3f3-1f3f5 1f3f7-1f4fd 1f4ff-1f53d
    1f549-1f54e 1f550-1f567 1f56f-1f570 1f573-1f57a 1f587 1f58a-1f58d 1f590 1f595-1f596 1f5a4-1f5a5 1f5a8
    1f5b1-1f5b2 1f5bc 1f5c2-1f5c4 1f5d1-1f5d3 1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 1f5fa-1f64f 1f680-1f6c5
    1f6cb-1f6d2 1f6d5-1f6d7 1f6e0-1f6e5 1f6e9 1f6eb-1f6ec 1f6f0 1f6f3-1f6fc 1f7e0-1f7eb 1f90c-1f93a 1f93c-1f945
    1f947-1f978 1f97a-1f9cb 1f9cd-1f9ff 1fa70-1fa74 1fa78-1fa7a 1fa80-1fa86 1fa90-1faa8 1fab0-1fab6 1fac0-1fac2
    1fad0-1fad6 e0062-e0063 e0065 e0067 e006c e006e e0073-e0074 e0077 e007f
    """
)
_PIECE_OR_EMOJI = re.compile(f"{_PIECE.pattern}|[{_EMOJIS}]")
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


def preprocess(text: str, *, emojis: bool = False) -> str:
    """Return what ``ArabertPreprocessor("bert-base-arabertv02").preprocess(text)`` returns.

    Args:
        text: any string.
        emojis: keep them, as the package does for ``bert-base-arabertv02-twitter``.

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
    text = " ".join((_PIECE_OR_EMOJI if emojis else _PIECE).findall(text)).replace("  ", " ").replace("  ", " ")
    return _split_numbers(text.rstrip())


def arabert_v02(text: str) -> str:
    """Normalise a text for AraBERT v0.2: `repair`, then `preprocess`. Any string is accepted.

    Example:
        >>> arabert_v02("ﻗﺎل ڤلاديمير پوتين")
        'قال فلاديمير بوتين'
    """
    return preprocess(repair(text))


def arabert_v02_twitter(text: str) -> str:
    """Normalise a text for AraBERT v0.2 Twitter, whose vocabulary has emojis. Any string is accepted.

    As `arabert_v02`, but emojis stay, each character of them a word of its own. The joiners between them go with the
    other invisible characters: that model's tokenizer drops them too.

    Example:
        >>> arabert_v02_twitter("مبروك😀😀😀😀 @user")
        'مبروك 😀 😀 [مستخدم]'
    """
    return preprocess(repair(text), emojis=True)


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

    Other digits become spaces afterwards in any case.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    repeated = (codes[2:] == codes[1:-1]) & (codes[2:] == codes[:-2])
    if not repeated.any():
        return text
    repeated &= (codes[2:] < ord("0")) | (codes[2:] > ord("9"))
    return np.delete(codes, np.flatnonzero(repeated) + 2).tobytes().decode("utf-32-le", "surrogatepass")


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
