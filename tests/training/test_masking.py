from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from wusum.training.masking import IGNORED, WordMasker, word_starts
from wusum.training.pretrain_data import Windows

MASK = 4


def sentencepiece(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    return tokenizer


@pytest.fixture(scope="module")
def texts(samples: list[dict[str, Any]]) -> list[str]:
    return [" ".join(row["text"].split()) for row in samples]


@pytest.fixture(scope="module", params=["sentencepiece", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest, texts: list[str], tiny_encoder: Path) -> tuple[Tokenizer, int]:
    if request.param == "sentencepiece":
        return sentencepiece(texts), MASK
    fast = AutoTokenizer.from_pretrained(tiny_encoder)
    return fast.backend_tokenizer, fast.mask_token_id


def test_pieces_that_begin_words_are_those_that_the_tokenizer_says(
    tokenizer: tuple[Tokenizer, int], texts: list[str]
) -> None:
    starts = word_starts(tokenizer[0])
    for text in texts:
        encoding = tokenizer[0].encode(text, add_special_tokens=False)
        words = encoding.word_ids
        expected = [index == 0 or words[index] != words[index - 1] for index in range(len(words))]
        assert starts[encoding.ids].tolist() == expected


def test_words_are_hidden_whole_and_about_as_many_as_asked(tokenizer: tuple[Tokenizer, int], texts: list[str]) -> None:
    masker = WordMasker.of(*tokenizer, share=0.15, seed=0)
    whole, hidden, tokens = 0, 0, 0
    for row, text in enumerate(texts):
        encoding = tokenizer[0].encode(text, add_special_tokens=False)
        ids, words = np.array(encoding.ids), np.array([word or 0 for word in encoding.word_ids])
        ordinary = masker.ordinary[ids]
        read, targets = masker(ids, 0, row)
        chosen = targets != IGNORED
        assert not (chosen & ~ordinary).any()
        assert (targets[chosen] == ids[chosen]).all() and (read[~chosen] == ids[~chosen]).all()
        for word in np.unique(words[ordinary]):
            if ordinary[words == word].all():
                assert chosen[words == word].all() or not chosen[words == word].any()
                whole += int(chosen[words == word].any())
        hidden, tokens = hidden + int(chosen.sum()), tokens + int(ordinary.sum())
    assert whole > 20
    assert 0.12 < hidden / tokens <= 0.16


def test_hidden_tokens_become_the_mask_another_token_or_stay_in_the_known_shares() -> None:
    size = 1000
    masker = WordMasker(np.ones(size, dtype=bool), np.arange(size) >= 5, MASK, 0.5, seed=1)
    ids = np.tile(np.arange(5, size), 20)
    read, targets = masker(ids, 0, 0)
    chosen = targets != IGNORED
    assert chosen.mean() == pytest.approx(0.5, abs=0.001)
    fates = read[chosen]
    assert (fates == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (fates == ids[chosen]).mean() == pytest.approx(0.1, abs=0.02)
    assert masker.ordinary[fates[fates != MASK]].all()


@given(
    st.lists(st.integers(0, 29), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
    st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_masks_depend_on_seed_epoch_and_row_alone(ids: list[int], share: float, epoch: int, row: int) -> None:
    masker = WordMasker(np.arange(30) % 2 == 0, np.arange(30) >= 5, MASK, share, seed=3)
    window = np.array(ids)
    first, again = masker(window, epoch, row), masker(window, epoch, row)
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert (window == np.array(ids)).all()
    assert (first[1] != IGNORED).any() == (window >= 5).any()


def test_masks_differ_between_seeds_epochs_and_rows() -> None:
    window = np.arange(5, 300)
    drawn = [
        WordMasker(np.ones(300, dtype=bool), np.arange(300) >= 5, MASK, 0.2, seed)(window, epoch, row)[1].tolist()
        for seed, epoch, row in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    assert len({tuple(targets) for targets in drawn}) == 4


def test_a_batch_is_padded_to_a_multiple_of_32_but_not_above_the_window() -> None:
    masker = WordMasker(np.ones(300, dtype=bool), np.arange(300) >= 5, MASK, 0.2, 0)
    rows = [np.arange(5, 5 + length, dtype=np.int32) for length in (3, 33, 40)]
    windows = Windows(rows, masker, pad=1, limit=40)
    short = windows.batch(np.array([0]), 0)
    assert short["input_ids"].shape == (1, 32) and int(short["attention_mask"].sum()) == 3
    assert (short["input_ids"][0, 3:] == 1).all() and (short["targets"][0, 3:] == IGNORED).all()
    assert windows.batch(np.array([0, 2]), 0)["input_ids"].shape == (2, 40)
    assert windows.sha256 != Windows(rows[::-1], masker, 1, 40).sha256
    assert windows.sha256 != Windows([np.concatenate(rows)], masker, 1, 40).sha256
