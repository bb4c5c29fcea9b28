"""predict(): shapes, order, notes, and the same scores alone and in company."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tokenizers import Tokenizer

from wusum.inference import Article, Prediction, Tagger, predict
from wusum.inference.engine import OnnxEngine
from wusum.inference.features import MAX_TITLE_CHARS, Featuriser
from wusum.inference.scoring import Scoring
from wusum.labels import WusumError

TEXT = "قال وزير الخارجية الروسي إن بلاده مستعدة للحوار مع الولايات المتحدة بشأن وقف إطلاق النار في سوريا."


@pytest.fixture(scope="module")
def tagger(tiny_bundle: Path) -> Tagger:
    return Tagger.load(tiny_bundle, threads=1)


def test_one_in_one_out(tagger: Tagger) -> None:
    prediction = tagger.predict(TEXT)
    assert isinstance(prediction, Prediction)
    assert tuple(prediction.scores) == tagger.taxonomy.ids
    chosen = prediction.topics + prediction.actors
    thresholds = tagger.bundle.thresholds
    assert set(chosen) == {label for label, score in prediction.scores.items() if score >= round(thresholds[label], 4)}
    for group in (prediction.topics, prediction.actors):
        assert list(group) == sorted(group, key=lambda label: -prediction.scores[label])


def test_list_in_list_out_and_company_changes_nothing(tagger: Tagger, samples: list[dict[str, str]]) -> None:
    articles = [Article(row["text"], row["title"], row["id"]) for row in samples]
    together = tagger.predict(articles)
    assert [prediction.id for prediction in together] == [row["id"] for row in samples]
    for article, prediction in zip(articles, together, strict=True):
        assert tagger.predict(article) == prediction


def test_forms_of_input_agree(tagger: Tagger) -> None:
    mapping = {"title": "لقاء في جنيف", "text": TEXT}
    before = dict(mapping)
    assert tagger.predict(mapping).scores == tagger.predict(Article(TEXT, "لقاء في جنيف")).scores
    assert mapping == before


def test_stream_is_lazy(tagger: Tagger) -> None:
    endless = iter(lambda: TEXT, None)
    stream = tagger.stream(endless)
    assert next(stream) == next(stream)


def test_notes_tell_what_was_not_read(tagger: Tagger) -> None:
    assert tagger.predict({"text": TEXT * 50}).notes == ("read the first 600 characters",)
    assert tagger.predict({"text": TEXT}).notes == ()


def test_scores_are_calibrated_and_decided_by_the_bundle(tagger: Tagger) -> None:
    bundle = tagger.bundle
    featurise = Featuriser(Tokenizer.from_file(str(bundle.tokenizer_path)), bundle.input, bundle.tokens)
    logits = OnnxEngine(bundle.model_path, 1).logits(featurise(Article(TEXT)))
    scale, shift = np.array(bundle.scoring.scale), np.array(bundle.scoring.shift)
    expected = 1 / (1 + np.exp(-(scale * logits + shift)))
    scores = tagger.predict({"text": TEXT}).scores
    assert list(scores.values()) == pytest.approx(expected.tolist(), abs=1e-4)
    assert list(scores.values()) != pytest.approx((1 / (1 + np.exp(-logits))).tolist(), abs=1e-3)


def test_a_single_label_bundle_gives_exactly_the_best_label(tagger: Tagger) -> None:
    labels = len(tagger.taxonomy)
    scoring = Scoring("single_label", (2.0,) * labels, (0.0,) * labels, ())
    single = Tagger(dataclasses.replace(tagger.bundle, scoring=scoring), threads=1)
    prediction = single.predict({"text": TEXT})
    best = max(prediction.scores, key=lambda label: prediction.scores[label])
    assert prediction.topics + prediction.actors == (best,)
    assert sum(prediction.scores.values()) == pytest.approx(1, abs=0.01)
    assert single.predict({"text": "The ministers met."}).topics == ()


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (3, 5), elements=st.floats(-1e4, 1e4)), st.sampled_from(["multi_label", "single_label"]))
def test_probabilities_are_probabilities_and_decisions_follow_them(
    logits: npt.NDArray[np.float64], task: Literal["multi_label", "single_label"]
) -> None:
    scoring = Scoring(task, (1.5,) * 5, (0.0,) * 5, (0.5,) * 5 if task == "multi_label" else ())
    probabilities = scoring.probabilities(logits)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    decisions = scoring.decide(probabilities)
    if task == "multi_label":
        assert (decisions == (logits >= 0))[np.abs(logits) > 1e-9].all()
    else:
        assert probabilities.sum(axis=1) == pytest.approx(1)
        assert (decisions.sum(axis=1) == 1).all()
    for row, probability, decision in zip(logits, probabilities, decisions, strict=True):
        assert (scoring.probabilities(row) == probability).all()
        assert (scoring.decide(probability) == decision).all()


@pytest.mark.parametrize("text", ["", "  \n", "The ministers met in Geneva.", "123", "🎉", "\x00", "\ud800"])
def test_nothing_to_tag_is_noted(tagger: Tagger, text: str) -> None:
    prediction = tagger.predict({"text": text})
    assert prediction.topics == prediction.actors == ()
    assert "no label given" in prediction.notes[-1]


@pytest.mark.parametrize("given", [{}, {"text": 3}, {"text": "نص", "title": 3}, 7, None])
def test_wrong_input_is_one_sentence(tagger: Tagger, given: object) -> None:
    with pytest.raises(WusumError) as caught:
        tagger.predict([given])  # type: ignore[list-item]
    assert "expected a string" in str(caught.value)


@pytest.mark.parametrize("given", [None, 7, b"\xd9\x86", object()], ids=lambda given: type(given).__name__)
def test_neither_an_article_nor_several_is_one_sentence(tagger: Tagger, given: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: tagger.predict(given),
        lambda: tagger.stream(given),
        lambda: asyncio.run(tagger.apredict(given)),
    ]
    for call in calls:
        with pytest.raises(WusumError) as caught:
            call()
        expected = "expected a string, an Article or a mapping with 'text', or an iterable of these"
        assert str(caught.value) == f"{expected}, got {type(given).__name__}"


@pytest.mark.parametrize("given", [TEXT, {"text": TEXT}, Article(TEXT)], ids=lambda given: type(given).__name__)
def test_a_stream_of_one_article_is_not_one_of_its_parts(tagger: Tagger, given: Any) -> None:
    with pytest.raises(WusumError, match=r"expected an iterable of articles, got one .*; use predict for it"):
        tagger.stream(given)


def test_only_what_is_read_of_an_article_tells_its_language(tagger: Tagger) -> None:
    junk = "Lorem ipsum dolor sit amet. " * 300
    text = TEXT * 5
    assert "not Arabic" not in " ".join(tagger.predict(Article(text, junk)).notes)
    assert tagger.predict(Article(text, junk)).scores == tagger.predict(Article(text, junk[:MAX_TITLE_CHARS])).scores
    read = tagger.bundle.input.max_chars
    assert "not Arabic" in tagger.predict(Article((junk * 2)[:read] + TEXT * 100)).notes[-1]
    assert "no letters to read" in tagger.predict(Article(" " * read + TEXT)).notes[-1]


def test_embedded_model_by_function() -> None:
    prediction = predict({"title": "قصف على مواقع داعش في سوريا", "text": TEXT})
    assert {"russia", "syria"} <= set(prediction.actors)
