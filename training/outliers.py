"""Takes the hidden units that are too large for 8 bits out of feed-forward layers and computes them beside in full.

A few hidden units are ten times as large as all others. One range of 255 steps over all of them leaves little for the
rest. So these few are computed in fp32 by products of their own, of a hundredth of the size, and the 8-bit product sees
zeros in their places: the same sum, split. (The idea is that of LLM.int8(), Dettmers et al. 2022; here the places are
found once, on training articles.)
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..inference.features import Features
from .encoder_network import encoder_family, encoder_layers
from .model import ArticleTagger
from .progress import watched

OUTLIERS = "outliers"  # what the modules in fp32 are called, by which the export knows them
UNITS = 4  # of each layer; eight brought no more (EXPERIMENTS.md)


def split_outliers(model: ArticleTagger, features: Sequence[Features]) -> ArticleTagger:
    """Return a copy of a network that computes the same, with its largest hidden units beside the others.

    Args:
        model: the trained network; families whose layers have another form (DistilBERT) are returned as they are.
        features: training articles on which the largest values are found.

    Example:
        >>> split_outliers(model, train.features[:128])  # doctest: +SKIP
    """
    if encoder_family(model.encoder.config).stack != "encoder":
        return model
    split = copy.deepcopy(model)
    layers: list[Any] = list(encoder_layers(split.encoder))
    largest = largest_inputs(split, [layer.output.dense for layer in layers], features)
    for layer in layers:
        units = largest[layer.output.dense].argsort(descending=True, stable=True)[:UNITS].sort().values
        layer.output = _SplitOutput(layer.output, _take_out(layer.intermediate, layer.output.dense, units))
    return split


def largest_inputs(
    model: ArticleTagger, dense: Sequence[nn.Linear], features: Sequence[Features]
) -> dict[nn.Linear, torch.Tensor]:
    """Return the largest absolute value that each input of some dense layers takes, shape (inputs,)."""
    largest = {part: torch.zeros(part.in_features) for part in dense}

    def note(part: Any, given: tuple[torch.Tensor, ...]) -> None:
        torch.maximum(largest[part], given[0].flatten(0, -2).abs().amax(0).float().cpu(), out=largest[part])

    hooks = [part.register_forward_pre_hook(note) for part in dense]
    device = next(model.parameters()).device
    with torch.no_grad():
        for one in watched(features, len(features), "finding outliers"):
            ids, mask = (torch.from_numpy(array).to(device) for array in (one.ids, one.mask))
            model(ids, mask, torch.arange(len(ids), device=device)[None])
    for hook in hooks:
        hook.remove()
    return largest


def _take_out(intermediate: Any, second: nn.Linear, units: torch.Tensor) -> nn.Sequential:
    """Return the feed-forward layer of some hidden units alone, and silence them in the large one."""
    first = intermediate.dense
    up = nn.Linear(first.in_features, len(units))
    down = nn.Linear(len(units), second.out_features, bias=False)
    with torch.no_grad():
        up.weight.copy_(first.weight[units])
        up.bias.copy_(first.bias[units])
        down.weight.copy_(second.weight[:, units])
        first.weight[units] = 0  # with a bias of 0 the unit is 0, as every activation of these families is at 0
        first.bias[units] = 0
        second.weight[:, units] = 0
    return nn.Sequential(up, intermediate.intermediate_act_fn, down)


class _SplitOutput(nn.Module):
    """The end of a layer, which adds the hidden units that were computed beside it."""

    def __init__(self, output: Any, beside: nn.Sequential) -> None:
        super().__init__()
        self.dense = output.dense
        self.LayerNorm = output.LayerNorm
        self.outliers = beside

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.LayerNorm(self.dense(hidden) + self.outliers(residual) + residual)
        return normed
