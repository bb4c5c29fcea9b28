"""Excerpts: which sentences they hold, and which labels these decide."""

import json
from pathlib import Path
from typing import Any

import pytest

from wusum.labels import Label, Taxonomy, WusumError, load_taxonomy
from wusum.labels.fingerprint import text_hash
from wusum.labels.rationales import RATIONALES, Rationale, one_spaced, read_rationales
from wusum.training.data import LabelledArticle
from wusum.training.excerpts import excerpts, main
from wusum.training.office_holders import OfficeHolders
from wusum.training.soft import read_soft

SCHEME = Taxonomy(
    "t", "1", tuple(Label(name, kind, name, name, name) for name, kind in (("war", "topic"), ("syria", "actor")))
)
SENTENCES = [f"الجملة رقم {number}." for number in range(10)]
TEXT = "  \n".join(SENTENCES)


def article(text: str = TEXT, name: str = "a") -> LabelledArticle:
    return LabelledArticle(name, None, text, ("war", "syria"))


def rationale(**changes: Any) -> Rationale:
    places, start = [], 0
    for sentence in SENTENCES:
        places.append(("text", start, start + len(sentence)))
        start += len(sentence) + 1
    given = {
        "id": "a",
        "sha256": text_hash(TEXT),
        "sentences": tuple(places),
        "carried": {"war": frozenset({0, 1}), "syria": frozenset({0, 4})},
        "together": {},
        "doubtful": frozenset(),
    }
    return Rationale(**(given | changes))


def made(one: Rationale, seeds: int = 20) -> list[tuple[set[int], str, dict[str, float]]]:
    """Excerpts of several draws: numbers of the sentences, text, scores."""
    found = []
    for seed in range(seeds):
        for excerpt, scores in excerpts([article()], [one], SCHEME, seed):
            numbers = {int(number) for number in excerpt.id.partition("#")[2].split(",")}
            found.append((numbers, excerpt.text, scores))
    return found


def test_an_excerpt_holds_its_sentences_and_their_labels() -> None:
    several = made(rationale())
    runs = [one for one in several if len(one[0]) <= 3]
    assert {len(numbers) for numbers, _, _ in runs} == {1, 2, 3}
    for numbers, text, scores in several:
        assert text == " ".join(SENTENCES[number] for number in sorted(numbers))
        assert scores["syria"] == float(bool(numbers & {0, 4}))
        if not numbers & {0, 1}:
            assert scores["war"] == 0


def test_an_article_without_one_label_keeps_the_others() -> None:
    rest = [(numbers, scores) for numbers, _, scores in made(rationale()) if len(numbers) > 3]
    assert {frozenset(range(10)) - numbers for numbers, _ in rest} == {frozenset({0, 1}), frozenset({0, 4})}
    for numbers, scores in rest:
        lost = "war" if 1 not in numbers else "syria"
        assert scores[lost] == 0
        if lost == "war":
            assert scores["syria"] == 1


def test_a_topic_in_little_of_an_excerpt_is_not_decided_and_an_actor_is() -> None:
    sparse = [one for one in made(rationale()) if len(one[0]) == 8 and 1 in one[0]]  # war in one sentence of eight
    assert sparse
    assert all("war" not in scores and scores["syria"] == 0 for _, _, scores in sparse)


def test_what_only_sentences_together_carry_needs_them_all() -> None:
    one = rationale(carried={}, together={"war": frozenset({2, 3})})
    for numbers, _, scores in made(one):
        shared = len(numbers & {2, 3})
        assert scores.get("war") == {0: 0.0, 1: None, 2: 1.0}[shared]


def test_a_doubtful_label_is_never_decided() -> None:
    assert all("war" not in scores for _, _, scores in made(rationale(doubtful=frozenset({"war"}))))


def test_a_headline_stays_the_headline() -> None:
    one = LabelledArticle("a", "عنوان  أول", TEXT, ())
    with_title = rationale(sentences=(("title", 0, 9), *rationale().sentences))
    titles = {excerpt.title for seed in range(20) for excerpt, _ in excerpts([one], [with_title], SCHEME, seed)}
    assert titles == {None, "عنوان أول"}


def test_articles_without_rationale_and_rationales_without_article_are_passed_over() -> None:
    assert list(excerpts([article(name="b")], [rationale()], SCHEME)) == []


def test_another_text_under_the_same_id_is_refused() -> None:
    with pytest.raises(WusumError, match="a: its text is not the one whose sentences were marked"):
        list(excerpts([article("نص آخر")], [rationale()], SCHEME))


def test_the_same_seed_gives_the_same_excerpts_and_no_id_twice() -> None:
    first, again = ([pair[0].id for pair in excerpts([article()], [rationale()], SCHEME, 3)] for _ in range(2))
    assert first == again and len(set(first)) == len(first)


def test_sentences_that_name_an_office_holder_come_with_other_holders_too() -> None:
    sentences = ["أعلن جون كيري ذلك.", "الطقس جميل.", "ورحب كيري بالهدنة."]
    text, places, start = " ".join(sentences), [], 0
    for sentence in sentences:
        places.append(("text", start, start + len(sentence)))
        start += len(sentence) + 1
    carried = {"war": frozenset({2}), "syria": frozenset({0, 2})}
    one = rationale(sha256=text_hash(text), sentences=tuple(places), carried=carried)
    holders = OfficeHolders([["جون | كيري", "أنتوني | بلينكن", "كولن | باول"]])
    plain = list(excerpts([article(text)], [one], SCHEME))
    both = list(excerpts([article(text)], [one], SCHEME, holders=holders))
    assert both[: len(plain)] == plain
    added = {excerpt.id: (excerpt.text, scores) for excerpt, scores in both[len(plain) :]}
    assert sorted(added) == ["a#0~0", "a#0~1", "a#2~0", "a#2~1"]
    for time in range(2):
        first, scores = added[f"a#0~{time}"]
        assert first in {"أعلن أنتوني بلينكن ذلك.", "أعلن كولن باول ذلك."}
        assert scores == {"war": 0.0, "syria": 1.0}
        last, scores = added[f"a#2~{time}"]
        assert last == f"ورحب {first.split()[2]} بالهدنة."  # one holder in the whole article
        assert scores == {"war": 1.0, "syria": 1.0}


def test_the_file_is_what_a_recipe_takes_as_soft_labels(tmp_path: Path) -> None:
    row = {"id": "a", "text": TEXT, "topics": ["terrorism"], "actors": ["syria"]}
    others = [row | {"id": f"b{number}", "text": f"{number} {TEXT}"} for number in range(3)]
    articles = tmp_path / "articles.jsonl"
    articles.write_text("".join(json.dumps(one) + "\n" for one in (row, *others)), encoding="utf-8")
    split = tmp_path / "split.jsonl"
    parts = [
        {"id": one["id"], "part": part, "cluster": one["id"]}
        for one, part in zip((row, *others), ("train", "train", "dev", "dev"), strict=True)
    ]
    split.write_text("".join(json.dumps(one) + "\n" for one in parts), encoding="utf-8")
    marks = tmp_path / "marks.jsonl"
    written = {"id": "a", "sha256": text_hash(TEXT), "sentences": [list(place) for place in rationale().sentences]}
    marks.write_text(json.dumps(written | {"carried": {"terrorism": [0], "syria": [1]}}) + "\n", encoding="utf-8")
    output = tmp_path / "new" / "excerpts.jsonl"
    main([str(articles), "--split", str(split), "--rationales", str(marks), "-o", str(output)])
    found, targets = read_soft(output, load_taxonomy())
    assert all(one.id.startswith("a#") for one in found)
    assert targets.shape == (len(found), 34)
    with pytest.raises(WusumError, match="exists already; remove it, or name another file"):
        main([str(articles), "--split", str(split), "--rationales", str(marks), "-o", str(output)])
    output.unlink()
    marks.write_text(json.dumps(written | {"id": "b1"}).replace('"b1"', '"b2"') + "\n", encoding="utf-8")
    with pytest.raises(WusumError, match="marks no training article"):
        main([str(articles), "--split", str(split), "--rationales", str(marks), "-o", str(output)])


GOOD: dict[str, Any] = {"id": "a", "sha256": "0" * 64, "sentences": [["text", 0, 4]], "carried": {"syria": [0]}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sentences": [["body", 0, 4]]}, "sentences: expected a list such as"),
        ({"sentences": [["text", 4, 4]]}, "sentences: expected a list such as"),
        ({"carried": {"syri": [0]}}, "carried: .*syria"),
        ({"carried": {"syria": [1]}}, r"carried:syria: \[1\], expected numbers from 0 to 0"),
        ({"carried": []}, "carried: expected an object"),
        ({"together": {"syria": ["0"]}}, "together:syria"),
        ({"doubtful": ["syri"]}, "doubtful: .*syria"),
        ({"doubtful": "syria"}, "doubtful: expected a list"),
        ({"sha256": None}, "sha256"),
    ],
)
def test_a_broken_row_is_told_with_its_place(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | changes) + "\n", encoding="utf-8")
    with pytest.raises(WusumError, match=f"marks.jsonl:2:{told}"):
        read_rationales(path)


def test_the_packaged_rationales_are_of_gold_articles_and_name_their_labels() -> None:
    taxonomy = load_taxonomy()
    gold = {row["id"]: row for row in map(json.loads, RATIONALES.with_name("train.jsonl").open(encoding="utf-8"))}
    split = RATIONALES.with_name("split.jsonl").open(encoding="utf-8")
    dev = {row["id"] for row in map(json.loads, split) if row["part"] == "dev"}
    marked = read_rationales(RATIONALES, taxonomy)
    assert len({one.id for one in marked}) == len(marked)
    for one in marked:
        row = gold[one.id]
        assert one.sha256 == row["sha256"] and one.id not in dev
        named = {*one.carried, *one.together, *one.doubtful}
        assert {*row["topics"], *row["actors"]} <= named
        assert named - one.doubtful <= {*row["topics"], *row["actors"]}


def test_white_space_is_one_space() -> None:
    assert one_spaced(" ا\u0654 \t\nب ") == "أ ب"
