"""The normalisation recipes: golden lines, the arabert package itself where it is installed, and hostile input."""

from __future__ import annotations

import json
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wusum.inference.arabert import arabert_v02, preprocess, repair
from wusum.inference.canonical import canonicalise
from wusum.inference.normalise import RECIPES, Recipe, get_recipe
from wusum.labels.errors import WusumError

GOLDEN = [
    json.loads(line)
    for line in Path(__file__).with_name("normalise_golden.jsonl").read_text(encoding="utf-8").split("\n")
    if line
]
# What the package treats specially, in pieces; joined at random they meet in ways that news seldom shows.
ATOMS = (
    "http https :// www . www. com .com .net abc x ab.cd @ @@ < > </ <br /> <b> / ا لل ممم 2 ٣ ۴ 15 [ ] [رابط] - _ + &amp; &lt; &gt; "
    "&#65; &nbsp … ... ـ ً ّ ٰ ٔ ٪ ٫ ٱ ڤ ﷺ é ß ② ० ؟ « ! ? = # % ~ : comو org A Zz 😀 ۚ ୍ \\ a@b.c http://. HTTP:// s:// ² ' \" ` •"
).split(" ") + [" ", "  ", "\n", "\t", "\xa0", "\u200f", "\u202e", "\ufe0f", "\ud800", "\x00", "\x1c", "\u3000"]
ANY_TEXT = st.text(st.characters(), max_size=60) | st.lists(st.sampled_from(ATOMS), max_size=20).map("".join)


@pytest.fixture(scope="module")
def package() -> Callable[[str], str]:
    """The package's own preprocessing."""
    module = pytest.importorskip(
        "arabert.preprocess", reason="needs the package arabert: pip install --no-deps arabert==1.0.1 pyarabic==0.6.15 six"
    )
    return module.ArabertPreprocessor("bert-base-arabertv02").preprocess  # type: ignore[no-any-return]


def corpus_lines(path: Path) -> Iterator[str]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            yield from (line[:400] for line in (row.get("text") or "").split("\n") if line.strip())


@pytest.mark.parametrize("row", GOLDEN, ids=range(len(GOLDEN)))
def test_golden_lines_keep_their_normal_form(row: dict[str, str]) -> None:
    assert preprocess(row["text"]) == row["package"]
    assert {name: recipe.apply(row["text"]) for name, recipe in RECIPES.items()} == {name: row[name] for name in RECIPES}


def test_golden_lines_are_what_the_package_returns(package: Callable[[str], str]) -> None:
    assert [package(row["text"]) for row in GOLDEN] == [row["package"] for row in GOLDEN]


def test_arabert_equals_the_package_on_real_lines(package: Callable[[str], str], shared: Path) -> None:
    corpora = sorted((shared / "data" / "corpora").glob("*.jsonl.xz"))
    lines = [line for path in corpora for line in islice(corpus_lines(path), 8000)]
    assert len(lines) >= 20_000
    untouched = [line for line in lines if repair(line) == line]
    assert len(untouched) >= 15_000
    assert [line for line in lines if arabert_v02(line) != package(repair(line))] == []
    assert [line for line in untouched if arabert_v02(line) != package(line)] == []


def test_preprocess_equals_the_package_on_every_character(package: Callable[[str], str]) -> None:
    chars = [chr(code) for code in range(sys.maxunicode + 1)]
    for start in range(0, len(chars), 500):
        text = "".join(f"ا{char}ب 1{char}ج {char}{char}{char}z\n" for char in chars[start : start + 500] if char not in "<>@")
        assert preprocess(text) == package(text), hex(start)


def test_preprocess_equals_the_package_on_random_joins(package: Callable[[str], str]) -> None:
    draw = random.Random(0)
    for _ in range(5000):
        text = "".join(draw.choice(ATOMS) for _ in range(draw.randint(1, 14)))
        if "@http" not in text:  # there the package may need minutes
            assert preprocess(text) == package(text), text


@given(ANY_TEXT)
def test_no_text_makes_a_recipe_fail(text: str) -> None:
    for recipe in RECIPES.values():
        normal = recipe.apply(text)
        assert normal == " ".join(normal.split())
        normal.encode("utf-8")


@given(ANY_TEXT)
def test_canonical_and_e5_texts_are_stable(text: str) -> None:
    assert canonicalise(canonicalise(text)) == canonicalise(text)
    assert len(canonicalise(text)) <= 4 * len(text)
    e5 = RECIPES["e5-ar-1"].apply
    assert e5(e5(text)) == e5(text)


@pytest.mark.parametrize("text", ["أعلنت مؤسّسةٌ في لبنان: «لا نقبل» (٪٥٠) – إلى متى؟ هدى، 12/3…", "ـ\n\t A!", ""])
def test_ordinary_arabic_is_canonical(text: str) -> None:
    assert canonicalise(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ﻓﻼدﻳﻤﻴﺮ پوتین", "فلاديمير بوتين"),
        ("گروميكو وچورچ وڨابس وژان", "غروميكو وجورج وقابس وجان"),
        ("عبدﷲ صلى ﷺ", "عبدالله صلى  "),
        ("مسو\u0654ول وا\u0651\u0654", "مسؤول وأ\u0651"),
        ("هٰذا\u200f ا\xadلعربي\x00 ۱۹", "هذا العربي 19"),
        ("\ud83d", " "),
    ],
)
def test_variants_become_canonical(text: str, expected: str) -> None:
    assert canonicalise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("كان س < ص وع > غ", "كان س  ص وع > غ"),
        ("<رويترز> <b class='خبر' x> <br/> <!-- أ --> </p>", " رويترز> <b class='خبر' x> <br/> <!-- أ --> </p>"),
        ("&lt;أ&gt; &#" + "9" * 5000 + ";", " أ> \ufffd"),
    ],
)
def test_repair_keeps_text_between_angle_brackets(text: str, expected: str) -> None:
    assert repair(text) == expected


def test_hostile_texts_take_no_more_than_linear_time() -> None:
    # Each would keep a quadratic search busy for hours; the limit only tells hanging from slow.
    code = """
from wusum.inference.normalise import RECIPES
n = 200_000
units = ["a", "ا", "1", "1a", "ا1", "[1", "a-", "<", "<a ", "<a b=", "<!", "@", "a@", "@a", "ا.", "a.", "a.a", ".ab", ".com", "a.com",
         "http", "://", "http:// ", "http://a", "www.", "&", "&amp;", "&#1", "\\u064e\\u0654", "\\u0654", "\\u202e", "\\ufdfa", "-@", " ", "\\x00"]
heads = ["", "@http://", "<", "&#", "a.ab", "a@b.", "\\u0627"]
for recipe in RECIPES.values():
    for unit in units:
        for head in heads:
            recipe.apply((head + unit * n)[:n])
            recipe.apply((head + unit * n)[:n] + " @ .com http > ب")
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=500)


def test_recipes_are_found_by_id() -> None:
    assert get_recipe("arabert-v02") == Recipe("arabert-v02", arabert_v02)
    assert set(RECIPES) == {"e5-ar-1", "arabert-v02"}


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(WusumError, match=r"'arabert-v2': unknown, expected one of e5-ar-1, arabert-v02.*'arabert-v02'") as caught:
        get_recipe("arabert-v2")
    assert "\n" not in str(caught.value)
    with pytest.raises(WusumError):
        get_recipe("")
