"""The network: a pretrained encoder over token windows and one learned attention per label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, AutoConfig, AutoModel, PreTrainedModel
from transformers.masking_utils import eager_mask
from transformers.utils import logging

from ..labels.errors import WusumError
from .config import ModelConfig

ATTENTION = "wusum_half"


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


class LabelAttention(nn.Module):
    """One attention query and one linear unit per label (after Mullenbach et al. 2018, CAML).

    The label looks over all tokens of all windows of an article, so that an actor named once, late, is still found.
    """

    def __init__(self, width: int, labels: int) -> None:
        """Start with equal attention on every token (zero queries)."""
        super().__init__()
        self.query = nn.Parameter(torch.zeros(labels, width))
        self.weight = nn.Parameter(torch.randn(labels, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map hidden (articles, tokens, width) and mask (articles, tokens) to logits (articles, labels)."""
        scores = torch.matmul(hidden, self.query.T).transpose(1, 2)
        scores = scores.masked_fill(mask.unsqueeze(1) == 0, -1e4)
        pooled = torch.matmul(scores.softmax(-1), hidden)
        return (pooled * self.weight).sum(-1) + self.bias


class ArticleTagger(nn.Module):
    """Encoder and head; an article is one or more windows."""

    def __init__(
        self, encoder: PreTrainedModel, labels: int, *, dropout: float, token_dropout: float, mask_id: int
    ) -> None:
        """Take an encoder whose output has ``last_hidden_state`` and whose config has ``hidden_size``."""
        super().__init__()
        self.encoder: PreTrainedModel = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = LabelAttention(encoder.config.hidden_size, labels)
        self.token_dropout = token_dropout
        self.mask_id = mask_id

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        windows: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return ``logits`` (articles, labels), and ``loss`` where ``labels`` of that shape are given.

        ``input_ids`` and ``attention_mask`` are (windows of all articles, tokens); ``windows`` (articles, most
        windows) holds for each article the rows that are its own, padded with -1.
        """
        if self.training and self.token_dropout:
            drop = (torch.rand(input_ids.shape, device=input_ids.device) < self.token_dropout) & (attention_mask == 1)
            drop[:, 0] = False
            input_ids = input_ids.masked_fill(drop, self.mask_id)
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        present = (windows >= 0).unsqueeze(-1)
        rows = windows.clamp(min=0)
        mask = (attention_mask[rows] * present).flatten(1)
        logits = self.head(self.dropout(hidden[rows].flatten(1, 2)), mask)
        output = {"logits": logits}
        if labels is not None:
            output["loss"] = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
        return output


def build_model(folder: Path, config: ModelConfig, priors: Sequence[float], mask_id: int) -> ArticleTagger:
    """Load the encoder of ``folder``, keep the layers asked for, and put a fresh head on it.

    ``priors`` are the labels' shares in the training articles; they set the head's bias, so that the first steps are
    not spent on learning that most labels are rare.

    Raises:
        WusumError: the encoder has no list of layers, or a layer asked for does not exist.
    """
    settings = AutoConfig.from_pretrained(folder, local_files_only=True)
    settings.hidden_dropout_prob = settings.attention_probs_dropout_prob = config.dropout
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its report of a missing pooler, which is not used, would worry users
    encoder = AutoModel.from_pretrained(
        folder, config=settings, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # the head reads all tokens; the pooler would be exported for nothing
    encoder.set_attn_implementation(ATTENTION if not torch.cuda.is_available() else "sdpa")
    if config.keep_layers is not None:
        keep_layers(encoder, config.keep_layers)
    model = ArticleTagger(
        encoder, len(priors), dropout=config.dropout, token_dropout=config.token_dropout, mask_id=mask_id
    )
    shares = torch.tensor(priors).clamp(1e-3, 0.5)
    model.head.bias.data = torch.log(shares / (1 - shares))
    return model


def encoder_layers(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the list of transformer layers of a BERT-like encoder."""
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList):
        raise WusumError(f"{type(encoder).__name__}: no encoder.layer list, expected a BERT-like encoder; use another")
    return layers


def keep_layers(encoder: PreTrainedModel, indices: Sequence[int]) -> None:
    """Drop all layers of ``encoder`` but those named."""
    layers = encoder_layers(encoder)
    if not indices:
        raise WusumError("model.keep_layers: is empty, expected at least one layer, or null for all")
    wrong = [index for index in indices if not 0 <= index < len(layers)]
    if wrong:
        raise WusumError(f"model.keep_layers: {wrong[0]} does not exist, the encoder has layers 0 to {len(layers) - 1}")
    encoder.get_submodule("encoder").layer = nn.ModuleList([layers[index] for index in indices])
    encoder.config.num_hidden_layers = len(indices)


def parameter_groups(
    model: ArticleTagger, *, learning_rate: float, head_learning_rate: float, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Group parameters for the optimiser: one rate for the head, and rates that fall layer by layer downwards."""
    depth = len(encoder_layers(model.encoder))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if name.startswith("head."):
            rate, decay = head_learning_rate, 0.0
        else:
            parts = name.split(".")
            below_top = depth - 1 - int(parts[3]) if parts[1:3] == ["encoder", "layer"] else depth
            rate, decay = learning_rate * layer_decay**below_top, weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
