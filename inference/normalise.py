"""The normalisation recipes: what is done to a text before an encoder's tokenizer sees it.

A bundle names its recipe. What a recipe does never changes once a model was trained with it: a change gets a new id.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..labels.errors import WusumError
from .arabert import arabert_v02
from .canonical import canonicalise, folder

_VOWELS_AND_TATWEEL = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0640"
_EASTERN_DIGITS = "٠١٢٣٤٥٦٧٨٩"
_ZERO_WIDTH_SPACE = "\u200b"

_simplify = folder(
    dict.fromkeys(_VOWELS_AND_TATWEEL, "")
    | {digit: str(value) for value, digit in enumerate(_EASTERN_DIGITS)}
    | {_ZERO_WIDTH_SPACE: " "}
)


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


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.id: recipe for recipe in (Recipe("e5-ar-1", e5_ar_1), Recipe("arabert-v02", arabert_v02))}
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
