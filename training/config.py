"""The training recipe: one frozen dataclass per concern, read strictly from YAML."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..inference.features import InputConfig
from ..inference.normalise import get_recipe
from ..labels.errors import WusumError


@dataclass(frozen=True)
class DataConfig:
    """What is learned from.

    Attributes:
        articles: labelled articles with text, JSON lines (``wusum labels join`` writes them).
        split: the file that says which article is train and which dev; made when absent, reused when present.
        taxonomy: label scheme; the packaged one when null.
        dev_share: share of the near-duplicate clusters that go to dev when the split is made.
        split_seed: seed of that draw.
    """

    articles: str
    split: str
    taxonomy: str | None = None
    dev_share: float = 0.15
    split_seed: int = 0


@dataclass(frozen=True)
class ModelConfig:
    """The encoder and its head.

    Attributes:
        encoder: ``me5-small-ar`` (built in), a local folder, or a hub name with an optional ``@revision``.
        keep_layers: indices of the encoder layers to keep, lowest first; all when null.
        dropout: dropout inside the encoder's layers and before the head. Zero is much faster on CPU.
        token_dropout: share of the input tokens that are masked out in training.
    """

    encoder: str
    keep_layers: tuple[int, ...] | None = None
    dropout: float = 0.1
    token_dropout: float = 0.0


@dataclass(frozen=True)
class OptimisationConfig:
    """How it is learned.

    Attributes:
        epochs: passes over the training articles.
        batch_size: articles per step and process.
        accumulation: steps whose gradients are added up before an update.
        learning_rate: peak rate of the encoder's top layer.
        head_learning_rate: peak rate of the head.
        layer_decay: factor on the rate per layer downwards.
        weight_decay: on weight matrices; never on norms, biases and the head.
        warmup: share of the updates over which the rate rises.
        clip: largest gradient norm.
        average: epochs at the end whose weights are averaged (Izmailov et al. 2018); 1 keeps the one best on dev.
        precision: ``bf16``, ``fp32``, or ``auto`` (bf16 where the hardware multiplies it).
        seed: seed of initialisation, order and dropout.
    """

    epochs: float = 4.0
    batch_size: int = 16
    accumulation: int = 1
    learning_rate: float = 5e-5
    head_learning_rate: float = 1e-3
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.06
    clip: float = 1.0
    average: int = 1
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a precision that does not exist and numbers that nothing can be learned with."""
        for name in ("epochs", "batch_size", "accumulation", "average", "clip"):
            if getattr(self, name) <= 0:
                raise WusumError(f"optimisation.{name}: {getattr(self, name)}, expected more than 0")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise WusumError(f"optimisation.precision: {self.precision!r}, expected auto, bf16 or fp32")


@dataclass(frozen=True)
class TrainConfig:
    """A whole recipe.

    Attributes:
        name: name of the bundle.
        version: version of the bundle.
        licence: licence of the weights, as the bundle states it.
        output: run folder; checkpoints go to ``output/checkpoints``, the bundle to ``output/bundle``.
    """

    name: str
    version: str
    licence: str
    output: str
    input: InputConfig
    data: DataConfig
    model: ModelConfig
    optimisation: OptimisationConfig


Section = TypeVar("Section")


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a recipe; ``overrides`` are ``section.key=value`` strings whose values are YAML.

    Raises:
        WusumError: the file is missing or no YAML, a key is unknown (the nearest valid one is named), a key is missing,
            a value has the wrong type, or the normalisation recipe does not exist.

    Example:
        >>> load_config(Path("configs/default.yaml"), ["optimisation.epochs=1"]).optimisation.epochs  # doctest: +SKIP
        1.0
    """
    if not path.is_file():
        raise WusumError(f"{path}: not found, expected a training recipe (YAML); see the folder configs")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as fault:
        raise WusumError(f"{path}: not YAML: {' '.join(str(fault).split())}") from fault
    if not isinstance(tree, dict):
        raise WusumError(f"{path}: expected a mapping of sections; see the folder configs")
    for override in overrides:
        _override(tree, override)
    config = _build(TrainConfig, tree, str(path))
    get_recipe(config.input.recipe)
    return config


def _override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise WusumError(f"{override!r}: expected section.key=value, for example optimisation.epochs=1")
    *sections, last = key.split(".")
    for section in sections:
        child = tree.setdefault(section, {})
        if not isinstance(child, dict):
            raise WusumError(f"{override!r}: {section!r} is no section of the recipe")
        tree = child
    try:
        tree[last] = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise WusumError(f"{override!r}: the value is not YAML; quote it or mend it") from fault


def _build(kind: type[Section], values: Mapping[str, Any], where: str) -> Section:
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(fields)}"
            raise WusumError(f"{where}:{key}: unknown key; {hint}")
    found: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            found[name] = _convert(values[name], hints[name], f"{where}:{name}")
        elif field.default is dataclasses.MISSING:
            raise WusumError(f"{where}:{name}: missing; add it to the recipe")
    return kind(**found)


def _convert(value: Any, hint: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise WusumError(f"{where}: expected a section with keys, got {value!r}")
        return _build(typing.cast(type[Any], hint), value, where)
    options = typing.get_args(hint) if typing.get_origin(hint) is types.UnionType else (hint,)
    for option in options:
        if option is type(None) and value is None:
            return None
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if typing.get_origin(option) is tuple and isinstance(value, list) and all(type(item) is int for item in value):
            return tuple(value)
        if type(value) is option:
            return value
    names = ("null" if option is type(None) else getattr(option, "__name__", str(option)) for option in options)
    hint_text = "; write 1.0e-4, not 1e-4" if isinstance(value, str) and float in options else ""
    raise WusumError(f"{where}: {value!r}, expected {' or '.join(names)}{hint_text}")
