"""The network: encoder families, layers kept and frozen, rates by layer, and transformers' own classifiers."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import (  # noqa: E402
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    ModernBertConfig,
    PreTrainedModel,
    RobertaConfig,
)

from wusum.labels.errors import WusumError  # noqa: E402
from wusum.training.attention import half_attention  # noqa: E402
from wusum.training.config import LossConfig, ModelConfig  # noqa: E402
from wusum.training.encoder_network import check_window, encoder_layers, freeze_layers, keep_layers  # noqa: E402
from wusum.training.losses import LabelLoss, make_loss  # noqa: E402
from wusum.training.model import ArticleTagger, build_model, parameter_groups  # noqa: E402

VOCABULARY, PAD, MASK = 200, 1, 4
SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
FAMILIES = ("bert", "xlm-roberta", "electra", "distilbert")


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random encoder of each family, three layers deep."""
    folders: dict[str, Path] = {}
    for family in FAMILIES:
        feed_forward = {"hidden_dim" if family == "distilbert" else "intermediate_size": 64}
        settings = AutoConfig.for_model(
            family, vocab_size=VOCABULARY, pad_token_id=PAD, max_position_embeddings=66, **SHAPE, **feed_forward
        )
        torch.manual_seed(0)
        folders[family] = tmp_path_factory.mktemp(family)
        model = AutoModel.from_config(settings)
        for parameter in model.parameters():  # fresh weights are so small that a mistake would hardly show
            torch.nn.init.normal_(parameter, std=0.2)
        model.save_pretrained(folders[family])
    return folders


def build(folder: Path, labels: int = 3, loss: torch.nn.Module | None = None, **options: Any) -> ArticleTagger:
    torch.manual_seed(1)
    return build_model(folder, ModelConfig(str(folder), **options), loss or LabelLoss(), [0.1] * labels, MASK)


def batch() -> dict[str, torch.Tensor]:
    """Two articles, of two windows and of one, with padding."""
    ids = torch.randint(5, VOCABULARY, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 9:] = mask[2, 5:] = 0
    windows = torch.tensor([[0, 1], [2, -1]])
    return {"input_ids": ids.masked_fill(mask == 0, PAD), "attention_mask": mask, "windows": windows}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_article_scores_alike_alone_and_in_a_batch(encoders: dict[str, Path], family: str) -> None:
    model = build(encoders[family]).eval()
    torch.nn.init.normal_(model.head.query)
    together = model(**batch())["logits"]
    ids, mask = batch()["input_ids"][2:, :5], batch()["attention_mask"][2:, :5]
    alone = model(input_ids=ids, attention_mask=mask, windows=torch.tensor([[0]]))["logits"]
    assert torch.allclose(together[1:], alone, atol=1e-5)


# Where transformers' sequence classifiers keep what the head calls dense, and its weight and bias.
STANDARD = {
    "bert": ("bert.pooler.dense", "classifier"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
    "electra": ("classifier.dense", "classifier.out_proj"),
    "distilbert": ("pre_classifier", "classifier"),
}


def standard_twin(model: ArticleTagger, family: str) -> PreTrainedModel:
    """Return transformers' own classifier with the weights of ``model``."""
    settings = AutoConfig.for_model(**model.encoder.config.to_dict(), num_labels=model.head.bias.numel())
    theirs = AutoModelForSequenceClassification.from_config(settings)
    dense, scores = STANDARD[family]
    state = {f"{theirs.base_model_prefix}.{name}": value for name, value in model.encoder.state_dict().items()}
    head = model.head.state_dict()
    state |= {f"{dense}.{part}": head[f"dense.{part}"] for part in ("weight", "bias")}
    state |= {f"{scores}.{part}": head[part] for part in ("weight", "bias")}
    theirs.load_state_dict(state, strict=True)
    return theirs.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_first_token_head_is_transformers_own(encoders: dict[str, Path], family: str) -> None:
    model = build(encoders[family], pooling="first", windows="max").eval()
    torch.nn.init.normal_(model.head.weight)
    torch.nn.init.normal_(model.head.dense.weight, std=0.2)
    one = {name: batch()[name][2:] for name in ("input_ids", "attention_mask")}
    theirs = standard_twin(model, family)(**one).logits
    assert torch.allclose(model(**one, windows=torch.tensor([[0]]))["logits"], theirs, atol=1e-5)
    assert float(theirs.detach().abs().max()) > 0.5


def test_first_token_head_starts_from_the_pretrained_pooler(encoders: dict[str, Path], tiny_encoder: Path) -> None:
    pooler = AutoModel.from_pretrained(encoders["bert"]).pooler.dense
    assert torch.equal(build(encoders["bert"], pooling="first").head.dense.weight, pooler.weight)
    assert torch.equal(build(encoders["bert"], pooling="first").head.dense.bias, pooler.bias)
    for without in (encoders["electra"], tiny_encoder):
        assert 0.015 < float(build(without, pooling="first").head.dense.weight.std()) < 0.025
    assert not any("pooler" in name for name in build(encoders["bert"]).state_dict())


def test_names_in_a_checkpoint_are_the_old_ones(tiny_encoder: Path) -> None:
    balanced = make_loss(LossConfig("balanced"), "multi_label", [1, 2, 3], 9)
    names = set(build(tiny_encoder, loss=balanced).state_dict())
    encoder = {
        f"encoder.{name}" for name in AutoModel.from_pretrained(tiny_encoder, add_pooling_layer=False).state_dict()
    }
    assert names == encoder | {"head.query", "head.weight", "head.bias"}


def test_priors_set_the_bias(tiny_encoder: Path) -> None:
    model = build_model(tiny_encoder, ModelConfig("", windows="mean"), LabelLoss(), [0.25, 0.0, 0.9], MASK)
    expected = [math.log(0.25 / 0.75), math.log(0.001 / 0.999), 0.0]
    assert model.head.bias.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_of_the_recipe_reaches_every_layer(encoders: dict[str, Path], family: str) -> None:
    model = build(encoders[family], dropout=0.37)
    inside = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(inside) > 6 and set(inside) == {0.37}


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_kept_by_index(encoders: dict[str, Path], family: str) -> None:
    whole, cut = build(encoders[family]), build(encoders[family], keep_layers=(0, 2))
    assert len(encoder_layers(cut.encoder)) == cut.encoder.config.num_hidden_layers == 2
    for kept, layer in zip(encoder_layers(cut.encoder), (0, 2), strict=True):
        original = encoder_layers(whole.encoder)[layer].state_dict()
        assert all(torch.equal(value, original[name]) for name, value in kept.state_dict().items())
    assert not torch.allclose(whole.eval()(**batch())["logits"], cut.eval()(**batch())["logits"])
    with pytest.raises(WusumError, match="3 does not exist, the encoder has layers 0 to 2"):
        keep_layers(whole.encoder, [3])
    with pytest.raises(WusumError, match="is empty"):
        keep_layers(whole.encoder, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_means_embeddings_and_lowest_layers(encoders: dict[str, Path], family: str) -> None:
    model = build(encoders[family], freeze=1, keep_layers=(0, 2))
    model(**batch(), labels=torch.ones(2, 3))["loss"].backward()
    top = {id(parameter) for parameter in encoder_layers(model.encoder)[1].parameters()}
    for name, parameter in model.named_parameters():
        trained = name.startswith("head.") or id(parameter) in top
        assert parameter.requires_grad == trained, name
        assert (parameter.grad is not None) == trained, name


def test_freezing_embeddings_alone_or_everything(encoders: dict[str, Path]) -> None:
    zero, whole = build(encoders["bert"], freeze=0), build(encoders["bert"], freeze=3)
    assert {name.split(".")[1] for name, p in zero.named_parameters() if not p.requires_grad} == {"embeddings"}
    assert {name for name, p in whole.named_parameters() if p.requires_grad} == {
        "head.query",
        "head.weight",
        "head.bias",
    }
    for count in (4, -1):
        with pytest.raises(WusumError, match=rf"model\.freeze: {count}, but 3 layers are kept; expected 0 to 3"):
            freeze_layers(whole.encoder, count)
    with pytest.raises(WusumError, match=r"model\.freeze: 2, but 1 layers are kept"):
        build(encoders["bert"], freeze=2, keep_layers=(1,))


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_fall_by_layer_and_norms_do_not_decay(encoders: dict[str, Path], family: str) -> None:
    model = build(encoders[family], keep_layers=(0, 2))
    groups = parameter_groups(model, learning_rate=1.0, head_learning_rate=5.0, layer_decay=0.5, weight_decay=0.1)
    found = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        group = found[id(parameter)]
        rate = next(
            (rate for part, rate in ((".layer.1.", 1.0), (".layer.0.", 0.5), ("head.", 5.0)) if part in name), 0.25
        )
        is_norm_or_bias = name.endswith(".bias") or "norm" in name.lower()
        decay = 0.0 if is_norm_or_bias or name.startswith("head.") else 0.1
        assert (group["lr"], group["weight_decay"]) == (rate, decay), name


def test_frozen_parameters_are_not_given_to_the_optimiser(encoders: dict[str, Path]) -> None:
    model = build(encoders["bert"], freeze=2)
    groups = parameter_groups(model, learning_rate=1.0, head_learning_rate=5.0, layer_decay=0.5, weight_decay=0.1)
    given = {id(parameter) for group in groups for parameter in group["params"]}
    assert given == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert {group["lr"] for group in groups} == {1.0, 5.0}


def test_other_families_are_refused(tmp_path: Path) -> None:
    ModernBertConfig(hidden_size=32).save_pretrained(tmp_path)
    with pytest.raises(WusumError, match="is of the family modernbert, expected one of bert, roberta"):
        build(tmp_path)


def test_a_window_longer_than_the_positions_is_refused() -> None:
    check_window(BertConfig(max_position_embeddings=512), 512)
    check_window(RobertaConfig(max_position_embeddings=514, pad_token_id=1), 512)
    with pytest.raises(WusumError, match=r"input\.window: 513, but the encoder reads 512 tokens at most"):
        check_window(BertConfig(max_position_embeddings=512), 513)
    with pytest.raises(WusumError, match=r"set input\.window=512"):
        check_window(RobertaConfig(max_position_embeddings=514, pad_token_id=1), 513)


@pytest.mark.parametrize(("family", "limit"), [("bert", 66), ("xlm-roberta", 64), ("distilbert", 66), ("electra", 66)])
def test_the_window_limit_is_what_the_encoder_can_read(encoders: dict[str, Path], family: str, limit: int) -> None:
    model = build(encoders[family]).eval()
    check_window(model.encoder.config, limit)
    with pytest.raises(WusumError, match=f"reads {limit} tokens"):
        check_window(model.encoder.config, limit + 1)
    ids = torch.full((1, limit + 1), 7)
    model(input_ids=ids[:, 1:], attention_mask=torch.ones_like(ids[:, 1:]), windows=torch.tensor([[0]]))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), windows=torch.tensor([[0]]))


def test_loss_takes_weights_and_missing_labels(tiny_encoder: Path) -> None:
    model = build(tiny_encoder).eval()
    labels = torch.tensor([[1.0, 0.0, math.nan], [math.nan, 0.3, 1.0]])
    weights = torch.tensor([1.0, 0.25])
    output = model(**batch(), labels=labels, weights=weights)
    judged = ~labels.isnan()
    cells = torch.nn.functional.binary_cross_entropy_with_logits(
        output["logits"][judged], labels[judged], weight=weights.unsqueeze(1).expand(2, 3)[judged]
    )
    assert torch.allclose(output["loss"], cells)
    output["loss"].backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters() if parameter.grad is not None)
    assert "loss" not in model(**batch())


def test_single_label_changes_the_loss_alone(tiny_encoder: Path) -> None:
    choice = build(tiny_encoder, loss=make_loss(LossConfig(), "single_label", [1, 1, 1], 3), task="single_label").eval()
    output = choice(**batch(), labels=torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert torch.equal(output["logits"], build(tiny_encoder).eval()(**batch())["logits"])
    assert torch.allclose(output["loss"], torch.nn.functional.cross_entropy(output["logits"], torch.tensor([1, 0])))


def test_token_dropout_masks_tokens_in_training_but_never_the_first(encoders: dict[str, Path]) -> None:
    model = build(encoders["bert"], dropout=0.0, token_dropout=0.5)
    seen: list[torch.Tensor] = []
    model.encoder.embeddings.word_embeddings.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    torch.manual_seed(0)
    model(**batch())
    ids, mask = batch()["input_ids"], batch()["attention_mask"]
    changed = seen[0] != ids
    assert 0.2 < float(changed[:, 1:][mask[:, 1:] == 1].float().mean()) < 0.8
    assert bool((seen[0][changed] == MASK).all())
    assert not bool(changed[:, 0].any()) and not bool(changed[mask == 0].any())
    model.eval()(**batch())
    assert torch.equal(seen[1], ids)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("masked", [-1e4, torch.finfo(torch.float32).min])
def test_half_attention_is_attention(dtype: torch.dtype, tolerance: float, masked: float) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4) for _ in range(3))
    mask = torch.zeros(2, 1, 1, 7)
    mask[1, ..., 4:] = masked
    halves = [one.to(dtype) for one in (query, key, value)]
    ours, _ = half_attention(torch.nn.Module().eval(), *halves, mask, 0.5)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.5)
    assert ours.dtype == dtype
    assert torch.allclose(ours.float(), theirs.transpose(1, 2), atol=tolerance)


def test_half_attention_drops_weights_in_training_alone() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 200, 4)
    value = torch.eye(200).expand(1, 1, 200, 200)  # so that the output is the weights
    module = torch.nn.Module()
    trained, _ = half_attention(module.train(), query, key, value, None, 0.5, dropout=0.25)
    plain, _ = half_attention(module.eval(), query, key, value, None, 0.5, dropout=0.25)
    dropped = trained == 0
    assert float(dropped.float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.allclose(trained[~dropped], plain[~dropped] / 0.75)
    assert bool((plain > 0).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_on_cpu_equals_the_one_on_a_gpu(encoders: dict[str, Path], family: str) -> None:
    here = build(encoders[family]).eval()
    there = build_model(encoders[family], ModelConfig(""), LabelLoss(), [0.1] * 3, MASK, device_type="cuda").eval()
    there.load_state_dict(here.state_dict())
    assert (here.encoder.config._attn_implementation, there.encoder.config._attn_implementation) == (
        "wusum_half",
        "sdpa",
    )
    assert torch.allclose(here(**batch())["logits"], there(**batch())["logits"], atol=1e-4)


def test_a_checkpoint_with_gaps_is_refused_not_filled_with_random_numbers(
    encoders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(encoders["bert"], folder)
    whole = load_file(folder / "model.safetensors")
    build(folder)
    save_file({name: value for name, value in whole.items() if "pooler" not in name}, folder / "model.safetensors")
    build(folder)
    save_file({name: value for name, value in whole.items() if "layer.2." not in name}, folder / "model.safetensors")
    with pytest.raises(WusumError, match=r"16 weights of the encoder are missing, the first encoder\.layer\.2\."):
        build(folder)
    other = whole | {"encoder.layer.2.output.dense.weight": torch.zeros(32, 8)}
    save_file(other, folder / "model.safetensors")
    with pytest.raises(WusumError, match=r"the weights do not fit config\.json"):
        build(folder)


def test_settings_that_make_no_sense_are_one_sentence(encoders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(encoders["bert"], folder)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(settings | {"hidden_size": "wide"}), encoding="utf-8")
    with pytest.raises(WusumError, match=r"config\.json: cannot be used \(.*hidden_size") as caught:
        build(folder)
    assert "\n" not in str(caught.value)
