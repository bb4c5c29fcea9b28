"""The training recipe: one frozen dataclass per concern."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..inference.features import InputConfig
from ..inference.normalise import get_recipe
from ..inference.scoring import Task
from ..labels.errors import WusumError
from .config_file import check_numbers, read_config

MAX_SEED = 2**32 - 1  # numpy takes no larger one


@dataclass(frozen=True)
class ColumnConfig:
    """What the columns of the articles' file are called.

    Attributes:
        id: a name of its own for each article.
        text: the body.
        title: the headline; null where the file has none.
        topics: topic ids; null where the file has none.
        actors: actor ids; null where the file has none.
        labels: ids of either kind in one column, instead of ``topics`` and ``actors``.
        date: ISO date, read where ``data.dev_from`` asks for it.
        separator: what stands between ids in a cell of text; CSV knows no lists.
    """

    id: str = "id"
    text: str = "text"
    title: str | None = "title"
    topics: str | None = "topics"
    actors: str | None = "actors"
    labels: str | None = None
    date: str | None = None
    separator: str = ";"


@dataclass(frozen=True)
class DataConfig:
    """What is learned from.

    Attributes:
        articles: labelled articles with text: .jsonl, .csv, .parquet (JSON lines and CSV also .gz, .xz), or the folder
            of a Hugging Face dataset (``save_to_disk``).
        split: the file that says which article is train and which dev; made when absent, reused when present.
        taxonomy: label scheme; the packaged one when null.
        columns: names of the columns.
        dev_share: share of the articles that go to dev when the split is made.
        dev_from: ISO date; when the split is made, dev gets the articles of that day and later ones, not a draw.
        split_seed: seed of the draw.
        soft: articles with probabilities instead of labels, learned from beside the labelled ones: a teacher's (``wusum
            distil`` writes them), or 1 and 0 of excerpts (:mod:`~wusum.training.excerpts`).
        soft_weight: weight of the loss on a soft article, against 1 for a labelled one.
    """

    articles: str
    split: str
    taxonomy: str | None = None
    columns: ColumnConfig = field(default_factory=ColumnConfig)
    dev_share: float = 0.15
    dev_from: str | None = None
    split_seed: int = 0
    soft: str | None = None
    soft_weight: float = 1.0


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on the attention's and the feed-forward's matrices (Hu et al. 2021), merged before export.

    Attributes:
        rank: rank of the update.
        alpha: the update is scaled by ``alpha / rank``.
        dropout: dropout before the adapters.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0


@dataclass(frozen=True)
class ModelConfig:
    """The encoder and its head.

    Attributes:
        encoder: ``me5-small-ar`` (built in), ``wusum-small`` (the embedded model's), a local folder, or a hub name with
            an optional ``@revision``.
        start: bundle to go on from, or ``wusum-small`` for the embedded one: its encoder weights, and the head's rows
            of the labels that both schemes have.
        task: any number of labels per article, or exactly one.
        keep_layers: indices of the encoder layers to keep, lowest first; all when null.
        pooling: how a window's tokens become one vector: one learned attention per label, their mean, their maximum, or
            the first token through a dense layer (the head that transformers calls sequence classification).
        windows: how an article's windows become one score: attention over all (tokens of all windows with
            ``pooling: attention``), or the maximum, mean or logsumexp of the windows' scores.
        dropout: dropout inside the encoder's layers and before the head. Zero is much faster on CPU.
        token_dropout: share of the input tokens that are masked out in training.
        freeze: the embeddings and so many of the lowest layers are not trained; null trains all.
        lora: train low-rank adapters instead of the encoder's own weights.
    """

    encoder: str
    start: str | None = None
    task: Task = "multi_label"
    keep_layers: tuple[int, ...] | None = None
    pooling: Literal["attention", "mean", "max", "first"] = "attention"
    windows: Literal["attention", "max", "mean", "logsumexp"] = "attention"
    dropout: float = 0.1
    token_dropout: float = 0.0
    freeze: int | None = None
    lora: LoraConfig | None = None

    def __post_init__(self) -> None:
        """Refuse dropouts that are no shares."""
        for name in ("dropout", "token_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise WusumError(f"model.{name}: {getattr(self, name)}, expected a share from 0 to below 1")


@dataclass(frozen=True)
class LossConfig:
    """What is minimised. With ``task: single_label`` it is the cross-entropy and the kind must be ``bce``.

    Attributes:
        kind: binary cross-entropy; the same with weights by effective number of positives (Cui et al. 2019); focal
            loss (Lin et al. 2017); asymmetric loss (Ridnik et al. 2021).
        beta: of ``balanced``.
        gamma: focusing power of ``focal``, and of the positives in ``asymmetric``.
        gamma_negative: focusing power of the negatives in ``asymmetric``.
        margin: by how much ``asymmetric`` lowers the probability of negatives.
    """

    kind: Literal["bce", "balanced", "focal", "asymmetric"] = "bce"
    beta: float = 0.999
    gamma: float = 0.0
    gamma_negative: float = 4.0
    margin: float = 0.05


@dataclass(frozen=True)
class OptimisationConfig:
    """How it is learned.

    Attributes:
        epochs: passes over the training articles.
        batch_size: articles per step, over all processes together.
        accumulation: steps whose gradients are added up before an update.
        learning_rate: peak rate of the encoder's top layer.
        head_learning_rate: peak rate of the head.
        layer_decay: factor on the rate per layer downwards.
        weight_decay: on weight matrices; never on norms, biases and the head.
        warmup: share of the updates over which the rate rises.
        clip: largest gradient norm.
        loss: what is minimised.
        patience: epochs without a better dev score after which training stops; null never stops early.
        average: epochs at the end whose weights are averaged (Izmailov et al. 2018); 1 keeps the one best on dev.
        checkpoint_steps: updates between checkpoints within an epoch; null writes one after each epoch only.
        precision: ``bf16``, ``fp32``, or ``auto`` (bf16 where the hardware multiplies it).
        device: ``cpu``, ``cuda``, or ``auto`` (the GPU where there is one).
        compile: compile the network with ``torch.compile``; pays on GPUs, costs minutes at the start.
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
    loss: LossConfig = field(default_factory=LossConfig)
    patience: int | None = None
    average: int = 1
    checkpoint_steps: int | None = None
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that nothing can be learned with."""
        sizes = ["epochs", "batch_size", "accumulation", "average", "clip", "patience", "checkpoint_steps"]
        rates = ["learning_rate", "head_learning_rate", "layer_decay"]
        upper = {"weight_decay": math.inf, "warmup": 1, "seed": MAX_SEED}
        check_numbers(self, "optimisation", [*sizes, *rates], upper)


@dataclass(frozen=True)
class ExportConfig:
    """What is written, and how far it may differ from the trained network on dev.

    Attributes:
        precision: of the served model: 8-bit weights with activations scaled per article (``int8``) or by ranges
            measured on training articles (``int8_static``), or full (``fp32``).
        least_equal: least share of dev decisions that must be equal, over all labels.
        least_equal_label: the same for each label.
        largest_shift: largest mean shift of a label's probability.
        network: keep the trained weights in the bundle too, to continue from and to open in transformers.
    """

    precision: Literal["int8", "int8_static", "fp32"] = "int8"
    least_equal: float = 0.99
    least_equal_label: float = 0.97
    largest_shift: float = 0.02
    network: bool = True


@dataclass(frozen=True)
class NgramConfig:
    """A linear classifier on n-grams of word pieces, whose scores are added to the network's.

    Attributes:
        order: pieces of the longest n-grams.
        features: n-grams that are kept, those with most weight; 1,000 of them take 46 kB with 34 labels.
        least_articles: training articles that an n-gram must occur in.
        cost: C of the support-vector classifiers.
        weight: factor on their margins before they are added to the network's logits.
    """

    order: int = 2
    features: int = 20_000
    least_articles: int = 3
    cost: float = 1.0
    weight: float = 3.0

    def __post_init__(self) -> None:
        """Refuse numbers that nothing can be learned with."""
        check_numbers(self, "ngrams", ["order", "features", "least_articles", "cost", "weight"], {})


@dataclass(frozen=True)
class TrainConfig:
    """A whole recipe.

    Attributes:
        name: name of the bundle.
        version: version of the bundle.
        licence: licence of the weights, as the bundle states it.
        output: run folder; checkpoints go to ``output/checkpoints``, the bundle to ``output/bundle``.
        input: how text becomes token windows.
        data: what is learned from.
        model: the encoder and its head.
        optimisation: how it is learned.
        export: what is written.
        ngrams: the classifier on n-grams that is served beside the network; null does without.
    """

    name: str
    version: str
    licence: str
    output: str
    input: InputConfig
    data: DataConfig
    model: ModelConfig
    optimisation: OptimisationConfig = field(default_factory=OptimisationConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    ngrams: NgramConfig | None = None


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a training recipe; ``overrides`` are ``section.key=value`` strings whose values are YAML.

    Raises:
        WusumError: as :func:`~wusum.training.config_file.read_config`, or the normalisation recipe does not exist.

    Example:
        >>> load_config(Path("configs/default.yaml"), ["optimisation.epochs=1"]).optimisation.epochs  # doctest: +SKIP
        1.0
    """
    config = read_config(TrainConfig, path, overrides)
    get_recipe(config.input.recipe)
    return config
