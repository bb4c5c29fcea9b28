"""The same global batches on any number of processes: the last, short batch is filled up with blanks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Sampler

from .batches import FeatureDataset, LengthGroupedSampler

BLANK = -1


class BlankableDataset(Dataset[dict[str, Any]]):
    """A data set that has one more article, ``BLANK``: a short one that nobody judged, so that it gives no loss."""

    def __init__(self, data: FeatureDataset) -> None:
        """Take the data set; its narrowest article lends the blank its features."""
        self.data = data
        narrowest = data[int(np.argmin(data.widths))]
        self._blank = narrowest | {"labels": np.full_like(narrowest["labels"], np.nan)}

    def __len__(self) -> int:
        """Return the number of articles, without the blank."""
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an article, or the blank."""
        return self._blank if index == BLANK else self.data[index]


class WholeBatchSampler(Sampler[int]):
    """A length-grouped order that blanks fill up to whole batches.

    accelerate gives consecutive equal parts of every batch to the processes. Left to itself it would repeat articles
    where the last batch is short, which counts them twice.
    """

    def __init__(self, order: LengthGroupedSampler, batch_size: int) -> None:
        """Take the order of the articles and the number of articles in a batch, over all processes."""
        self._order = order
        self._blanks = -len(order) % batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of articles, blanks included."""
        return len(self._order) + self._blanks

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of one epoch."""
        yield from self._order
        yield from [BLANK] * self._blanks
