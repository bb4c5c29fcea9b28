"""What is minimised: losses per label over the cells that were judged, or the cross-entropy of one label."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from ..inference.scoring import Task
from ..labels.errors import WusumError
from .config import LossConfig

LEAST = 1e-8  # focusing powers below 1 have no finite slope at 0


class LabelLoss(nn.Module):
    """Binary cross-entropy, one yes or no per label; its subclasses change the loss of a cell.

    Targets lie between 0 and 1; NaN marks what nobody judged, and gives neither loss nor gradient. The result is the
    mean over the judged cells, each times its article's weight. The weights do not enter the divisor: an article of
    weight 0.5 pulls half as hard in any company.

    Example:
        >>> targets = torch.tensor([[1.0, float("nan")]])
        >>> round(LabelLoss()(torch.zeros(1, 2), targets).item(), 4)  # log 2, of the one judged cell
        0.6931
    """

    def forward(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of logits (articles, labels) against targets of that shape; weights are (articles,)."""
        judged = ~targets.isnan()
        # NaN must be gone before it meets a logit: in the graph it would make NaN of the gradient even where masked.
        clean = torch.where(judged, targets, 0.0).float()
        cells = torch.where(judged, self.cells(logits.float(), clean), 0.0)
        if weights is not None:
            cells = cells * weights.unsqueeze(1)
        return cells.sum() / judged.sum().clamp(min=1)

    def cells(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each cell."""
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class BalancedLoss(LabelLoss):
    """Binary cross-entropy whose positives weigh more in rare labels (Cui et al. 2019, effective number of samples).

    A label with n positives weighs (1 - beta) / (1 - beta^n); the weights' mean over the labels is 1.
    """

    def __init__(self, positives: Sequence[float], beta: float) -> None:
        """Take each label's number of positive training articles."""
        super().__init__()
        self.positive_weights: torch.Tensor
        # Not part of the weights that are saved: it belongs to the training articles.
        self.register_buffer("positive_weights", torch.tensor(balanced_weights(positives, beta)), persistent=False)

    def cells(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each cell; a soft target weighs by its positive part."""
        return functional.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=self.positive_weights, reduction="none"
        )


def balanced_weights(positives: Sequence[float], beta: float) -> list[float]:
    """Return the weight of each label's positives: one over their effective number, with mean 1 over the labels.

    Example:
        >>> balanced_weights([1, 1], 0.9), [round(weight, 3) for weight in balanced_weights([1, 1000], 0.9)]
        ([1.0, 1.0], [1.818, 0.182])
    """
    # log1p and expm1 keep the digits of 1 - beta^n where beta is close to 1; beta 0 leaves all labels alike.
    raw = [(beta - 1) / math.expm1(max(count, 1) * math.log(beta)) if beta else 1.0 for count in positives]
    mean = sum(raw) / len(raw)
    return [weight / mean for weight in raw]


class FocalLoss(LabelLoss):
    """Focal loss (Lin et al. 2017, eq. 4): cells that are right already count less, by (1 - p_t)^gamma.

    For a soft target y the factor is abs(y - p)^gamma (Li et al. 2020, eq. 4), the same for y = 0 and y = 1, and zero
    where the network agrees with its teacher.
    """

    def __init__(self, gamma: float) -> None:
        """Take the focusing power."""
        super().__init__()
        self.gamma = gamma

    def cells(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each cell."""
        off = (targets - logits.sigmoid()).abs().clamp(min=LEAST)
        return off**self.gamma * super().cells(logits, targets)


class AsymmetricLoss(LabelLoss):
    """Asymmetric loss (Ridnik et al. 2021, eq. 7), for labels whose many easy negatives would drown the positives.

    Positives: -(1 - p)^gamma * log(p). Negatives: -(q)^gamma_negative * log(1 - q) with q = max(p - margin, 0). The
    gradient goes through the focusing factors, as the paper's analysis (eq. 8) has it. Hard targets only: with a soft
    one the minimum would not lie at the teacher's probability.
    """

    def __init__(self, gamma: float, gamma_negative: float, margin: float) -> None:
        """Take the focusing powers and by how much the probability of negatives is lowered."""
        super().__init__()
        self.gamma = gamma
        self.gamma_negative = gamma_negative
        self.margin = margin
        self.log_margin = math.log(margin) if margin else -math.inf

    def cells(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each cell."""
        wrong, right = (-logits).sigmoid(), logits.sigmoid()
        lowered = (right - self.margin).clamp(min=LEAST)
        # log(1 - q) = log(min((1 - p) + margin, 1)), from logarithms: exact also where 1 - p has underflowed.
        log_rest = functional.logsigmoid(-logits)
        if self.margin:
            log_rest = torch.logaddexp(log_rest, torch.full_like(log_rest, self.log_margin)).clamp(max=0)
        positive = wrong.clamp(min=LEAST) ** self.gamma * functional.logsigmoid(logits)
        return -torch.where(targets > 0.5, positive, lowered**self.gamma_negative * log_rest)


class ChoiceLoss(nn.Module):
    """Cross-entropy over the labels, where an article carries exactly one (or a teacher's distribution over them).

    Targets are rows that sum to 1; an article with a NaN in its row was not judged. Mean over the judged articles.
    """

    def forward(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of logits (articles, labels) against targets of that shape; weights are (articles,)."""
        judged = ~targets.isnan().any(1)
        clean = torch.where(judged.unsqueeze(1), targets, 0.0).float()
        rows = -(clean * functional.log_softmax(logits.float(), dim=1)).sum(1)
        if weights is not None:
            rows = rows * weights
        return rows.sum() / judged.sum().clamp(min=1)


def make_loss(config: LossConfig, task: Task, positives: Sequence[float], articles: int) -> nn.Module:
    """Make the loss that a recipe asks for.

    Args:
        config: the recipe's section.
        task: any number of labels per article, or exactly one.
        positives: number of positive training articles of each label.
        articles: number of training articles.

    Raises:
        WusumError: a number that makes no sense, or a single-label task with another loss than the cross-entropy.

    Example:
        >>> make_loss(LossConfig("focal", gamma=2.0), "multi_label", [3, 5], 10)
        FocalLoss()
    """
    if task == "single_label":
        if config.kind != "bce":
            raise WusumError(f"optimisation.loss.kind: {config.kind}, expected bce with model.task: single_label")
        return ChoiceLoss()
    _check_numbers(config)
    if max(positives) > articles:
        raise ValueError(f"{max(positives)} positives among {articles} articles")
    match config.kind:
        case "balanced":
            return BalancedLoss(positives, config.beta)
        case "focal":
            return FocalLoss(config.gamma)
        case "asymmetric":
            return AsymmetricLoss(config.gamma, config.gamma_negative, config.margin)
        case "bce":
            return LabelLoss()


def _check_numbers(config: LossConfig) -> None:
    for name, value, fine, expected in (
        ("beta", config.beta, 0 <= config.beta < 1, "from 0 to below 1"),
        ("gamma", config.gamma, config.gamma >= 0, "0 or more"),
        ("gamma_negative", config.gamma_negative, config.gamma_negative >= 0, "0 or more"),
        ("margin", config.margin, 0 <= config.margin < 1, "from 0 to below 1"),
    ):
        if not fine:
            raise WusumError(f"optimisation.loss.{name}: {value}, expected a number {expected}")
    if config.kind == "focal" and config.gamma == 0:
        raise WusumError("optimisation.loss.gamma: 0 makes focal the plain bce; set it, 2.0 is usual, or use kind: bce")


def check_targets(config: LossConfig, task: Task, targets: npt.NDArray[np.float32]) -> None:
    """Refuse targets (articles, labels) that the loss cannot learn from; call it once, before training.

    Raises:
        WusumError: soft targets with the asymmetric loss, or a single-label article without exactly one label.

    Example:
        >>> check_targets(LossConfig("bce"), "multi_label", np.array([[0.3, np.nan]], dtype=np.float32))
    """
    if task == "single_label":
        judged = ~np.isnan(targets).any(1)
        totals = np.nansum(targets, axis=1)
        rounded = 1e-3 + 5e-5 * targets.shape[1]  # files of soft labels keep four decimals
        wrong = np.flatnonzero(judged & (np.abs(totals - 1) > rounded))
        if len(wrong):
            found = f"{len(wrong)} articles, the first at position {wrong[0]}, carry {totals[wrong[0]]:g} labels"
            raise WusumError(f"model.task: single_label, but {found}, expected one each; use multi_label or mend them")
    elif config.kind == "asymmetric" and bool(((targets > 0) & (targets < 1)).any()):
        raise WusumError("optimisation.loss.kind: asymmetric takes no soft targets (data.soft); use bce or focal")
