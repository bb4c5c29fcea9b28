"""The trained weights in a bundle: plain transformers opens what is a standard classifier, and refuses the rest."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from transformers import (  # noqa: E402
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)

from wusum.labels import load_taxonomy  # noqa: E402
from wusum.training.config import ModelConfig, TrainConfig, load_config  # noqa: E402
from wusum.training.encoder_network import FAMILIES  # noqa: E402
from wusum.training.losses import LabelLoss  # noqa: E402
from wusum.training.model import ArticleTagger, build_model  # noqa: E402
from wusum.training.transformers_export import (  # noqa: E402
    CLASSIFIERS,
    classifier_names,
    write_network,
)

TEXTS = ["قال الوزير في جنيف", "وقف إطلاق النار في سوريا بعد لقاء موسكو", "اجتماع"]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> dict[str, Path]:
    """A random encoder of each family, all with the tiny encoder's tokenizer."""
    folders = {}
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    for family in FAMILIES:
        feed_forward = {"hidden_dim" if family == "distilbert" else "intermediate_size": 64}
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        settings = AutoConfig.for_model(
            family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **shape, **feed_forward
        )
        torch.manual_seed(0)
        folders[family] = tmp_path_factory.mktemp(family)
        AutoModel.from_config(settings).save_pretrained(folders[family])
        tokenizer.save_pretrained(folders[family])
    return folders


def make_recipe(tiny_recipe: list[str], encoder: Path, **options: Any) -> TrainConfig:
    config = load_config(Path(tiny_recipe[0]), tiny_recipe[1:])
    return replace(config, model=ModelConfig(str(encoder), **options))


def make_network(encoder: Path, config: TrainConfig) -> ArticleTagger:
    model = build_model(encoder, config.model, LabelLoss(), [0.1] * len(load_taxonomy()), 4).eval()
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def logits_of(model: ArticleTagger, tokenizer: Tokenizer, text: str) -> Any:
    ids = torch.tensor([tokenizer.encode(text).ids])
    with torch.no_grad():
        return model(ids, torch.ones_like(ids), torch.tensor([[0]]))["logits"][0]


def write(encoder: Path, config: TrainConfig, folder: Path) -> ArticleTagger:
    """The files that a bundle has besides the served model."""
    model = make_network(encoder, config)
    folder.mkdir()
    write_network(model, config, load_taxonomy(), encoder, folder)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pipeline_scores_as_the_network_does(
    encoders: dict[str, Path], tiny_recipe: list[str], tmp_path: Path, family: str
) -> None:
    encoder = encoders[family]
    config = make_recipe(tiny_recipe, encoder, pooling="first", windows="max")
    bundle = tmp_path / "bundle"
    model = write(encoder, config, bundle)
    assert {path.name for path in bundle.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    classify = pipeline("text-classification", model=str(bundle), top_k=None)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    taxonomy = load_taxonomy()
    for text in TEXTS:
        found = {entry["label"]: entry["score"] for entry in classify([text])[0]}
        expected = logits_of(model, tokenizer, text).sigmoid().tolist()
        assert found.keys() == set(taxonomy.ids)
        assert [found[label] for label in taxonomy.ids] == pytest.approx(expected, abs=1e-4)
        assert max(found.values()) - min(found.values()) > 0.05


def test_one_label_per_article_is_a_softmax_there(
    encoders: dict[str, Path], tiny_recipe: list[str], tmp_path: Path
) -> None:
    config = make_recipe(tiny_recipe, encoders["bert"], pooling="first", task="single_label")
    model = write(encoders["bert"], config, tmp_path / "bundle")
    classify = pipeline("text-classification", model=str(tmp_path / "bundle"), top_k=None)
    tokenizer = Tokenizer.from_file(str(tmp_path / "bundle" / "tokenizer.json"))
    found = {entry["label"]: entry["score"] for entry in classify(TEXTS[:1])[0]}
    expected = logits_of(model, tokenizer, TEXTS[0]).softmax(0).tolist()
    assert [found[label] for label in load_taxonomy().ids] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_weight_is_missing_and_none_is_left_over(
    encoders: dict[str, Path], tiny_recipe: list[str], tmp_path: Path, family: str
) -> None:
    config = make_recipe(tiny_recipe, encoders[family], pooling="first", windows="max")
    write(encoders[family], config, tmp_path / "bundle")
    _, told = AutoModelForSequenceClassification.from_pretrained(tmp_path / "bundle", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert not told["mismatched_keys"]


@pytest.mark.parametrize("pooling", ["attention", "mean", "max"])
def test_other_heads_are_refused_by_transformers_rather_than_opened_at_random(
    encoders: dict[str, Path], tiny_recipe: list[str], tmp_path: Path, pooling: str
) -> None:
    config = make_recipe(tiny_recipe, encoders["bert"], pooling=pooling)
    write(encoders["bert"], config, tmp_path / "bundle")
    assert {path.name for path in tmp_path.joinpath("bundle").iterdir()} == {
        "encoder.json",
        "network.safetensors",
        "tokenizer.json",
    }
    with pytest.raises((OSError, ValueError)):
        pipeline("text-classification", model=str(tmp_path / "bundle"), top_k=None)


def test_a_tiny_bundle_as_trained_is_refused_by_transformers(tiny_bundle: Path) -> None:
    with pytest.raises((OSError, ValueError)):
        pipeline("text-classification", model=str(tiny_bundle), top_k=None)


def test_queries_of_window_attention_are_kept_apart(
    encoders: dict[str, Path], tiny_recipe: list[str], tmp_path: Path
) -> None:
    config = make_recipe(tiny_recipe, encoders["bert"], pooling="first", windows="attention")
    model = write(encoders["bert"], config, tmp_path / "bundle")
    assert set(load_file(tmp_path / "bundle" / "network.safetensors")) == {"head.query"}
    tokenizer = Tokenizer.from_file(str(tmp_path / "bundle" / "tokenizer.json"))
    found = pipeline("text-classification", model=str(tmp_path / "bundle"), top_k=None)(TEXTS[1:2])[0]
    expected = dict(zip(load_taxonomy().ids, logits_of(model, tokenizer, TEXTS[1]).sigmoid().tolist(), strict=True))
    assert {entry["label"]: entry["score"] for entry in found} == pytest.approx(expected, abs=1e-4)


def test_all_may_read_the_weights_that_may_read_the_manifest(tiny_bundle: Path) -> None:
    assert len({path.stat().st_mode for path in tiny_bundle.iterdir()}) == 1


def test_the_files_name_no_folder_of_this_machine(
    encoders: dict[str, Path], tiny_recipe: list[str], tmp_path: Path
) -> None:
    config = make_recipe(tiny_recipe, encoders["bert"], pooling="first")
    write(encoders["bert"], config, tmp_path / "bundle")
    for path in (tmp_path / "bundle").glob("*.json"):
        assert str(tmp_path.parent) not in path.read_text(encoding="utf-8")
        assert str(encoders["bert"]) not in path.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "bundle" / "tokenizer_config.json").read_text())["model_max_length"] == 64


def test_every_supported_family_is_mapped(encoders: dict[str, Path], tiny_recipe: list[str]) -> None:
    assert set(CLASSIFIERS) == set(FAMILIES)
    for family, encoder in encoders.items():
        model = make_network(encoder, make_recipe(tiny_recipe, encoder, pooling="first", windows="max"))
        assert set(classifier_names(model.encoder.config, model.state_dict())) == set(model.state_dict()), family
