"""What pre-training reads: windows of raw articles, and their batches with words hidden."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..inference.features import Featuriser
from ..inference.progress import say
from ..labels.errors import WusumError
from .batches import WIDTH_STEP, LengthGroupedSampler
from .masking import IGNORED, WordMasker
from .pipeline import load_tokenizer
from .pretrain_config import PretrainConfig, PretrainOptimisationConfig
from .progress import watched
from .raw import RawArticle, read_excluded, read_raw


@dataclass(frozen=True)
class Windows:
    """Token windows of articles, each (tokens,) without padding."""

    rows: list[npt.NDArray[np.int32]]
    masker: WordMasker
    pad: int
    limit: int

    def batch(self, indices: npt.NDArray[np.int64], epoch: int) -> dict[str, torch.Tensor]:
        """Return masked ids, attention mask and targets, each (windows, tokens)."""
        width = max(len(self.rows[index]) for index in indices)
        shape = len(indices), min(self.limit, math.ceil(width / WIDTH_STEP) * WIDTH_STEP)
        ids, targets = np.full(shape, self.pad, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for place, index in enumerate(indices):
            length = len(self.rows[index])
            ids[place, :length], targets[place, :length] = self.masker(self.rows[index], epoch, int(index))
            mask[place, :length] = 1
        arrays = {"input_ids": ids, "attention_mask": mask, "targets": targets}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @property
    def widths(self) -> list[int]:
        """Tokens of every window."""
        return [len(row) for row in self.rows]

    @property
    def sha256(self) -> str:
        """One hash over all windows: the identity of what is learned from."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(np.append(row, -1).astype("<i4").tobytes())
        return digest.hexdigest()


def read_windows(config: PretrainConfig, source: Path) -> tuple[Windows, Windows]:
    """Read the articles, draw, and cut them into windows to learn from and windows to measure by."""
    tokenizer, special, mask_id = load_tokenizer(source)
    tally = Counter[str]()
    exclude = read_excluded([Path(path) for path in config.data.exclude])
    articles = list(read_raw([Path(path) for path in config.data.articles], exclude, tally))
    order = np.random.default_rng(config.optimisation.seed).permutation(len(articles))[: config.data.limit]
    if len(order) <= config.data.held_out or config.data.held_out < 1:
        raise WusumError(
            f"data.held_out: {config.data.held_out} of {len(order)} articles; expected at least 1, and some to train on"
        )
    left_out = "".join(f", {count:,} {why}" for why, count in sorted(tally.items()))
    say(f"{len(order):,} of {len(articles):,} articles{left_out}")
    masker = WordMasker.of(tokenizer, mask_id, config.optimisation.mask_share, config.optimisation.seed)
    featurise = Featuriser(tokenizer, config.input, special)

    def cut(chosen: npt.NDArray[np.int64]) -> Windows:
        rows: list[npt.NDArray[np.int32]] = []
        for index in watched(chosen, len(chosen), "reading"):
            rows.extend(_rows(articles[index], featurise, masker))
        return Windows(rows, masker, special.pad, config.input.window)

    return cut(order[config.data.held_out :]), cut(order[: config.data.held_out])


def _rows(article: RawArticle, featurise: Featuriser, masker: WordMasker) -> Iterator[npt.NDArray[np.int32]]:
    features = featurise(article.article)
    for ids, mask in zip(features.ids, features.mask, strict=True):
        row = ids[mask == 1].astype(np.int32)
        if masker.ordinary[row].any():
            yield row


def batches(train: Windows, config: PretrainOptimisationConfig, done: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the batches of the steps after ``done``; what a step gets depends on the seed and its number alone."""
    sampler = LengthGroupedSampler(train.widths, config.batch_size, config.seed)
    per_epoch = math.ceil(len(train.rows) / config.batch_size)
    order = np.zeros(0, dtype=np.int64)
    for step in range(done, config.steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0 or step == done:
            sampler.set_epoch(epoch)
            order = np.fromiter(sampler, dtype=np.int64)
        yield train.batch(order[place * config.batch_size : (place + 1) * config.batch_size], epoch)
