"""The table of n-grams beside the network: what it adds, and what is refused when it is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from wusum.inference import Article, Tagger
from wusum.inference.bundle import NGRAMS, open_bundle
from wusum.inference.bundle_engine import open_bundle_engine
from wusum.inference.engine import open_engine
from wusum.inference.features import Features, Featuriser, read_tokenizer
from wusum.inference.ngrams import NgramTable, ngram_keys, read_ngrams, write_ngrams
from wusum.labels import WusumError

from .test_bundle import edit

Arrays = dict[str, npt.NDArray[Any]]


def read(windows: list[list[int]]) -> Features:
    """Frame windows of pieces as the featuriser does: 0 before, 2 behind, 1 to fill up."""
    width = max(map(len, windows)) + 2
    ids = np.full((len(windows), width), 1, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window) + 2] = [0, *window, 2]
        mask[row, : len(window) + 2] = 1
    return Features(ids, mask, False)


def a_table(features: Features, labels: int = 3, order: int = 2) -> NgramTable:
    keys = np.unique(ngram_keys(features, order))
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (len(keys), labels)).astype(np.int8)
    idf = rng.uniform(1, 5, len(keys)).astype(np.float32)
    scale, bias = (rng.uniform(0.01, 1, labels).astype(np.float32) for _ in range(2))
    return NgramTable(order, keys, idf, weights, scale, bias)


def test_ngrams_are_all_runs_of_pieces() -> None:
    one, two = (ngram_keys(read([[5, 6, 5]]), order) for order in (1, 2))
    assert len(one) == 3
    assert len(set(one.tolist())) == 2
    assert two.tolist()[:3] == one.tolist()
    assert len(set(two.tolist())) == 4
    assert ngram_keys(read([[6, 5]]), 2)[2] != ngram_keys(read([[5, 6]]), 2)[2]
    assert len(ngram_keys(read([[]]), 2)) == 0


def test_keys_never_change() -> None:
    assert ngram_keys(read([[17, 40_000]]), 2).tolist() == [126959999, 181002706, 3300821434]


def test_windows_are_read_as_one_text() -> None:
    assert ngram_keys(read([[5, 6], [7]]), 3).tolist() == ngram_keys(read([[5, 6, 7]]), 3).tolist()


def test_logits_are_those_of_a_linear_model_on_tfidf() -> None:
    table = a_table(read([[5, 6, 7, 8]]))
    features = read([[5, 6, 5, 99], [6, 6]])
    counts = dict.fromkeys(table.keys.tolist(), 0)
    for key in ngram_keys(features, 2).tolist():
        if key in counts:
            counts[key] += 1
    values = np.array([(1 + np.log(n)) if n else 0.0 for n in counts.values()]) * table.idf
    margins = values / np.linalg.norm(values) @ table.weights.astype(np.float64)
    np.testing.assert_allclose(table.logits(features), margins * table.scale + table.bias, rtol=1e-5)
    np.testing.assert_array_equal(table.logits(read([[99, 98]])), table.bias)  # nothing of it is known
    np.testing.assert_array_equal(table.logits(read([[]])), table.bias)


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    table = a_table(read([[5, 6, 7, 8]]))
    write_ngrams(table, tmp_path / NGRAMS)
    back = read_ngrams(tmp_path / NGRAMS, 2, 3)
    features = read([[5, 6, 5]])
    np.testing.assert_array_equal(back.logits(features), table.logits(features))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("idf"), "idf: missing"),
        (lambda a: a.update(more=a["idf"]), "more: unknown"),
        (lambda a: a.update(weights=a["weights"][:, :2].copy()), r"weights: int8 of shape \(7, 2\), expected int8 of"),
        (lambda a: a.update(weights=a["weights"].astype(np.float32)), "weights: float32 of shape"),
        (lambda a: a.update(idf=a["idf"] * np.float32(np.nan)), "idf: holds what is no number"),
        (lambda a: a.update(keys=a["keys"][::-1].copy()), "keys: expected ascending keys"),
        (lambda a: a.update(keys=a["keys"][0]), "not empty; the bundle is damaged"),
        (lambda a: a.update(keys=a["keys"][:0], idf=a["idf"][:0], weights=a["weights"][:0]), "not empty"),
    ],
)
def test_a_table_with_a_fault_is_refused(tmp_path: Path, change: Callable[[Arrays], Any], message: str) -> None:
    path = tmp_path / NGRAMS
    write_ngrams(a_table(read([[5, 6, 7, 8]])), path)
    arrays: Arrays = load_file(path)
    change(arrays)
    save_file({name: np.asarray(array) for name, array in arrays.items()}, path)
    with pytest.raises(WusumError, match=message) as caught:
        read_ngrams(path, 2, 3)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / NGRAMS).write_bytes(b"not safetensors")
    with pytest.raises(WusumError, match="no safetensors file"):
        read_ngrams(tmp_path / NGRAMS, 2, 3)


@pytest.fixture
def bundle(tiny_ngram_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_ngram_bundle, tmp_path / "bundle"))


def test_a_bundle_adds_its_table_to_the_networks_logits(bundle: Path, samples: list[dict[str, Any]]) -> None:
    opened = open_bundle(bundle)
    table = read_ngrams(opened.ngrams_path, opened.ngrams, len(opened.taxonomy))
    featurise = Featuriser(read_tokenizer(opened.tokenizer_path), opened.input, opened.tokens)
    network, whole = open_engine("onnx", opened.model_path, 1), open_bundle_engine(opened, threads=1)
    tagger = Tagger.load(bundle, threads=1)
    for row in samples[:5]:
        article = Article(row["text"], row["title"])
        features = featurise(article)
        logits = network.logits(features) + table.logits(features)
        np.testing.assert_array_equal(whole.logits(features), logits)
        assert np.abs(table.logits(features)).max() > 0.1
        expected = opened.scoring.probabilities(logits).round(4).tolist()
        assert list(tagger.predict(article).scores.values()) == expected


def test_a_bundle_without_its_table_is_refused(bundle: Path) -> None:
    (bundle / NGRAMS).unlink()
    with pytest.raises(WusumError, match=rf"{NGRAMS}: not found"):
        open_bundle(bundle)


@pytest.mark.parametrize("value", [True, -1])
def test_a_wrong_order_is_refused(bundle: Path, value: object) -> None:
    edit(bundle, lambda manifest: manifest.update(ngrams=value))
    with pytest.raises(WusumError, match=":ngrams: "):
        open_bundle(bundle)
