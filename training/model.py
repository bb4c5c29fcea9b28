"""The network: a pretrained encoder over token windows, a head, and the loss it is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.masking_utils import eager_mask
from transformers.utils import logging

from ..labels.errors import WusumError
from .adapters import add_adapters
from .config import ModelConfig
from .heads import ArticleHead, make_head

ATTENTION = "wusum_half"


@dataclass(frozen=True)
class Family:
    """What differs between the encoders that are supported.

    Attributes:
        stack: the module that holds the list ``layer``.
        dropouts: settings of the dropout inside the layers.
        activation: after the dense layer of the family's sequence classifier in transformers.
        counts_from_pad: position numbers start behind the id of the padding token.
    """

    stack: str = "encoder"
    dropouts: tuple[str, str] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    activation: type[nn.Module] = nn.Tanh
    counts_from_pad: bool = False


# Others are refused rather than tried: the exporter hands the layers a ready mask, which ModernBERT's sliding windows
# and DeBERTa's attention would read wrongly without a word.
FAMILIES = {
    "bert": Family(),
    "roberta": Family(counts_from_pad=True),
    "xlm-roberta": Family(counts_from_pad=True),
    "camembert": Family(counts_from_pad=True),
    "electra": Family(activation=nn.GELU),
    "distilbert": Family("transformer", ("dropout", "attention_dropout"), nn.ReLU),
}


def half_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1) that stays in bf16, its softmax included.

    Why not SDPA: at a head width of 32 its bf16 backward on CPU is slow at short windows (EXPERIMENTS.md).
    Shapes are (windows, heads, tokens, head width).
    """
    with torch.autocast(query.device.type, enabled=False):
        scores = torch.matmul(query * scaling, key.transpose(-1, -2))
        if mask is not None:
            scores = scores + mask.to(scores.dtype)
        weights = nn.functional.dropout(scores.softmax(-1), dropout, module.training)
        return torch.matmul(weights, value).transpose(1, 2), None


AttentionInterface.register(ATTENTION, half_attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


class ArticleTagger(nn.Module):
    """Encoder, head and loss; an article is one or more windows."""

    def __init__(
        self, encoder: PreTrainedModel, head: ArticleHead, loss: nn.Module, *, token_dropout: float, mask_id: int
    ) -> None:
        """Take an encoder whose output has ``last_hidden_state``, and a loss of (logits, labels, weights)."""
        super().__init__()
        self.encoder: PreTrainedModel = encoder
        self.head = head
        self.loss = loss
        self.token_dropout = token_dropout
        self.mask_id = mask_id

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        windows: torch.Tensor,
        labels: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return ``logits`` (articles, labels), and ``loss`` where ``labels`` of that shape are given.

        ``input_ids`` and ``attention_mask`` are (windows of all articles, tokens); ``windows`` (articles, most
        windows) holds for each article the rows that are its own, padded with -1. ``labels`` are 1, 0, a probability,
        or NaN where nobody judged; ``weights`` (articles,) are those of the loss.
        """
        if self.training and self.token_dropout:
            drop = (torch.rand(input_ids.shape, device=input_ids.device) < self.token_dropout) & (attention_mask == 1)
            drop[:, 0] = False
            input_ids = input_ids.masked_fill(drop, self.mask_id)
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        present = (windows >= 0).unsqueeze(-1)
        rows = windows.clamp(min=0)
        output = {"logits": self.head(hidden[rows], attention_mask[rows] * present)}
        if labels is not None:
            output["loss"] = self.loss(output["logits"], labels, weights)
        return output


def build_model(
    folder: Path,
    config: ModelConfig,
    loss: nn.Module,
    priors: Sequence[float],
    mask_id: int,
    *,
    device_type: str = "cpu",
) -> ArticleTagger:
    """Load the encoder of ``folder``, keep the layers asked for, and put a fresh head on it.

    Then freeze what the recipe freezes, and add its adapters. The dense layer of ``pooling: first`` starts from the
    encoder's pretrained pooler where there is one.

    Args:
        folder: files of the encoder.
        config: the recipe's section.
        loss: as :func:`~wusum.training.losses.make_loss` makes it.
        priors: the labels' shares in the training articles; they set the head's bias, so that the first steps are not
            spent on learning that most labels are rare.
        mask_id: id of the token that stands for a masked one.
        device_type: ``cpu`` or ``cuda``, where the network will be trained.

    Raises:
        WusumError: an encoder of another family or with gaps (:func:`load_checkpoint`), a layer asked for that does not
            exist, more layers to freeze than there are, or peft is missing.

    Example:
        >>> model = build_model(Path("encoder"), ModelConfig("encoder"), LabelLoss(), [0.1] * 34, 4)  # doctest: +SKIP
    """
    settings = read_settings(folder)
    family = encoder_family(settings)
    for name in family.dropouts:
        setattr(settings, name, config.dropout)
    encoder: Any = load_checkpoint(AutoModel, folder, settings)
    head = make_head(config, settings.hidden_size, len(priors), family.activation)
    pooler = getattr(encoder, "pooler", None)
    if pooler is not None:
        if config.pooling == "first":
            head.dense.load_state_dict(pooler.dense.state_dict())
        encoder.pooler = None  # the head has its own; this one would be exported for nothing
    encoder.set_attn_implementation("sdpa" if device_type == "cuda" else ATTENTION)
    if config.keep_layers is not None:
        keep_layers(encoder, config.keep_layers)
    if config.freeze is not None:
        freeze_layers(encoder, config.freeze)
    if config.lora is not None:
        add_adapters(encoder, encoder_layers(encoder), config.lora)
    shares = torch.tensor(priors).clamp(1e-3, 0.5)
    head.bias.data = torch.log(shares / (1 - shares))
    return ArticleTagger(encoder, head, loss, token_dropout=config.token_dropout, mask_id=mask_id)


def read_settings(folder: Path) -> PreTrainedConfig:
    """Read the ``config.json`` of an encoder.

    Raises:
        WusumError: a value in it makes no sense.

    Example:
        >>> read_settings(Path("encoder")).num_hidden_layers  # doctest: +SKIP
        12
    """
    try:
        return cast(PreTrainedConfig, AutoConfig.from_pretrained(folder, local_files_only=True))
    except (StrictDataclassError, ValueError, TypeError) as fault:
        reason = " ".join(str(fault).split())
        raise WusumError(f"{folder / 'config.json'}: cannot be used ({reason}); copy or download it again") from fault


def load_checkpoint(kind: Any, folder: Path, settings: PreTrainedConfig) -> PreTrainedModel:
    """Load a model whose encoder is there in whole; a pooler, and parts behind the encoder, may begin fresh.

    Transformers fills any gap with random numbers, and its report of them is silenced: of a missing pooler, which is
    not used, it would worry users.

    Args:
        kind: ``AutoModel`` or one of its kin.
        folder: where the weights lie.
        settings: what to build.

    Raises:
        WusumError: weights of the encoder are missing or of another shape.

    Example:
        >>> load_checkpoint(AutoModel, Path("encoder"), read_settings(Path("encoder")))  # doctest: +SKIP
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        network, report = kind.from_pretrained(
            folder,
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (RuntimeError, ValueError) as fault:
        reason = " ".join(str(fault).split())[:200]
        message = f"{folder}: the weights do not fit config.json ({reason}); the two are not of one model"
        raise WusumError(message) from fault
    inside = "" if network.base_model is network else f"{network.base_model_prefix}."
    gaps = [name for name in sorted(report["missing_keys"]) if name.startswith(inside) and "pooler." not in name]
    if gaps:
        found = f"{len(gaps)} weights of the encoder are missing, the first {gaps[0]}"
        raise WusumError(f"{folder}: {found}; copy or download it again, or make config.json fit")
    return cast(PreTrainedModel, network)


def encoder_family(settings: PreTrainedConfig) -> Family:
    """Return what an encoder's family is like.

    Raises:
        WusumError: a family that is not supported.

    Example:
        >>> from transformers import ElectraConfig
        >>> encoder_family(ElectraConfig()).activation.__name__
        'GELU'
    """
    family = FAMILIES.get(settings.model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise WusumError(f"model.encoder: is of the family {settings.model_type}, expected one of {known}; use another")
    return family


def check_window(settings: PreTrainedConfig, window: int) -> None:
    """Refuse a window that is longer than what the encoder has position vectors for.

    RoBERTa and its kin number positions from behind the padding token's id: of 514 vectors 512 are for tokens.

    Args:
        settings: the encoder's configuration.
        window: tokens per window, special tokens included (``input.window``).

    Raises:
        WusumError: the window is too long.

    Example:
        >>> from transformers import BertConfig
        >>> check_window(BertConfig(max_position_embeddings=512), 512)
    """
    limit = settings.max_position_embeddings
    if encoder_family(settings).counts_from_pad:
        limit -= settings.pad_token_id + 1
    if window > limit:
        raise WusumError(
            f"input.window: {window}, but the encoder reads {limit} tokens at most; set input.window={limit}"
        )


def encoder_layers(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the list of transformer layers of an encoder.

    Raises:
        WusumError: an encoder of a family that is not supported.
    """
    layers = encoder.get_submodule(f"{encoder_family(encoder.config).stack}.layer")
    if not isinstance(layers, nn.ModuleList):
        raise TypeError(f"expected a ModuleList, got {type(layers).__name__}")
    return layers


def keep_layers(encoder: PreTrainedModel, indices: Sequence[int]) -> None:
    """Drop all layers of ``encoder`` but those named.

    Raises:
        WusumError: none is named, or one that does not exist.
    """
    layers = encoder_layers(encoder)
    if not indices:
        raise WusumError("model.keep_layers: is empty, expected at least one layer, or null for all")
    wrong = [index for index in indices if not 0 <= index < len(layers)]
    if wrong:
        raise WusumError(f"model.keep_layers: {wrong[0]} does not exist, the encoder has layers 0 to {len(layers) - 1}")
    encoder.get_submodule(encoder_family(encoder.config).stack).layer = nn.ModuleList([layers[i] for i in indices])
    encoder.config.num_hidden_layers = len(indices)


def freeze_layers(encoder: PreTrainedModel, count: int) -> None:
    """Keep the embeddings and the ``count`` lowest layers of ``encoder`` out of the training.

    Raises:
        WusumError: there are not so many layers.
    """
    layers = encoder_layers(encoder)
    if not 0 <= count <= len(layers):
        raise WusumError(f"model.freeze: {count}, but {len(layers)} layers are kept; expected 0 to {len(layers)}")
    encoder.requires_grad_(False)
    layers[count:].requires_grad_(True)


def parameter_groups(
    model: ArticleTagger, *, learning_rate: float, head_learning_rate: float, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Group what is trained for the optimiser: one rate for the head, and rates that fall layer by layer downwards."""
    layers = encoder_layers(model.encoder)
    # Found by the layer that holds it, not by name: adapters and dropped layers change the names.
    height = {id(parameter): index for index, layer in enumerate(layers) for parameter in layer.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("head."):
            rate, decay = head_learning_rate, 0.0
        else:
            below_top = len(layers) - 1 - height.get(id(parameter), -1)  # the embeddings lie below the lowest layer
            rate, decay = learning_rate * layer_decay**below_top, weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
