"""Batches: targets with gaps, weights, few widths, an order that several processes share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wusum.inference.features import Features, Featuriser, InputConfig, SpecialTokens
from wusum.training.data import LabelledArticle

torch = pytest.importorskip("torch")
from torch.utils.data import BatchSampler, DataLoader  # noqa: E402

from wusum.training.batches import Collator, FeatureDataset, LengthGroupedSampler  # noqa: E402

PAD = 1


@pytest.fixture(scope="module")
def featurise() -> Featuriser:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Featuriser(tokenizer, InputConfig("arabert-v02", window=40, max_windows=3), SpecialTokens(0, 2, PAD))


def articles(*lengths: int) -> list[LabelledArticle]:
    return [LabelledArticle(str(number), None, "كلمة " * length, ()) for number, length in enumerate(lengths)]


def test_targets_and_weights_come_through(featurise: Featuriser) -> None:
    targets = np.array([[1, 0, np.nan], [0.25, np.nan, 1]])
    data = FeatureDataset(articles(3, 50), targets, featurise, weights=np.array([1.0, 0.5]))
    assert data.window == 40
    batch = Collator(PAD, data.window)([data[0], data[1]])
    assert batch["labels"].dtype == batch["weights"].dtype == torch.float32
    assert np.array_equal(batch["labels"].numpy(), targets.astype(np.float32), equal_nan=True)
    assert batch["weights"].tolist() == [1.0, 0.5]
    plain = FeatureDataset(articles(3, 50), np.array([[True], [False]]), featurise)
    batch = Collator(PAD)([plain[1], plain[0]])
    assert batch["labels"].tolist() == [[0.0], [1.0]]
    assert batch["weights"].tolist() == [1.0, 1.0]


def item(windows: int, width: int) -> dict[str, Any]:
    ids = np.arange(10, 10 + windows * width, dtype=np.int64).reshape(windows, width)
    return {"features": Features(ids, np.ones_like(ids), False), "labels": np.zeros(2, np.float32), "weight": 1.0}


@pytest.mark.parametrize(
    ("widest", "window", "width"),
    [(5, 256, 32), (32, 256, 32), (33, 256, 64), (250, 256, 256), (129, 130, 130), (17, 17, 17), (33, None, 33)],
)
def test_widths_are_rounded_up_but_never_beyond_the_window(widest: int, window: int | None, width: int) -> None:
    batch = Collator(PAD, window)([item(1, 4), item(2, widest)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, width)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(2, 50)), min_size=1, max_size=5))
def test_the_grid_holds_every_window_once(shapes: list[tuple[int, int]]) -> None:
    items = [item(*shape) for shape in shapes]
    batch = Collator(PAD, 50)(items)
    seen = []
    for row, one in zip(batch["windows"].tolist(), items, strict=True):
        rows = [window for window in row if window >= 0]
        seen += rows
        ids, mask = batch["input_ids"][rows].numpy(), batch["attention_mask"][rows].numpy().astype(bool)
        assert (ids[mask] == one["features"].ids.ravel()).all()
        assert (ids[~mask] == PAD).all()
    assert seen == list(range(len(batch["input_ids"])))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(2, 256), min_size=1, max_size=300),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_processes_share_the_batches_of_one_order(widths: list[int], each: int, processes: int, epoch: int) -> None:
    from accelerate.data_loader import BatchSamplerShard

    size = each * processes
    sampler = LengthGroupedSampler(widths, size, seed=7)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(widths)))
    whole = [order[start : start + size] for start in range(0, len(order), size)]

    def shares(split: bool) -> list[list[list[int]]]:
        batches = BatchSampler(sampler, size if split else each, drop_last=False)
        return [
            list(BatchSamplerShard(batches, processes, rank, split_batches=split, even_batches=False))
            for rank in range(processes)
        ]

    for split in (True, False):
        for step, batch in enumerate(whole):
            parts = [share[step] for share in shares(split) if step < len(share)]
            assert [index for part in parts for index in part] == batch


def test_like_widths_are_neighbours_and_epochs_differ() -> None:
    widths = [number * 7 % 50 for number in range(101)]
    sampler = LengthGroupedSampler(widths, 4, seed=1)
    first = list(sampler)
    assert len(sampler) == 101
    assert list(sampler) == first
    assert list(LengthGroupedSampler(widths, 4, seed=2)) != first
    sampler.set_epoch(1)
    assert list(sampler) != first
    spread = [np.ptp([widths[index] for index in first[low : low + 4]]) for low in range(0, 100, 4)]
    assert np.mean(spread) < 5


def test_a_loader_takes_all_three(featurise: Featuriser) -> None:
    data = FeatureDataset(articles(*range(1, 12)), np.zeros((11, 2)), featurise)
    sampler = LengthGroupedSampler(data.widths, 4, seed=0)
    batches = list(DataLoader(data, batch_size=4, sampler=sampler, collate_fn=Collator(PAD, data.window)))
    assert [len(batch["weights"]) for batch in batches] == [4, 4, 3]
