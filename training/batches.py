"""Articles into batches: features once, windows of like length together, no more padding than needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from ..inference.features import Features, Featuriser
from .data import LabelledArticle
from .progress import watched

CHUNK_BATCHES = 24  # articles are sorted by length within chunks of so many batches: little padding, random enough
WIDTH_STEP = 32  # glibc keeps the memory of batches of ever new shapes; few shapes keep it level (EXPERIMENTS.md)


class FeatureDataset(Dataset[dict[str, Any]]):
    """Features, targets and weights of articles, computed once and kept in memory (about 4 kB an article)."""

    def __init__(
        self,
        articles: Sequence[LabelledArticle],
        targets: npt.NDArray[np.floating[Any]] | npt.NDArray[np.bool_],
        featurise: Featuriser,
        weights: npt.NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Featurise every article.

        Args:
            articles: what is learned from.
            targets: shape (articles, labels): 1, 0, a probability between, or NaN where there is nothing to learn.
            featurise: makes token windows.
            weights: weight of each article's loss, shape (articles,); all 1 when None.
        """
        self.features: list[Features] = [
            featurise(article.article) for article in watched(articles, len(articles), "reading")
        ]
        self.window = featurise.config.window
        self._targets = targets.astype(np.float32)
        self._weights = np.ones(len(articles), np.float32) if weights is None else weights.astype(np.float32)

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.features)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one article's features, labels and weight."""
        return {"features": self.features[index], "labels": self._targets[index], "weight": self._weights[index]}

    @property
    def widths(self) -> list[int]:
        """Tokens per window of every article."""
        return [features.ids.shape[1] for features in self.features]


@dataclass(frozen=True)
class Collator:
    """Puts the windows of several articles into one grid.

    Attributes:
        pad: id of the padding token.
        window: the recipe's tokens per window. The grid's width is rounded up to a multiple of 32, but never above it;
            when None, the grid is as wide as its widest window.
    """

    pad: int
    window: int | None = None

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return what ``ArticleTagger.forward`` takes.

        ``input_ids`` and ``attention_mask`` have the shape (windows, tokens), ``windows`` (articles, most windows of
        one) holds rows of them or -1, ``labels`` is (articles, labels) and ``weights`` (articles,).
        """
        features: list[Features] = [item["features"] for item in items]
        total = sum(len(one.ids) for one in features)
        width = self._width(max(one.ids.shape[1] for one in features))
        ids = np.full((total, width), self.pad, dtype=np.int64)
        mask = np.zeros((total, width), dtype=np.int64)
        windows = np.full((len(features), max(len(one.ids) for one in features)), -1, dtype=np.int64)
        row = 0
        for article, one in enumerate(features):
            count, length = one.ids.shape
            ids[row : row + count, :length] = one.ids
            mask[row : row + count, :length] = one.mask
            windows[article, :count] = np.arange(row, row + count)
            row += count
        labels = np.stack([item["labels"] for item in items])
        weights = np.array([item["weight"] for item in items], dtype=np.float32)
        arrays = {"input_ids": ids, "attention_mask": mask, "windows": windows, "labels": labels, "weights": weights}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _width(self, widest: int) -> int:
        if self.window is None:
            return widest
        return max(widest, min(self.window, -(-widest // WIDTH_STEP) * WIDTH_STEP))


class LengthGroupedSampler(Sampler[int]):
    """A random order in which articles of like width are neighbours.

    The order depends on seed and epoch alone, so that a resumed run sees the very batches that it would have seen.

    Several processes share it: each iterates over the same order, in which batch ``k`` holds the positions from
    ``k * batch_size`` up to ``(k + 1) * batch_size``; only the last batch may be short. So ``batch_size`` must be the
    number of articles per step over all processes. accelerate's ``BatchSamplerShard`` then gives each process its own
    slice of every batch, either way: by splitting batches of that size (``split_batches``), or by dealing out batches
    of one process's size in turn.

    Example:
        >>> order = list(LengthGroupedSampler([9, 3, 8, 2, 7, 1], batch_size=2, seed=0))
        >>> sorted(tuple(sorted(order[start : start + 2])) for start in (0, 2, 4))
        [(0, 2), (1, 4), (3, 5)]
    """

    def __init__(self, widths: Sequence[int], batch_size: int, seed: int) -> None:
        """Take the windows' widths, and the number of articles that share a step, over all processes."""
        self._widths = np.asarray(widths)
        self._batch = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; accelerate calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self._widths)

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of one epoch."""
        rng = np.random.default_rng((self._seed, self._epoch))
        order = rng.permutation(len(self._widths))
        chunk = self._batch * CHUNK_BATCHES
        batches: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(order), chunk):
            part = order[start : start + chunk]
            part = part[np.argsort(self._widths[part], kind="stable")]
            batches.extend(part[low : low + self._batch] for low in range(0, len(part), self._batch))
        # A short batch anywhere but at the end would shift the borders of all later ones.
        full = [batch for batch in batches if len(batch) == self._batch]
        short = [batch for batch in batches if len(batch) < self._batch]
        mixed = [full[position] for position in rng.permutation(len(full))]
        yield from np.concatenate([*mixed, *short]).tolist()
