"""predict(): shapes, order, notes, and the same scores alone and in company."""

from pathlib import Path

import pytest

from wusum.inference import Article, Prediction, Tagger, predict
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


def test_embedded_model_by_function() -> None:
    prediction = predict({"title": "قصف على مواقع داعش في سوريا", "text": TEXT})
    assert {"russia", "syria"} <= set(prediction.actors)
