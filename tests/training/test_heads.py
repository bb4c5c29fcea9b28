"""Heads against a slow reference that reads real windows and tokens only."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from wusum.training.config import ModelConfig  # noqa: E402
from wusum.training.heads import ArticleHead, make_head, standard_head  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Anomaly Detection")

TOKENS = ("attention", "mean", "max", "first")
WINDOWS = ("attention", "max", "mean", "logsumexp")
WIDTH, LABELS = 6, 5

Array = npt.NDArray[np.float64]


def random_head(tokens: str, windows: str, seed: int = 0) -> ArticleHead:
    torch.manual_seed(seed)
    head = ArticleHead(tokens, windows, width=WIDTH, labels=LABELS)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def ragged_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two articles, of three windows and of one; what is padding holds large numbers that must not be read."""
    torch.manual_seed(1)
    lengths = ((4, 3, 2), (4, 0, 0))
    hidden = torch.randn(2, 3, 4, WIDTH)
    mask = torch.zeros(2, 3, 4, dtype=torch.long)
    for article, windows in enumerate(lengths):
        for window, length in enumerate(windows):
            mask[article, window, :length] = 1
    return torch.where(mask.unsqueeze(-1) == 1, hidden, torch.tensor(50.0)), mask


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def reference(head: ArticleHead, windows: list[Array]) -> Array:
    """Score one article, given as one (tokens, width) matrix a window: label by label, in float64."""
    weights = {name: value.double().numpy() for name, value in head.state_dict().items()}

    def attended(label: int, items: Array) -> Array:
        return softmax(items @ weights["query"][label]) @ items

    def vector(label: int, tokens: Array) -> Array:
        if head.tokens == "attention":
            return attended(label, tokens)
        if head.tokens == "first":
            return np.tanh(weights["dense.weight"] @ tokens[0] + weights["dense.bias"])
        return tokens.max(0) if head.tokens == "max" else tokens.mean(0)

    scores = []
    for label in range(LABELS):
        weight, bias = weights["weight"][label], weights["bias"][label]
        if head.windows == "attention":
            joint = (
                np.concatenate(windows) if head.tokens == "attention" else np.stack([vector(label, w) for w in windows])
            )
            scores.append(weight @ attended(label, joint) + bias)
            continue
        each = np.array([weight @ vector(label, window) + bias for window in windows])
        scores.append({"max": each.max(), "mean": each.mean(), "logsumexp": np.log(np.exp(each).mean())}[head.windows])
    return np.array(scores)


@pytest.mark.parametrize(("tokens", "windows"), list(itertools.product(TOKENS, WINDOWS)))
def test_heads_equal_a_slow_reference(tokens: str, windows: str) -> None:
    head = random_head(tokens, windows)
    hidden, mask = ragged_batch()
    scores = head(hidden, mask).detach().numpy()
    assert scores.dtype == np.float32
    for article in range(2):
        real = [
            hidden[article, window, : int(mask[article, window].sum())].double().numpy()
            for window in range(3)
            if mask[article, window].any()
        ]
        np.testing.assert_allclose(scores[article], reference(head, real), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("tokens", "windows"), list(itertools.product(TOKENS, WINDOWS)))
def test_padding_changes_nothing_and_gets_no_gradient(tokens: str, windows: str) -> None:
    head = random_head(tokens, windows)
    hidden, mask = ragged_batch()
    wide = torch.full((2, 5, 7, WIDTH), 30.0)
    wide[:, :3, :4] = hidden
    wide.requires_grad_()
    wide_mask = torch.zeros(2, 5, 7, dtype=torch.long)
    wide_mask[:, :3, :4] = mask
    with torch.autograd.detect_anomaly(check_nan=True):
        scores = head(wide, wide_mask)
        (scores**2).sum().backward()
    assert torch.allclose(scores, head(hidden, mask), atol=1e-5)
    assert wide.grad is not None
    assert bool((wide.grad[wide_mask == 0] == 0).all())
    assert bool((wide.grad[wide_mask == 1] != 0).any())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in head.parameters())
    assert all(bool((parameter.grad != 0).any()) for parameter in head.parameters())


@pytest.mark.parametrize("tokens", TOKENS)
def test_one_window_gets_the_same_score_from_every_window_pooling(tokens: str) -> None:
    hidden, mask = ragged_batch()
    weights = random_head(tokens, "attention").state_dict()
    scores = []
    for windows in WINDOWS:
        head = random_head(tokens, windows)
        head.load_state_dict({name: weights[name] for name in head.state_dict()})
        scores.append(head(hidden[:, :1], mask[:, :1]))
    assert all(torch.allclose(scores[0], other, atol=1e-5) for other in scores[1:])


def test_equal_windows_score_as_one() -> None:
    head = random_head("mean", "logsumexp")
    hidden = torch.randn(1, 1, 3, WIDTH)
    one = head(hidden, torch.ones(1, 1, 3))
    assert torch.allclose(head(hidden.expand(1, 6, 3, WIDTH), torch.ones(1, 6, 3)), one, atol=1e-5)


def test_parameters_have_the_names_of_old_checkpoints() -> None:
    head = make_head(ModelConfig("folder"), WIDTH, LABELS)
    assert {name: tuple(value.shape) for name, value in head.state_dict().items()} == {
        "query": (LABELS, WIDTH),
        "weight": (LABELS, WIDTH),
        "bias": (LABELS,),
    }
    plain = make_head(ModelConfig("folder", pooling="mean", windows="max"), WIDTH, LABELS)
    assert set(plain.state_dict()) == {"weight", "bias"}
    first = make_head(ModelConfig("folder", pooling="first", windows="max"), WIDTH, LABELS)
    assert set(first.state_dict()) == {"weight", "bias", "dense.weight", "dense.bias"}


def test_a_fresh_attention_is_the_mean() -> None:
    torch.manual_seed(0)
    fresh = make_head(ModelConfig("folder", dropout=0.0), WIDTH, LABELS)
    hidden, mask = ragged_batch()
    tokens = hidden[0][mask[0] == 1].mean(0)
    assert torch.allclose(fresh(hidden, mask)[0], fresh.weight @ tokens + fresh.bias, atol=1e-5)


def test_scores_keep_full_precision_under_autocast() -> None:
    hidden, mask = ragged_batch()
    for tokens, windows in (("first", "max"), ("mean", "mean"), ("attention", "attention")):
        head = random_head(tokens, windows)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = head(hidden, mask)
        assert scores.dtype == torch.float32
        assert torch.allclose(scores, head(hidden, mask), atol=0.1)


@pytest.mark.parametrize("tokens", TOKENS)
def test_dropout_acts_in_training_only(tokens: str) -> None:
    torch.manual_seed(0)
    head = ArticleHead(tokens, "mean", width=WIDTH, labels=LABELS, dropout=0.5)
    hidden, mask = ragged_batch()
    assert not torch.equal(head(hidden, mask), head(hidden, mask))
    head.eval()
    assert torch.equal(head(hidden, mask), head(hidden, mask))


@pytest.mark.parametrize(
    ("tokens", "windows"),
    [("attention", "attention"), ("attention", "logsumexp"), ("max", "mean"), ("mean", "attention"), ("first", "max")],
)
def test_heads_export_with_any_number_of_windows_and_tokens(tokens: str, windows: str, tmp_path: Path) -> None:
    class OneArticle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = random_head(tokens, windows).eval()

        def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.head(hidden.unsqueeze(0), mask.unsqueeze(0)).squeeze(0)

    model = OneArticle()
    dims = {0: torch.export.Dim("windows", max=64), 1: torch.export.Dim("tokens", max=8192)}
    path = tmp_path / "head.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.randn(2, 16, WIDTH), torch.ones(2, 16, dtype=torch.long)),
            str(path),
            input_names=["hidden", "mask"],
            dynamic_shapes=(dims, dims),
            dynamo=True,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    hidden, mask = ragged_batch()
    for some_hidden, some_mask in ((hidden[0], mask[0]), (hidden[1, :1], mask[1, :1])):
        (exported,) = session.run(None, {"hidden": some_hidden.numpy(), "mask": some_mask.numpy()})
        np.testing.assert_allclose(exported, model(some_hidden, some_mask).detach().numpy(), rtol=1e-4, atol=1e-4)


def test_only_the_first_token_head_is_standard() -> None:
    assert [standard_head(ModelConfig("folder", pooling=tokens)) for tokens in TOKENS] == [False, False, False, True]
