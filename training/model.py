"""The network: a pretrained encoder over token windows, a head, and the loss it is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel

from .adapters import add_adapters
from .attention import ATTENTION
from .config import ModelConfig
from .encoder_network import (
    encoder_family,
    encoder_layers,
    freeze_layers,
    keep_layers,
    load_checkpoint,
    read_settings,
)
from .heads import ArticleHead, make_head


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
