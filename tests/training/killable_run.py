"""One fine-tuning on made-up token windows, in a process of its own: tests kill it, or start several of it at once.

Usage: python killable_run.py ENCODER FOLDER RESULT [name=value ...]; the names are those of the optimisation section.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from transformers import set_seed
from transformers.utils import logging

from wusum.inference.article import Article
from wusum.inference.features import Features, InputConfig
from wusum.labels import load_taxonomy
from wusum.labels.errors import WusumError
from wusum.training import checkpoints, trainer
from wusum.training.batches import FeatureDataset
from wusum.training.config import LossConfig, ModelConfig, OptimisationConfig
from wusum.training.data import LabelledArticle
from wusum.training.device import is_main_process, leave_processes
from wusum.training.losses import make_loss
from wusum.training.model import ArticleTagger, build_model

TOKENS = 400  # fewer than the tiny encoder knows
SETTINGS: dict[str, Any] = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32", "device": "cpu"}


@dataclass
class MadeUp:
    """Stands in for a featuriser."""

    features: dict[str | None, Features]
    config: InputConfig = field(default_factory=lambda: InputConfig("e5-ar-1", window=40))

    def __call__(self, article: Article) -> Features:
        """Return the features that were made for an article."""
        return self.features[article.id]


def make_data(articles: int, seed: int, unjudged: float = 0.0) -> FeatureDataset:
    """Return articles whose labels depend on their tokens; a share of the cells was not judged."""
    rng = np.random.default_rng(seed)
    labels = len(load_taxonomy())
    features: dict[str | None, Features] = {}
    targets = np.zeros((articles, labels), dtype=np.float32)
    for row in range(articles):
        shape = int(rng.integers(1, 3)), int(rng.integers(6, 30))
        ids = rng.integers(5, TOKENS, size=shape)
        features[str(row)] = Features(ids, np.ones(shape, dtype=np.int64), truncated=False)
        targets[row, np.unique(ids % (4 * labels))[:3] % labels] = 1
    targets[rng.random(targets.shape) < unjudged] = np.nan
    rows = [LabelledArticle(id=str(row), title=None, text="-", labels=()) for row in range(articles)]
    return FeatureDataset(rows, targets, MadeUp(features))  # type: ignore[arg-type]


def make_model(encoder: Path, token_dropout: float = 0.2, dropout: float = 0.1) -> ArticleTagger:
    """Return the tiny encoder with a fresh head."""
    labels = len(load_taxonomy())
    set_seed(0)
    config = ModelConfig(str(encoder), dropout=dropout, token_dropout=token_dropout)
    loss = make_loss(LossConfig(), "multi_label", [1.0] * labels, 22)
    return build_model(encoder, config, loss, [0.1] * labels, 4)


def tune(model: ArticleTagger, folder: Path, train: FeatureDataset, **settings: Any) -> None:
    """Fine-tune on ``train`` with the settings of the tests and those given."""
    optimisation = OptimisationConfig(**SETTINGS | settings)
    dev = make_data(14, seed=1)
    trainer.fine_tune(model, train, dev, taxonomy=load_taxonomy(), pad=0, optimisation=optimisation, folder=folder)


def tune_and_die(encoder: Path, folder: Path, result: Path, settings: dict[str, Any], moment: str, number: int) -> None:
    """Tune and write the weights, unless death comes first; see ``arm``."""
    torch.set_num_threads(1)
    gc.freeze()  # what was imported is no garbage, and the Trainer collects often
    arm(moment, number)
    model = make_model(encoder)
    tune(model, folder, make_data(22, seed=0), **settings)
    save_file(model.state_dict(), result)


def before(number: int, call: Callable[..., Any], ending: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``call`` with ``ending`` before its ``number``-th use."""
    calls = itertools.count(1)

    def counted(*values: Any, **named: Any) -> Any:
        if next(calls) == number:
            ending(*values)
        return call(*values, **named)

    return counted


def arm(moment: str, number: int) -> None:
    """Make this process kill itself by SIGKILL (at ``interrupt``: press Ctrl-C), when something happens.

    ``moment`` is the ``number``-th of: an ``update`` or ``interrupt``, the ``writing`` of weights (half of them are
    written then), the ``renaming`` of a checkpoint; or the first ``deleting`` of an old one; or ``never``.
    """

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT if moment == "interrupt" else signal.SIGKILL)

    def write_and_die(_weights: Any, path: Path) -> None:
        path.write_bytes(b"half")
        die()

    def delete_and_die(path: Path, **_: Any) -> None:
        files = sorted(path.glob("*.pt"))
        if files:  # an old checkpoint, not the remains of a half-written one
            files[0].unlink()
            die()

    if moment in ("update", "interrupt"):
        trainer.ArticleTrainer.training_step = before(number, trainer.ArticleTrainer.training_step, die)  # type: ignore[method-assign]
    elif moment == "writing":
        trainer.save_file = before(number, trainer.save_file, write_and_die)
    elif moment == "renaming":
        checkpoints.os.replace = before(number, os.replace, die)  # type: ignore[attr-defined]
    elif moment == "deleting":
        checkpoints.shutil.rmtree = delete_and_die  # type: ignore[attr-defined]


def main(encoder: str, folder: str, result: str, *settings: str) -> None:
    """Tune and write the weights."""
    values = {name: yaml.safe_load(value) for name, _, value in (setting.partition("=") for setting in settings)}
    plain = values.pop("plain", False)  # no random draws in the network
    model = make_model(Path(encoder), 0.0, 0.0) if plain else make_model(Path(encoder))
    train = make_data(values.pop("articles", 22), seed=0, unjudged=values.pop("unjudged", 0.0))
    try:
        tune(model, Path(folder), train, **values)
    except WusumError as fault:
        sys.exit(str(fault))
    if is_main_process():
        save_file(model.state_dict(), result)
    leave_processes()


if __name__ == "__main__":
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    main(*sys.argv[1:])
