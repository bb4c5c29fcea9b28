"""Evidence: the right sentences, at exact offsets of what was handed in, at a bounded cost."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from wusum.inference import Article, Tagger
from wusum.inference.canonical import end_of_reading
from wusum.inference.cleaner import clean_page
from wusum.inference.evidence import (
    EXTRA_COST,
    MIN_CHARS,
    EvidenceFinder,
    Passage,
    field_passages,
    page_passages,
    read_sentences,
)
from wusum.inference.features import MAX_TITLE_CHARS, Features, Featuriser, InputConfig, SpecialTokens
from wusum.inference.scoring import Scoring
from wusum.inference.sentences import MAX_CHARS

FILLER = "وتجمع سكان القرية في الساحة بعد الظهر لسماع ما جرى في الاجتماع الأخير للمجلس"
RUSSIA = "وقال المتحدث باسم الكرملين إن روسيا سترسل وفدا إلى العاصمة قبل نهاية الشهر"
IRAN = "وأعلنت وزارة الخارجية في طهران أن إيران لن تشارك في المحادثات المقبلة هناك"
WORDS = {"[UNK]": 0, "[START]": 1, "[END]": 2, "[PAD]": 3, "روسيا": 4, "إيران": 5}
SCORING = Scoring("multi_label", (1.0, 1.0), (-2.0, -2.0), (0.5, 0.5))

LINES = (
    *(FILLER + ".", RUSSIA + ".", IRAN, "مطر غزير في الوادي يقطع الطريق", "قال.وأضاف .ثم عاد", "كلمة، " * 150),
    *("الرئيسية", "شارك الخبر", "اقرأ أيضا", "الثلاثاء 3 أيار 2016 | 11:26", "نعم.", "***", "", "🎉", "ا\0", "\ud800"),
)
ENDS = ("\n", "\r\n", "\n\n", "\r", "\x85", "\u2028", "\x0b", "\n \u00a0\n")
MARKS = ("", " ", "\t", "\u00a0", "\u200f", "\u202b", "\ufeff", "\0", " \0 ")
PAGES = st.lists(
    st.tuples(*map(st.sampled_from, (MARKS, LINES, MARKS, ENDS))).map("".join),
    max_size=14,
).map("".join)


def bare(text: str) -> str:
    return "".join(text.split())


def make_featuriser(**changes: object) -> Featuriser:
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    config = InputConfig("plain-1", **{"prefix": "query: "} | changes)  # type: ignore[arg-type]
    return Featuriser(tokenizer, config, SpecialTokens(1, 2, 3))


class Counter:
    """Stands for an engine: the logit of a label is four times how often its word is read."""

    def __init__(self) -> None:
        self.tokens = 0
        self.calls = 0

    def __call__(self, features: Features) -> npt.NDArray[np.float32]:
        self.tokens += features.ids.size
        self.calls += 1
        return np.array([4 * (features.ids == word).sum() for word in (4, 5)], dtype=np.float32)


def find(text: str, title: str | None = None, **changes: object) -> dict[str, tuple[str, ...]]:
    """The texts of the evidence for both labels."""
    featurise = make_featuriser(**changes)
    article = Article(text, title)
    finder = EvidenceFinder(featurise, Counter(), SCORING)
    passages = field_passages(article, featurise.config)
    found = finder.find(passages, {"russia": 0, "iran": 1}, featurise(article).ids.size)
    return {label: tuple(one.text for one in sentences) for label, sentences in found.items()}


def check_spans(passages: list[Passage], read: str) -> None:
    """Sentences lie in their passages, in order, and hold all that the model reads and nothing that it does not."""
    sentences = read_sentences(passages)
    assert bare("".join(one.read_text for one in sentences)) == bare(read)
    for one in sentences:
        assert one.text == one.text.strip() != ""
        assert one.start < one.passage.read
        assert one.end - one.start <= MAX_CHARS


def read(text: str, most: int) -> str:
    return text[: end_of_reading(text, most)]


@settings(max_examples=150, deadline=None)
@given(PAGES, st.sampled_from((1, 60, 300, 2400)))
def test_sentences_of_a_page_are_exact(page: str, most: int) -> None:
    clean = clean_page(page)
    assert "\n".join(page[start:end] for start, end in clean.line_spans) == clean.body
    assert (clean.title is None) == (clean.title_span is None)
    if clean.title_span is not None:
        assert page[slice(*clean.title_span)] == clean.title
    passages = page_passages(page, clean, InputConfig("plain-1", max_chars=most))
    assert all(passage.original is page and passage.field == "text" for passage in passages)
    check_spans(passages, read(clean.title or "", MAX_TITLE_CHARS) + read(clean.body, most))


@settings(max_examples=100, deadline=None)
@given(PAGES, st.none() | PAGES, st.sampled_from((1, 60, 300, 2400)))
def test_sentences_of_fields_are_exact(text: str, title: str | None, most: int) -> None:
    passages = field_passages(Article(text, title), InputConfig("plain-1", max_chars=most))
    check_spans(passages, read(title or "", MAX_TITLE_CHARS) + read(text, most))


def test_short_sentences_go_with_their_neighbours() -> None:
    text = f"نعم. {FILLER}.وغادر. {RUSSIA}.انتهى"
    passages = field_passages(Article(text, "لقاء في جنيف"), InputConfig("plain-1"))
    assert [one.text for one in read_sentences(passages)] == [
        "لقاء في جنيف",
        f"نعم. {FILLER}.",
        f"وغادر. {RUSSIA}.انتهى",
    ]
    tiny = read_sentences(field_passages(Article("نعم. " * 400), InputConfig("plain-1")))
    assert all(MIN_CHARS <= len(one.text) < 2 * MIN_CHARS for one in tiny)


def test_a_label_gets_the_sentences_that_carry_it() -> None:
    text = f"{FILLER}.{RUSSIA}.{IRAN} .{FILLER}. {FILLER}؛ {RUSSIA} وإيران"
    assert find(text) == {"russia": (f"{RUSSIA}.", f"{RUSSIA} وإيران"), "iran": (f"{IRAN} .",)}


def test_there_are_three_at_most_the_strongest_first_and_one_at_least() -> None:
    assert find(f"{RUSSIA}. {RUSSIA} روسيا. {IRAN}. {RUSSIA}. {RUSSIA}.")["russia"] == (
        f"{RUSSIA} روسيا.",
        f"{RUSSIA}.",
        f"{RUSSIA}.",
    )
    assert find(f"{FILLER}. {IRAN}.")["russia"] == (f"{FILLER}.",)
    assert find(" \n ") == {"russia": (), "iran": ()}


def test_a_headline_is_evidence_by_its_own_offsets() -> None:
    article = Article(f"{FILLER}.", "  روسيا ترسل وفدا  ")
    featurise = make_featuriser()
    finder = EvidenceFinder(featurise, Counter(), SCORING)
    (one,) = finder.find(field_passages(article, featurise.config), {"russia": 0}, 50)["russia"]
    assert (one.field, one.start, one.end, one.text) == ("title", 2, 17, "روسيا ترسل وفدا")
    assert one.weight == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-4)


def test_only_what_the_windows_hold_is_evidence() -> None:
    text = "\n".join((f"{FILLER}.", f"{IRAN}.", f"{FILLER}.", f"{RUSSIA}."))
    assert find(text)["russia"] == (f"{RUSSIA}.",)
    assert find(text, window=40, max_windows=1)["russia"] != (f"{RUSSIA}.",)
    assert find(text, window=40, max_windows=1)["iran"] == (f"{IRAN}.",)
    tail = find(text, window=40, max_windows=1, view="head_tail")
    assert tail["russia"] == (f"{RUSSIA}.",)
    assert find(text, max_chars=len(FILLER) + 2 + len(IRAN))["russia"] == (f"{FILLER}.",)


@settings(max_examples=100, deadline=None)
@given(PAGES, st.sampled_from(("", "query: ", "اقرأ هذا كله : ")))
def test_the_cost_is_bounded_whatever_the_text(page: str, prefix: str) -> None:
    featurise, engine, clean = make_featuriser(prefix=prefix), Counter(), clean_page(page)
    finder = EvidenceFinder(featurise, engine, SCORING)
    passages = page_passages(page, clean, featurise.config)
    plain = featurise(Article(clean.body, clean.title)).ids.size
    finder.find(passages, {"russia": 0}, plain)
    assert engine.tokens <= EXTRA_COST * plain
    before = engine.calls
    assert finder.find(passages, {}, plain) == {}
    assert engine.calls == before


PAGE = (
    f"الرئيسية\r\nالكرملين يرسل وفدا إلى العاصمة\r\n\r\n\t{RUSSIA}.{FILLER}.\u00a0\r\n{IRAN}\u200f .\r\nشارك الخبر\r\n"
)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.load(threads=1)


@pytest.mark.parametrize("form", [PAGE, {"text": PAGE}, {"title": RUSSIA, "text": IRAN + "."}, Article(IRAN, RUSSIA)])
def test_a_prediction_tells_its_evidence(tagger: Tagger, form: str | dict[str, str] | Article) -> None:
    plain, told = tagger.predict(form), tagger.predict(form, evidence=True)
    assert plain.evidence is None
    assert "evidence" not in plain.to_dict()
    assert told.evidence is not None
    assert tuple(told.evidence) == plain.topics + plain.actors
    assert {"russia", "iran"} <= set(told.evidence)
    fields = {"text": form} if isinstance(form, str) else form if isinstance(form, dict) else vars(form)
    for sentences in told.evidence.values():
        assert 1 <= len(sentences) <= 3
        assert all(fields[one.field][one.start : one.end] == one.text for one in sentences)
    assert RUSSIA in told.evidence["russia"][0].text
    assert IRAN in told.evidence["iran"][0].text
    assert json.loads(json.dumps(told.to_dict()))["evidence"]["iran"][0]["text"] == told.evidence["iran"][0].text
    without = {name: value for name, value in told.to_dict().items() if name != "evidence"}
    assert without == plain.to_dict()


def test_lists_and_streams_take_evidence_too(tagger: Tagger) -> None:
    both = tagger.predict([PAGE, "", {"text": "The ministers met in Geneva."}], evidence=True)
    assert both[0] == tagger.predict(PAGE, evidence=True) == next(tagger.stream(iter([PAGE]), evidence=True))
    assert [one.evidence for one in both[1:]] == [{}, {}]


def test_a_single_label_bundle_has_evidence_for_its_label(tiny_bundle: Path) -> None:
    tiny = Tagger.load(tiny_bundle, threads=1)
    labels = len(tiny.taxonomy)
    scoring = Scoring("single_label", (2.0,) * labels, (0.0,) * labels, ())
    single = Tagger(dataclasses.replace(tiny.bundle, scoring=scoring), threads=1).predict(PAGE, evidence=True)
    assert single.evidence is not None
    ((label, sentences),) = single.evidence.items()
    assert (label,) == single.topics + single.actors
    assert all(PAGE[one.start : one.end] == one.text for one in sentences)
    assert sentences[0].weight == max(one.weight for one in sentences)
