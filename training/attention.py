"""The attention that training on CPU uses, known to transformers under a name of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

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
            scores += mask.to(scores.dtype)  # in place: the widest tensor of all is not copied
        weights = nn.functional.dropout(scores.softmax(-1), dropout, module.training)
        return torch.matmul(weights, value).transpose(1, 2), None


AttentionInterface.register(ATTENTION, half_attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)
