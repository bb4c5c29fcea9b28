"""Heads: from the encoder's token vectors to one score per label and article."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .config import ModelConfig

MASKED = -1e4  # far below any score or activation, and finite: what is masked must not turn a gradient into NaN


class ArticleHead(nn.Module):
    """Pools the tokens of each window, then the windows of an article, and scores every label with a linear unit.

    ========= ========= ========================================================================================
    tokens    windows   score of a label
    ========= ========= ========================================================================================
    attention attention the label's attention over all tokens of all windows (after Mullenbach et al. 2018, CAML),
                        so that an actor named once, late, is still found
    attention other     the label's attention within each window, then the reduction of the windows' scores
    other     attention the label's attention over the windows' vectors
    other     other     the reduction of the windows' scores
    ========= ========= ========================================================================================

    An article of one window gets the same score from every window pooling. The rows of ``weight``, ``bias`` and
    ``query`` belong to the labels, in their order; nothing else depends on the number of labels.

    Example:
        >>> head = ArticleHead("mean", "max", width=8, labels=3)
        >>> head(torch.zeros(2, 4, 5, 8), torch.ones(2, 4, 5, dtype=torch.long)).shape  # two articles, four windows
        torch.Size([2, 3])
    """

    def __init__(
        self,
        tokens: str,
        windows: str,
        *,
        width: int,
        labels: int,
        dropout: float = 0.0,
        activation: type[nn.Module] = nn.Tanh,
    ) -> None:
        """Start with equal attention everywhere (zero queries); ``activation`` follows the dense layer of ``first``."""
        super().__init__()
        self.tokens = tokens
        self.windows = windows
        self.attends = "attention" in (tokens, windows)
        if self.attends:
            self.query = nn.Parameter(torch.zeros(labels, width))
        self.weight = nn.Parameter(torch.randn(labels, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(labels))
        self.dropout = nn.Dropout(dropout)
        if tokens == "first":
            self.dense = _dense(width)
            self.activation = activation()

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map hidden (articles, windows, tokens, width) and mask (articles, windows, tokens) to (articles, labels).

        The mask is 1 on tokens and 0 on padding; a window without any token counts as absent.
        """
        if self.tokens == self.windows == "attention":
            return self._score(attend(self.dropout(hidden.flatten(1, 2)), mask.flatten(1, 2), self.query))
        present = mask.amax(-1)
        vectors = self._window_vectors(hidden, mask)
        if self.windows == "attention":
            return self._score(attend(vectors, present, self.query))
        return reduce_windows(self._score(vectors), present, self.windows)

    def _window_vectors(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return one vector per window, or with attention one per window and label."""
        if self.tokens == "first":
            # As transformers' classifiers do it: in full precision, and the dropout behind the dense layer.
            with torch.autocast(hidden.device.type, enabled=False):
                vectors: torch.Tensor = self.dropout(self.activation(self.dense(hidden[..., 0, :].float())))
            return vectors
        hidden = self.dropout(hidden)
        if self.tokens == "attention":
            return attend(hidden, mask, self.query)
        real = mask.unsqueeze(-1)
        if self.tokens == "max":
            return hidden.masked_fill(real == 0, MASKED).amax(-2)
        return (hidden * real).sum(-2) / real.sum(-2).clamp(min=1)

    def _score(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map vectors (..., width), or (..., labels, width), to scores (..., labels), in full precision."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            if self.attends:
                return (vectors * self.weight).sum(-1) + self.bias
            return functional.linear(vectors, self.weight, self.bias)


def _dense(width: int) -> nn.Linear:
    layer = nn.Linear(width, width)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def attend(items: torch.Tensor, mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Pool items (..., items, width) under mask (..., items) into one vector per row of query: (..., labels, width)."""
    scores = torch.matmul(items, query.T).transpose(-1, -2)
    scores = scores.masked_fill(mask.unsqueeze(-2) == 0, MASKED)
    return torch.matmul(scores.softmax(-1), items)


def reduce_windows(scores: torch.Tensor, present: torch.Tensor, how: str) -> torch.Tensor:
    """Reduce scores (articles, windows, labels) over the windows that are ``present`` (articles, windows).

    ``logsumexp`` is normalised by the number of windows, log(mean(exp(score))): a maximum that is smooth and does not
    grow with an article's length.

    Example:
        >>> scores = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> [round(reduce_windows(scores, torch.tensor([[1, 1, 0]]), how).item(), 2) for how in ("max", "mean")]
        [3.0, 2.0]
        >>> round(reduce_windows(scores, torch.tensor([[1, 1, 0]]), "logsumexp").item(), 2)
        2.43
    """
    real = present.unsqueeze(-1)
    count = real.sum(1).clamp(min=1)
    if how == "mean":
        return (scores * real).sum(1) / count
    scores = scores.masked_fill(real == 0, MASKED)
    return scores.amax(1) if how == "max" else scores.logsumexp(1) - count.log()


def make_head(config: ModelConfig, width: int, labels: int, activation: type[nn.Module] = nn.Tanh) -> ArticleHead:
    """Make the head that a recipe asks for; ``activation`` is the one of the encoder family's own classifier.

    Example:
        >>> make_head(ModelConfig("folder", pooling="first", windows="max"), width=8, labels=3).dense
        Linear(in_features=8, out_features=8, bias=True)
    """
    return ArticleHead(
        config.pooling, config.windows, width=width, labels=labels, dropout=config.dropout, activation=activation
    )


def standard_head(config: ModelConfig) -> bool:
    """Tell whether transformers has this head: the trained network then opens in a plain ``pipeline``.

    It is the one of ``pooling: first``; the window pooling plays no part, since a pipeline reads one window.

    Example:
        >>> standard_head(ModelConfig("folder", pooling="first")), standard_head(ModelConfig("folder"))
        (True, False)
    """
    return config.pooling == "first"
