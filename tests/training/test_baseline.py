"""The opponents learn what they can and stay silent about what they cannot."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from wusum.labels import Label, Taxonomy, WusumError, load_taxonomy
from wusum.training.baseline import FastTextBaseline, KeywordBaseline, TfidfBaseline
from wusum.training.evaluate import LabelledTexts
from wusum.training.opponents import fit_opponents

SCHEME = Taxonomy(
    "t",
    "1",
    (
        Label("trade", "topic", "تجارة", "Trade", "d", aliases=("صفقة", "اتفاق تجاري")),
        Label("egypt", "actor", "مصر", "Egypt", "d"),
    ),
)


def corpus(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Made-up texts in which one word decides each label; the third label is never given, the fourth always."""
    generator = np.random.default_rng(seed)
    truth = generator.random((count, 4)) < 0.4
    truth[:, 2], truth[:, 3] = False, True
    filler = np.array(["يوم", "ساعة", "شارع", "مدينة", "طريق"])
    texts = [
        " ".join([*generator.choice(filler, 6), *(["سفير"] if row[0] else []), *(["قصف"] if row[1] else [])])
        for row in truth
    ]
    return texts, truth


def test_tfidf_learns_the_words_that_decide() -> None:
    pytest.importorskip("sklearn")
    baseline = TfidfBaseline().fit(*corpus(120))
    texts, truth = corpus(40, seed=1)
    scores = baseline.scores(texts)
    assert scores.shape == truth.shape
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert np.array_equal(scores[:, :2] >= 0.5, truth[:, :2])


def test_a_label_without_both_answers_keeps_the_one_it_has() -> None:
    pytest.importorskip("sklearn")
    scores = TfidfBaseline().fit(*corpus(60)).scores(["شارع"])
    assert scores[0, 2:].tolist() == [0.0, 1.0]


def test_tfidf_gives_the_same_scores_again() -> None:
    pytest.importorskip("sklearn")
    data, texts = corpus(60), corpus(10, seed=2)[0]
    first, second = (TfidfBaseline().fit(*data).scores(texts) for _ in range(2))
    assert np.array_equal(first, second)


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(WusumError, match=r"wusum\[train\]"):
        TfidfBaseline().fit(*corpus(10))


def test_a_label_is_learned_where_it_was_judged_alone() -> None:
    pytest.importorskip("sklearn")
    texts, truth = corpus(120)
    judged = np.ones_like(truth)
    judged[:60, 0] = False
    wrong = truth.copy()
    wrong[:60, 0] = ~truth[:60, 0]
    first, second = (TfidfBaseline().fit(texts, table, judged).scores(texts[:5]) for table in (truth, wrong))
    assert np.array_equal(first, second)
    judged[:, 1] = False
    assert (TfidfBaseline().fit(texts, truth, judged).scores(texts)[:, 1] == 0).all()


def test_texts_without_common_words_are_refused() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(WusumError, match="cannot learn from these texts") as fault:
        TfidfBaseline().fit(["ا"], np.array([[True]]))
    assert "\n" not in str(fault.value)


def test_fasttext_learns_the_words_that_decide_and_comes_out_the_same_again() -> None:
    pytest.importorskip("fasttext")
    data, (texts, truth) = corpus(200), corpus(60, seed=1)
    first, second = (FastTextBaseline(epochs=100, rate=1.0).fit(*data).scores(texts) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == truth.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert ((first[:, :2] >= 0.5) == truth[:, :2]).mean() > 0.9
    assert (first[:, 2] == 0).all()


def test_what_is_absent_is_told_and_the_others_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setitem(sys.modules, "fasttext", None)
    scheme = Taxonomy(
        "t", "1", tuple(Label(f"l{k}", "topic", word, word, "d") for k, word in enumerate(["سفير", "قصف"]))
    )

    def part(seed: int) -> LabelledTexts:
        texts, truth = corpus(60, seed)
        return LabelledTexts(texts, truth[:, :2], np.ones((60, 2), dtype=bool))

    train, dev = part(0), part(1)
    keywords, tfidf, fasttext = fit_opponents(scheme, train, dev)
    assert np.array_equal(keywords.decisions, dev.truth)
    assert np.array_equal(tfidf.decisions, dev.truth)
    assert fasttext.decisions is None
    assert "pip install fasttext-community" in str(fasttext.absent)
    single = fit_opponents(scheme, train, dev, dev, "single_label")
    assert all((one.decisions.sum(axis=1) == 1).all() for one in single if one.decisions is not None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("زار وفد مصر أمس", [0.0, 0.5]),
        ("أعلن المصرف أرباحه", [0.0, 0.0]),
        ("اتفاق تجاري، ثم صفقة، وصفقة بمصر", [0.75, 0.5]),
        ("قال إن للتجارة شأنا", [0.5, 0.0]),
        ("EGYPT and trade", [0.5, 0.5]),
        ("", [0.0, 0.0]),
    ],
)
def test_keywords_are_whole_words_behind_any_particle(text: str, expected: list[float]) -> None:
    assert KeywordBaseline(SCHEME).scores([text])[0].tolist() == expected


def test_keywords_need_no_training() -> None:
    baseline = KeywordBaseline(SCHEME)
    assert baseline.fit(["مصر"], np.array([[False, False]])) is baseline
    assert baseline.scores([]).shape == (0, 2)


def test_every_label_of_the_packaged_scheme_finds_its_own_name() -> None:
    scheme = load_taxonomy()
    scores = KeywordBaseline(scheme).scores([label.ar for label in scheme.labels])
    assert (np.diag(scores) > 0).all()
