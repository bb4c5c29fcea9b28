"""Fitting the table of n-grams: it learns what tells labels apart and keeps the weightiest."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from wusum.inference.bundle import NGRAMS, open_bundle
from wusum.inference.features import Features
from wusum.labels import WusumError
from wusum.training.config import NgramConfig, load_config
from wusum.training.ngrams import count_ngrams, fit_ngrams
from wusum.training.pipeline import train

CONFIG = NgramConfig(order=2, features=1000, least_articles=2, weight=1.0)


def read(pieces: list[int]) -> Features:
    ids = np.array([[0, *pieces, 2]], dtype=np.int64)
    return Features(ids, np.ones_like(ids), False)


def articles(seed: int = 0, count: int = 60) -> tuple[list[Features], np.ndarray]:
    """Noise; label 0 is the piece 100, label 1 the pieces 101 and 102 in this order, label 2 is never given."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((count, 3), dtype=bool)
    truth[:, 0], truth[:, 1] = rng.random(count) < 0.5, rng.random(count) < 0.5
    features = []
    for first, second in truth[:, :2]:
        pair = [101, 102] if second else [102, 101]
        features.append(read([*rng.integers(10, 50, 15), *([100] if first else []), *pair, *rng.integers(10, 50, 15)]))
    return features, truth


def test_it_learns_pieces_and_their_order() -> None:
    features, truth = articles(count=300)
    table = fit_ngrams(features, truth, np.ones_like(truth), CONFIG)
    others, expected = articles(seed=1)
    margins = np.stack([table.logits(one) for one in others])
    assert ((margins > 0) == expected)[:, :2].mean() > 0.95
    np.testing.assert_array_equal(margins[:, 2], 0)  # a label that is never given adds nothing


def test_only_the_weightiest_are_kept() -> None:
    features, truth = articles()
    judged = np.ones_like(truth)
    small = fit_ngrams(features, truth, judged, dataclasses.replace(CONFIG, features=8))
    large = fit_ngrams(features, truth, judged, CONFIG)
    assert len(small.keys) == 8 < len(large.keys)
    assert set(small.keys) < set(large.keys)
    margins = np.stack([small.logits(one) for one in features])
    assert ((margins > 0) == truth)[:, :2].mean() > 0.9


def test_the_weight_scales_what_is_added() -> None:
    features, truth = articles()
    one, two = (
        fit_ngrams(features, truth, np.ones_like(truth), dataclasses.replace(CONFIG, weight=weight))
        for weight in (1.0, 2.0)
    )
    np.testing.assert_allclose(two.logits(features[0]), 2 * one.logits(features[0]), rtol=1e-6)


def test_articles_that_nobody_judged_teach_nothing() -> None:
    features, truth = articles(count=120)
    judged = np.ones_like(truth)
    judged[60:, 0] = False
    wrong = truth.copy()
    wrong[60:, 0] = ~wrong[60:, 0]
    left, right = (fit_ngrams(features, given, judged, CONFIG) for given in (truth, wrong))
    np.testing.assert_array_equal(left.weights[:, 0], right.weights[:, 0])


def test_counts_are_those_of_the_articles() -> None:
    keys, counts = count_ngrams([read([5, 5, 6]), read([6]), read([])], 1)
    assert counts.toarray().sum(axis=1).tolist() == [3, 1, 0]
    assert (np.diff(keys.astype(np.int64)) > 0).all()


def test_articles_without_common_ngrams_are_refused() -> None:
    truth = np.array([[True], [False]])
    with pytest.raises(WusumError, match=r"ngrams\.least_articles: no n-gram occurs in 2"):
        fit_ngrams([read([5, 6]), read([7, 8])], truth, truth | True, CONFIG)


@pytest.mark.parametrize("key", ["order", "features", "least_articles", "cost", "weight"])
def test_sizes_of_nothing_are_refused(tiny_recipe: list[str], key: str) -> None:
    with pytest.raises(WusumError, match=rf"ngrams\.{key}: 0"):
        load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"ngrams.{key}=0"])


def test_a_finished_training_gets_its_table_afterwards(tiny_recipe: list[str], tmp_path: Path) -> None:
    overrides = [*tiny_recipe[1:], f"output={tmp_path / 'run'}", "optimisation.epochs=1"]
    plain = train(load_config(Path(tiny_recipe[0]), overrides))
    assert open_bundle(plain).ngrams == 0
    plain.rename(tmp_path / "plain")
    config = load_config(Path(tiny_recipe[0]), [*overrides, "ngrams.features=200"])
    bundle = open_bundle(train(config))
    assert bundle.ngrams == 2
    assert NGRAMS in bundle.files
    assert bundle.training["dev"]["without_ngrams"].keys() == bundle.training["dev"]["served"].keys()
    assert "200 n-grams" in (bundle.folder / "README.md").read_text(encoding="utf-8")
    before, after = (json.loads((folder / "bundle.json").read_text()) for folder in (tmp_path / "plain", bundle.folder))
    assert before["files"]["model.onnx"] == after["files"]["model.onnx"]  # nothing was trained again
