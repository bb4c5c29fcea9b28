"""Losses against their papers' formulas, cell by cell in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from wusum.labels.errors import WusumError  # noqa: E402
from wusum.training.config import LossConfig  # noqa: E402
from wusum.training.losses import balanced_weights, check_targets, make_loss  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Anomaly Detection")

POSITIVES, ARTICLES = (3.0, 40.0, 500.0), 1000
CONFIGS = {
    "bce": LossConfig("bce"),
    "balanced": LossConfig("balanced", beta=0.99),
    "focal": LossConfig("focal", gamma=2.0),
    "asymmetric": LossConfig("asymmetric", gamma=1.0, gamma_negative=4.0, margin=0.05),
    "asymmetric, no margin": LossConfig("asymmetric", gamma=0.0, gamma_negative=2.0, margin=0.0),
}


def make(config: LossConfig) -> torch.nn.Module:
    return make_loss(config, "multi_label", POSITIVES, ARTICLES)


def cell(config: LossConfig, label: int, logit: float, target: float) -> float:
    """Return the loss of one cell as the papers write it."""
    p = 1 / (1 + math.exp(-logit))
    if config.kind == "asymmetric":
        lowered = max(p - config.margin, 0.0)
        positive = (1 - p) ** config.gamma * math.log(p)
        return -(target * positive + (1 - target) * lowered**config.gamma_negative * math.log(1 - lowered))
    weight = 1.0
    if config.kind == "balanced":
        numbers = [(1 - config.beta**n) / (1 - config.beta) for n in POSITIVES]
        weight = (1 / numbers[label]) / (sum(1 / number for number in numbers) / len(numbers))
    entropy = -(weight * target * math.log(p) + (1 - target) * math.log(1 - p))
    if config.kind == "focal":
        right = p if target == 1 else 1 - p
        factor = (1 - right) ** config.gamma if target in (0, 1) else abs(target - p) ** config.gamma
        return factor * entropy
    return entropy


def batch(soft: bool = False, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    logits = torch.randn(7, 3) * 3
    targets = torch.rand(7, 3)
    return logits, targets if soft else (targets > 0.6).float()


def mean_cells(config: LossConfig, logits: torch.Tensor, targets: torch.Tensor, weights: Sequence[float]) -> float:
    losses = [
        weights[row] * cell(config, label, float(logits[row, label]), float(targets[row, label]))
        for row in range(len(logits))
        for label in range(3)
        if not math.isnan(targets[row, label])
    ]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_losses_equal_their_formulas(config: LossConfig) -> None:
    logits, targets = batch()
    targets[2, 1] = targets[5] = math.nan
    weights = [1.0, 0.5, 1.0, 2.0, 0.0, 1.0, 1.0]
    found = make(config)(logits, targets, torch.tensor(weights))
    assert found.item() == pytest.approx(mean_cells(config, logits, targets, weights), rel=1e-5)
    unweighted = make(config)(logits, targets)
    assert unweighted.item() == pytest.approx(mean_cells(config, logits, targets, [1.0] * 7), rel=1e-5)


@pytest.mark.parametrize("kind", ["bce", "balanced", "focal"])
def test_soft_targets(kind: str) -> None:
    logits, targets = batch(soft=True)
    found = make(CONFIGS[kind])(logits, targets)
    assert found.item() == pytest.approx(mean_cells(CONFIGS[kind], logits, targets, [1.0] * 7), rel=1e-5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_gradients_are_those_of_the_formulas(config: LossConfig) -> None:
    """Central differences of the formula: the gradient goes through the focusing factors too."""
    logits, targets = batch(seed=3)
    logits.requires_grad_()
    make(config)(logits, targets).backward()
    assert logits.grad is not None
    step = 1e-6
    for row, label in np.ndindex(7, 3):
        logit, target = float(logits.detach()[row, label]), float(targets[row, label])
        rise = cell(config, label, logit + step, target) - cell(config, label, logit - step, target)
        assert float(logits.grad[row, label]) * 21 == pytest.approx(rise / (2 * step), rel=1e-3, abs=1e-5)


def test_bce_with_everything_judged_is_torchs_to_the_bit() -> None:
    for soft in (False, True):
        logits, targets = batch(soft)
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        assert torch.equal(make(LossConfig())(logits, targets), theirs)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_nobody_judged_gives_no_gradient_and_no_nan(config: LossConfig) -> None:
    logits, targets = batch()
    targets[1, 2] = targets[4] = math.nan
    logits.requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):
        make(config)(logits, targets).backward()
    assert logits.grad is not None
    assert bool((logits.grad[targets.isnan()] == 0).all())
    assert bool((logits.grad[~targets.isnan()] != 0).any(0).all())


@pytest.mark.parametrize("config", [*CONFIGS.values(), LossConfig("focal", gamma=0.5)])
def test_a_batch_without_any_judgement_costs_nothing(config: LossConfig) -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = make(config)(logits, torch.full((2, 3), math.nan))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and bool((logits.grad == 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "config",
    [*CONFIGS.values(), LossConfig("focal", gamma=0.5), LossConfig("asymmetric", gamma=0.5, gamma_negative=0.5)],
)
def test_large_logits_give_finite_losses_and_gradients(config: LossConfig, dtype: torch.dtype) -> None:
    logits = torch.tensor([[-2e4, 0.0, 2e4], [2e4, -90.0, 90.0]], dtype=dtype, requires_grad=True)
    for targets in (torch.zeros(2, 3), torch.ones(2, 3)):
        loss = make(config)(logits, targets)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.dtype == torch.float32
        assert bool(loss.isfinite()) and bool(gradient.isfinite().all())
        assert loss.item() > 1  # not small by mistake; the margin bounds the loss of a negative at -log(margin)


def test_weights_are_not_divided_out() -> None:
    logits, targets = batch(soft=True)
    loss = make(LossConfig())
    assert torch.allclose(loss(logits, targets, torch.full((7,), 0.5)), loss(logits, targets) / 2)


def test_balanced_weights_have_mean_one_and_fall_with_the_count() -> None:
    weights = balanced_weights([1, 10, 100, 1000], 0.999)
    assert sum(weights) == pytest.approx(4)
    assert weights == sorted(weights, reverse=True)
    assert balanced_weights([5, 500], 0.0) == [1.0, 1.0]
    near = balanced_weights([1, 100], 1 - 1e-12)
    assert near[0] / near[1] == pytest.approx(100, rel=1e-3)  # beta to 1: inverse frequency (Cui et al., section 4)
    assert make(CONFIGS["balanced"]).state_dict() == {}  # a checkpoint does not carry it


def test_single_label_is_the_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, choice = torch.randn(6, 4) * 3, torch.tensor([0, 3, 1, 1, 2, 0])
    loss = make_loss(LossConfig(), "single_label", [2, 2, 1, 1], 6)
    hard = torch.nn.functional.one_hot(choice, 4).float()
    cross_entropy = torch.nn.functional.cross_entropy
    assert torch.allclose(loss(logits, hard), cross_entropy(logits, choice))
    soft = torch.softmax(torch.randn(6, 4), 1)
    assert torch.allclose(loss(logits, soft), cross_entropy(logits, soft))
    hard[4, 0] = hard[5] = math.nan
    logits.requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):
        found = loss(logits, hard, torch.tensor([2.0, 0, 1, 1, 1, 1]))
        found.backward()
    each = cross_entropy(logits[:4], choice[:4], reduction="none")
    assert torch.allclose(found, (2 * each[0] + each[2] + each[3]) / 4)
    assert logits.grad is not None and bool((logits.grad[4:] == 0).all())


@pytest.mark.parametrize(
    ("config", "task", "message"),
    [
        (LossConfig("focal", gamma=2.0), "single_label", r"loss\.kind: focal, expected bce"),
        (LossConfig("focal"), "multi_label", r"loss\.gamma: 0 makes focal the plain bce"),
        (LossConfig("focal", gamma=-1.0), "multi_label", r"loss\.gamma: -1\.0, expected a number 0 or more"),
        (LossConfig("balanced", beta=1.0), "multi_label", r"loss\.beta: 1\.0"),
        (LossConfig("asymmetric", margin=1.0), "multi_label", r"loss\.margin: 1\.0"),
        (LossConfig("asymmetric", gamma_negative=-2.0), "multi_label", r"loss\.gamma_negative: -2\.0"),
    ],
)
def test_losses_that_make_no_sense_are_refused(config: LossConfig, task: str, message: str) -> None:
    with pytest.raises(WusumError, match=message):
        make_loss(config, task, POSITIVES, ARTICLES)


def test_targets_are_checked_before_training() -> None:
    soft = np.array([[0.3, np.nan], [1.0, 0.0]], dtype=np.float32)
    check_targets(LossConfig("focal", gamma=2.0), "multi_label", soft)
    check_targets(CONFIGS["asymmetric"], "multi_label", np.round(soft))
    with pytest.raises(WusumError, match="asymmetric takes no soft targets"):
        check_targets(CONFIGS["asymmetric"], "multi_label", soft)
    check_targets(LossConfig(), "single_label", np.array([[0.3, 0.7], [1, 0], [np.nan, np.nan]], dtype=np.float32))
    with pytest.raises(WusumError, match="2 articles, the first at position 1, carry 2 labels"):
        check_targets(LossConfig(), "single_label", np.array([[0, 1], [1, 1], [0, 0]], dtype=np.float32))


def test_the_rounding_of_a_file_of_soft_labels_is_no_fault() -> None:
    """Of 200 labels, 150 may have lost 0.00004 each: the row's sum is 0.994."""
    row = np.full((1, 200), 0.0, dtype=np.float32)
    row[0, 0] = 0.994
    check_targets(LossConfig(), "single_label", row)
    row[0, 0] = 0.9
    with pytest.raises(WusumError, match=r"carry 0\.9 labels"):
        check_targets(LossConfig(), "single_label", row)
