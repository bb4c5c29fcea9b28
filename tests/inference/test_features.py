"""Windows: nothing lost, nothing doubled, no more padding than needed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from wusum.inference.article import Article
from wusum.inference.features import Featuriser, InputConfig, SpecialTokens, split_evenly
from wusum.labels import WusumError

SPECIAL = SpecialTokens(2, 3, 0)


@pytest.fixture
def tokenizer(tiny_encoder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))


@given(st.integers(0, 500), st.integers(1, 9))
def test_split_evenly_covers_all(count: int, parts: int) -> None:
    runs = split_evenly(count, parts)
    assert [item for run in runs for item in range(count)[run]] == list(range(count))
    lengths = [run.stop - run.start for run in runs]
    assert len(runs) == parts
    assert max(lengths) - min(lengths) <= 1


def test_windows_hold_every_token_in_order(tokenizer: Tokenizer) -> None:
    text = "قال الوزير إن الاجتماع عقد في العاصمة. " * 20
    config = InputConfig("arabert-v02", max_chars=10_000, window=32, max_windows=50)
    features = Featuriser(tokenizer, config, SPECIAL)(Article(text))
    whole = Featuriser(tokenizer, InputConfig("arabert-v02", max_chars=10_000, window=5000), SPECIAL)(Article(text))
    joined = [token for row in features.ids.tolist() for token in row if token not in (2, 3, 0)]
    assert joined == [token for token in whole.ids[0].tolist() if token not in (2, 3)]
    assert len(features.ids) > 1
    assert features.ids.shape[1] <= 32
    assert (features.ids[:, 0] == 2).all()
    assert (features.mask == 0).sum() <= len(features.ids)
    assert not features.truncated


def test_title_comes_first_and_text_is_cut(tokenizer: Tokenizer) -> None:
    config = InputConfig("arabert-v02", max_chars=20)
    featurise = Featuriser(tokenizer, config, SPECIAL)
    with_title = featurise(Article("نص قصير", "عنوان"))
    assert np.array_equal(with_title.ids, featurise(Article("عنوان\nنص قصير")).ids)
    assert not with_title.truncated
    assert featurise(Article("نص " * 50)).truncated


def test_tokens_beyond_the_last_window_are_noted(tokenizer: Tokenizer) -> None:
    config = InputConfig("arabert-v02", window=16, max_windows=2)
    features = Featuriser(tokenizer, config, SPECIAL)(Article("كلمة " * 200))
    assert features.ids.shape == (2, 16)
    assert features.truncated


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "\ud800", "🎉", "a" * 5000])
def test_odd_text_gives_a_window(tokenizer: Tokenizer, text: str) -> None:
    features = Featuriser(tokenizer, InputConfig("arabert-v02"), SPECIAL)(Article(text))
    assert features.ids.shape == features.mask.shape
    assert features.ids[0, 0] == 2


def test_sizes_are_checked() -> None:
    with pytest.raises(WusumError, match=r"input\.window: 2 is too small"):
        InputConfig("arabert-v02", window=2)
