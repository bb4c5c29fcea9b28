"""The normalisation recipes: what is done to a text before an encoder's tokenizer sees it.

A bundle names its recipe. What a recipe does never changes once a model was trained with it: a change gets a new id.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..labels.errors import WusumError
from .arabert import arabert_v02, arabert_v02_twitter
from .canonical import VOWELS_AND_TATWEEL, canonicalise, folder

# Spellings that news, archives and keyboards mix: hamza on or under its letter, dotless ya, teh marbuta without dots.
FOLDED_LETTERS: Mapping[str, str] = MappingProxyType(
    {"أ": "ا", "إ": "ا", "آ": "ا", "ؤ": "و", "ئ": "ي", "ى": "ي", "ة": "ه"}
)

_EASTERN_DIGITS = "٠١٢٣٤٥٦٧٨٩"
_ZERO_WIDTH_SPACE = "\u200b"

_BARE = dict.fromkeys(VOWELS_AND_TATWEEL, "") | {_ZERO_WIDTH_SPACE: " "}
_bare = folder(_BARE)
_simplify = folder(_BARE | {digit: str(value) for value, digit in enumerate(_EASTERN_DIGITS)})
fold_letters = folder(FOLDED_LETTERS)
# The blocks that Arabic, European and full-width punctuation stands in; to look at all of Unicode takes 0.4 seconds.
_BLOCKS = (*range(0x3100), *range(0xFE10, 0xFF66))
_PUNCTUATION = {char: " " for char in map(chr, _BLOCKS) if unicodedata.category(char).startswith("P")}
# Nearly every text holds such characters, so there is no use in looking for one that has none, as `folder` does.
_FOLDED = str.maketrans({**FOLDED_LETTERS, **_PUNCTUATION})

# Each begins where a run does: from each place of the run, the search would be quadratic.
_LINK = re.compile(r"https?://\S++|www\.\S++")
_HASHTAG = re.compile(r"(?<!#)#++(\w++)")
_MENTION = re.compile(r"(?<![\w@])@++\w++(?!@)")


@dataclass(frozen=True)
class Recipe:
    """A named normalisation.

    Attributes:
        id: name and version; a bundle records it.
        apply: a pure function that takes any string, never raises and needs time linear in its length.
    """

    id: str
    apply: Callable[[str], str]


def e5_ar_1(text: str) -> str:
    r"""Normalise a text for the multilingual E5 encoder, whose tokenizer does the rest of NFKC itself.

    On top of `canonicalise`: vowels and tatweel go, Eastern Arabic digits become ASCII, a run of white space becomes
    one space (line ends too: the tokenizer takes them for spaces), and the ends are stripped. Hamza, alef maqsura and
    teh marbuta stay: without them the encoder needs 9 % more pieces. The prefix that E5 expects is the bundle's.

    Example:
        >>> e5_ar_1("قالَ  الرئيـــس:\n٢٠١٥")
        'قال الرئيس: 2015'
    """
    return " ".join(_simplify(canonicalise(text)).split())


def e5_ar_2(text: str) -> str:
    r"""Normalise a text as `e5_ar_1`, and fold the spellings that Arabic writers and archives mix.

    Hamza on or under its letter goes, alef maqsura becomes ya and teh marbuta ha, so that a text has the same tags
    however it spells them; for the same reason every mark of punctuation becomes a space. The encoder's vocabulary
    must be folded likewise (``wusum.training.fold_vocabulary``), or many words fall into more pieces.

    Example:
        >>> e5_ar_2("أعلنت «القيادة»: لا مساومة على إدلب!")
        'اعلنت القياده لا مساومه علي ادلب'
    """
    return " ".join(_simplify(canonicalise(text)).translate(_FOLDED).split())


def plain_1(text: str) -> str:
    r"""Normalise a text for an encoder that was trained on text without vowels and tatweel, and no more than that.

    On top of `canonicalise`: vowels and tatweel go, a run of white space becomes one space, and the ends are stripped.

    CAMeLBERT-MSA: its model card says that invalid characters and white space were cleaned as BERT's own code does
    (the tokenizer repeats that here), that diacritics and kashida were removed with CAMeL Tools, and that case and
    accents were left alone; this recipe removes the same marks. ConfliBERT-Arabic: nothing is documented beyond its
    parent, multilingual BERT cased, which was trained on plain text; vowels are so rare in news that their removal is
    the safer side. It also suits other encoders of which no preprocessing is known.

    Example:
        >>> plain_1("قالَ  الرئيـــس:\n٢٠١٥")
        'قال الرئيس: ٢٠١٥'
    """
    return " ".join(_bare(canonicalise(text)).split())


def ubc_1(text: str) -> str:
    """Normalise a text for UBC-NLP's ARBERTv2 and MARBERTv2.

    The paper (Abdul-Mageed et al. 2021, ARBERT & MARBERT, pre-processing) names four steps and no other: diacritics
    are removed, and links, user names and hashtags replaced by URL, USER and HASHTAG. That the second versions were
    made alike is not stated anywhere; it is assumed. Here, on top of `plain_1`, links and user names are so replaced.
    A hashtag's words stay, without ``#`` and with spaces for ``_``: in news they name what the labels ask for. How
    these models' tokenizers fold hamza and case is left to them.

    Example:
        >>> ubc_1("قالَ @user: #مجلس_الأمن يجتمع https://example.org/a")
        'قال USER : مجلس الأمن يجتمع URL'
    """
    text = plain_1(text)
    if "://" in text or "www." in text:
        text = _LINK.sub(" URL ", text)
    if "#" in text:
        text = _HASHTAG.sub(lambda match: f" {match[1].replace('_', ' ')} ", text)
    if "@" in text:
        text = _MENTION.sub(" USER ", text)
    return " ".join(text.split())


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.id: recipe
        for recipe in (
            Recipe("e5-ar-1", e5_ar_1),
            Recipe("e5-ar-2", e5_ar_2),
            Recipe("arabert-v02", arabert_v02),
            Recipe("arabert-v02-twitter", arabert_v02_twitter),
            Recipe("plain-1", plain_1),
            Recipe("ubc-1", ubc_1),
        )
    }
)


def get_recipe(recipe_id: str) -> Recipe:
    """Return the recipe of an id.

    Raises:
        WusumError: no recipe has this id; the message names those that exist and the nearest.

    Example:
        >>> get_recipe("e5-ar-1").apply("مرحبـــاً")
        'مرحبا'
    """
    if recipe_id in RECIPES:
        return RECIPES[recipe_id]
    nearest = difflib.get_close_matches(recipe_id, RECIPES, n=1, cutoff=0)[0]
    raise WusumError(
        f"normalisation recipe {recipe_id!r}: unknown, expected one of {', '.join(RECIPES)}; the nearest is {nearest!r}"
    )
