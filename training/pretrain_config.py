"""The recipe of ``wusum pretrain``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..inference.features import InputConfig
from ..inference.normalise import get_recipe
from ..labels.errors import WusumError
from .config import MAX_SEED
from .config_file import check_numbers, read_config


@dataclass(frozen=True)
class PretrainDataConfig:
    """What is read.

    Attributes:
        articles: raw articles: JSON-lines files (also .gz, .xz) with ``id``, ``text`` and an optional ``title``.
        exclude: JSON-lines files whose ids are left out, such as a test set; of a split file, all but its train part.
        limit: so many articles are drawn; all when null.
        held_out: so many of them are not learned from but measure the loss.
    """

    articles: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    held_out: int = 200


@dataclass(frozen=True)
class PretrainModelConfig:
    """The encoder to go on with.

    Attributes:
        encoder: ``me5-small-ar`` (built in), a local folder, or a hub name with an optional ``@revision``.
        keep_layers: indices of the encoder layers to keep, lowest first; all when null.
        dropout: dropout inside the layers. Zero is much faster on CPU.
    """

    encoder: str
    keep_layers: tuple[int, ...] | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a dropout that is no share."""
        if not 0 <= self.dropout < 1:
            raise WusumError(f"model.dropout: {self.dropout}, expected a share from 0 to below 1")


@dataclass(frozen=True)
class PretrainOptimisationConfig:
    """How it is learned.

    Attributes:
        steps: updates; the learning rate rises and falls over them.
        batch_size: windows per update.
        mask_share: share of a window's tokens that are to be predicted.
        learning_rate: peak rate of the encoder.
        head_learning_rate: peak rate of the part that predicts words, which most checkpoints do not carry.
        weight_decay: on weight matrices; never on norms, biases and the predicting part.
        warmup: share of the updates over which the rate rises.
        clip: largest gradient norm.
        log_steps: updates between lines about the progress.
        evaluate_steps: updates between measurements on the held-out articles.
        checkpoint_steps: updates between checkpoints.
        precision: ``bf16``, ``fp32``, or ``auto`` (bf16 where the hardware multiplies it).
        device: ``cpu``, ``cuda``, or ``auto`` (the GPU where there is one).
        seed: seed of the draw of articles, their order, the masks and dropout.
    """

    steps: int
    batch_size: int = 32
    mask_share: float = 0.15
    learning_rate: float = 3e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.06
    clip: float = 1.0
    log_steps: int = 20
    evaluate_steps: int = 500
    checkpoint_steps: int = 100
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that nothing can be learned with."""
        sizes = ["steps", "batch_size", "clip", "log_steps", "evaluate_steps", "checkpoint_steps"]
        rates = ["learning_rate", "head_learning_rate"]
        upper = {"weight_decay": math.inf, "warmup": 1, "seed": MAX_SEED}
        check_numbers(self, "optimisation", [*sizes, *rates], upper)
        if not 0 < self.mask_share < 1:
            raise WusumError(f"optimisation.mask_share: {self.mask_share}, expected a share between 0 and 1")


@dataclass(frozen=True)
class PretrainConfig:
    """A whole recipe.

    Attributes:
        output: run folder; checkpoints go to ``output/checkpoints``, the encoder to ``output/encoder``.
        input: how text becomes token windows; best the same as in the recipe that fine-tunes.
        data: what is read.
        model: the encoder to go on with.
        optimisation: how it is learned.
    """

    output: str
    input: InputConfig
    data: PretrainDataConfig
    model: PretrainModelConfig
    optimisation: PretrainOptimisationConfig


def load_pretrain_config(path: Path, overrides: Sequence[str] = ()) -> PretrainConfig:
    """Read a recipe; ``overrides`` are ``section.key=value`` strings whose values are YAML.

    Raises:
        WusumError: as :func:`~wusum.training.config_file.read_config`, or the normalisation recipe does not exist.

    Example:
        >>> load_pretrain_config(Path("configs/pretrain.yaml")).optimisation.mask_share  # doctest: +SKIP
        0.15
    """
    config = read_config(PretrainConfig, path, overrides)
    get_recipe(config.input.recipe)
    return config
