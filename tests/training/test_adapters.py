"""Low-rank adapters: what is trained, and that merging leaves the plain network."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from wusum.labels.errors import WusumError  # noqa: E402
from wusum.training.adapters import merge_adapters  # noqa: E402
from wusum.training.config import LoraConfig, ModelConfig  # noqa: E402
from wusum.training.losses import LabelLoss  # noqa: E402
from wusum.training.model import ArticleTagger, build_model, parameter_groups  # noqa: E402

IDS = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
BATCH = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "windows": torch.tensor([[0, 1], [2, -1]])}
SMALL = LoraConfig(rank=2)
DENSE_PER_LAYER = 6  # query, key, value, output; up and down


def build(encoder: Path, lora: LoraConfig | None = SMALL, **options: Any) -> ArticleTagger:
    torch.manual_seed(0)
    config = ModelConfig(str(encoder), lora=lora, **options)
    return build_model(encoder, config, LabelLoss(), [0.1, 0.3], 4)


def adapted(model: ArticleTagger) -> list[str]:
    return [name for name, _ in model.named_parameters() if ".lora_A." in name]


def train_a_bit(model: ArticleTagger) -> None:
    """Three steps at a rate at which the adapters matter."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=2.0)
    for _ in range(3):
        optimiser.zero_grad()
        model(**BATCH, labels=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))["loss"].backward()
        optimiser.step()


def test_adapters_start_at_nothing_and_the_encoder_is_frozen(tiny_encoder: Path) -> None:
    plain, model = build(tiny_encoder, None).eval(), build(tiny_encoder).eval()
    model.head.load_state_dict(plain.head.state_dict())
    assert torch.allclose(plain(**BATCH)["logits"], model(**BATCH)["logits"], atol=1e-6)
    assert len(adapted(model)) == 2 * DENSE_PER_LAYER
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name.startswith("head.") or ".lora_" in name), name


def test_training_moves_adapters_and_head_alone(tiny_encoder: Path) -> None:
    model = build(tiny_encoder)
    before = copy.deepcopy(model.state_dict())
    train_a_bit(model)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("head.") or ".lora_" in name}


def test_merged_network_is_plain_and_scores_alike(tiny_encoder: Path) -> None:
    plain, model = build(tiny_encoder, None), build(tiny_encoder)
    train_a_bit(model)
    model.eval()
    with torch.no_grad():
        adapted_logits = model(**BATCH)["logits"]
        merged = merge_adapters(model)
        assert torch.allclose(merged(**BATCH)["logits"], adapted_logits, atol=1e-5)
        assert list(merged.state_dict()) == list(plain.state_dict())
        plain.head.load_state_dict(merged.head.state_dict())
        assert not torch.allclose(plain.eval()(**BATCH)["logits"], adapted_logits, atol=1e-2)
        plain.load_state_dict(merged.state_dict())
        assert torch.equal(plain(**BATCH)["logits"], merged(**BATCH)["logits"])
    assert not any("peft" in type(module).__module__ for module in merged.modules())
    assert not hasattr(merged.encoder, "peft_config")
    assert merge_adapters(plain) is plain


def test_the_scale_is_alpha_over_rank(tiny_encoder: Path) -> None:
    model = build(tiny_encoder, LoraConfig(rank=4, alpha=6.0))
    layer = model.encoder.get_submodule("encoder.layer.1.attention.self.query")
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    update = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * (6.0 / 4)
    expected = (layer.base_layer.weight + update).detach()
    merge_adapters(model)
    assert torch.allclose(model.encoder.get_submodule("encoder.layer.1.attention.self.query").weight, expected)


def test_frozen_layers_get_no_adapters(tiny_encoder: Path) -> None:
    model = build(tiny_encoder, freeze=1)
    assert len(adapted(model)) == DENSE_PER_LAYER
    assert all(name.startswith("encoder.encoder.layer.1.") for name in adapted(model))
    with pytest.raises(WusumError, match=r"model\.freeze leaves no layer to adapt"):
        build(tiny_encoder, freeze=2)


def test_rates_fall_by_layer_under_adapters(tiny_encoder: Path) -> None:
    model = build(tiny_encoder)
    groups = parameter_groups(model, learning_rate=1.0, head_learning_rate=5.0, layer_decay=0.5, weight_decay=0.1)
    found = {id(parameter): group for group in groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        if name.startswith("head."):
            assert (found[id(parameter)]["lr"], found[id(parameter)]["weight_decay"]) == (5.0, 0.0)
        elif ".lora_" in name:
            rate = 1.0 if ".layer.1." in name else 0.5
            assert (found[id(parameter)]["lr"], found[id(parameter)]["weight_decay"]) == (rate, 0.1), name
        else:
            assert id(parameter) not in found, name


def test_what_cannot_be_adapted_is_refused(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WusumError, match=r"model\.lora\.rank: 0"):
        build(tiny_encoder, LoraConfig(rank=0))
    with pytest.raises(WusumError, match=r"model\.lora\.dropout: 1\.0"):
        build(tiny_encoder, LoraConfig(dropout=1.0))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WusumError, match=r"needs the package peft; pip install 'wusum\[train\]'"):
        build(tiny_encoder)
