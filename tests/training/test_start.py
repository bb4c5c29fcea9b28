"""Going on from a bundle: the same scheme, one with other labels, and bundles that do not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wusum.inference.bundle import open_bundle
from wusum.inference.manifest import file_sha256, read_manifest, write_manifest
from wusum.labels import Taxonomy, WusumError, load_taxonomy
from wusum.labels.taxonomy import PACKAGED_TAXONOMY

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from wusum.training import bundle_writer  # noqa: E402
from wusum.training.config import LoraConfig, ModelConfig, TrainConfig, load_config  # noqa: E402
from wusum.training.earlier import open_earlier, warn_of_another_dev  # noqa: E402
from wusum.training.losses import LabelLoss  # noqa: E402
from wusum.training.material import read_material  # noqa: E402
from wusum.training.model import ArticleTagger, build_model  # noqa: E402
from wusum.training.pipeline import train  # noqa: E402
from wusum.training.start import load_start  # noqa: E402
from wusum.training.transformers_export import NETWORK, write_network  # noqa: E402

FRESH = 0.02  # share of the training articles with any label


def recipe_of(tiny_recipe: list[str], **options: Any) -> TrainConfig:
    config = load_config(Path(tiny_recipe[0]), tiny_recipe[1:])
    return replace(config, model=replace(config.model, **options))


def fresh(encoder: Path, config: ModelConfig, labels: int) -> ArticleTagger:
    return build_model(encoder, config, LabelLoss(), [FRESH] * labels, 4).eval()


def begin(bundle: Path, config: ModelConfig, taxonomy: Taxonomy, encoder: Path) -> ArticleTagger:
    config = replace(config, start=str(bundle))
    model = fresh(encoder, config, len(taxonomy))
    load_start(model, config, taxonomy, Tokenizer.from_file(str(encoder / "tokenizer.json")))
    return model


def edit_taxonomy(folder: Path) -> Path:
    """The packaged scheme backwards, with one label lost and one gained."""
    scheme = yaml.safe_load(PACKAGED_TAXONOMY.read_text(encoding="utf-8"))
    labels = [label for label in reversed(scheme["labels"]) if label["id"] != "nato"]
    gained = {"id": "energy", "kind": "topic", "ar": "الطاقة", "en": "Energy", "definition": "Oil, gas, electricity."}
    labels.insert(3, gained)
    path = folder / "taxonomy.yaml"
    path.write_text(yaml.safe_dump({**scheme, "labels": labels}, allow_unicode=True), encoding="utf-8")
    return path


@pytest.fixture
def copied(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def linear_model(tmp_path: Path) -> Path:
    """A sound ONNX model that is no encoder."""
    weights = numpy_helper.from_array(np.ones((2, 2), np.float32), "weights")
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 2)) for name in ("given", "made"))
    node = helper.make_node("MatMul", ["given", "weights"], ["made"])
    onnx.save(helper.make_model(helper.make_graph([node], "linear", [given], [made], [weights])), tmp_path / "l.onnx")
    return tmp_path / "l.onnx"


def rehash(bundle: Path, **recipe: Any) -> None:
    """Make a changed bundle whole again; ``recipe`` are changes of the model section that it tells of."""
    manifest = read_manifest(bundle)
    manifest["files"] = {path.name: file_sha256(path) for path in bundle.iterdir() if path.name != "bundle.json"}
    manifest["training"]["recipe"]["model"].update(recipe)
    write_manifest(bundle, manifest)


def test_the_same_scheme_gives_the_same_network(
    tiny_bundle: Path, tiny_network: ArticleTagger, tiny_encoder: Path, tiny_recipe: list[str]
) -> None:
    model = begin(tiny_bundle, recipe_of(tiny_recipe).model, load_taxonomy(), tiny_encoder)
    untouched = fresh(tiny_encoder, recipe_of(tiny_recipe).model, len(load_taxonomy()))
    trained, start = tiny_network.state_dict(), untouched.state_dict()
    assert all(torch.equal(trained[name], tensor) for name, tensor in model.state_dict().items())
    assert not torch.equal(trained["head.weight"], start["head.weight"])
    assert any(not torch.equal(trained[name], start[name]) for name in start if name.startswith("encoder."))


def test_a_run_folder_stands_for_its_bundle(
    tiny_bundle: Path, tiny_network: ArticleTagger, tiny_encoder: Path, tiny_recipe: list[str]
) -> None:
    model = begin(tiny_bundle.parent, recipe_of(tiny_recipe).model, load_taxonomy(), tiny_encoder)
    assert torch.equal(model.head.weight, tiny_network.head.weight)


def test_another_dev_is_told(tiny_bundle: Path, tiny_recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    dev = read_material(recipe_of(tiny_recipe)).dev
    warn_of_another_dev(open_earlier(tiny_bundle), dev, "model.start")
    assert capsys.readouterr().err == ""
    warn_of_another_dev(open_earlier(tiny_bundle), dev[1:], "model.start")
    assert "was trained with another dev" in capsys.readouterr().err


def test_rows_follow_their_labels(
    tiny_bundle: Path, tiny_network: ArticleTagger, tiny_encoder: Path, tiny_recipe: list[str], tmp_path: Path
) -> None:
    before, now = load_taxonomy(), load_taxonomy(edit_taxonomy(tmp_path))
    model = begin(tiny_bundle, recipe_of(tiny_recipe).model, now, tiny_encoder)
    for part in ("query", "weight", "bias"):
        old, new = getattr(tiny_network.head, part), getattr(model.head, part)
        for label in set(now.ids) & set(before.ids):
            assert torch.equal(new[now.index(label)], old[before.index(label)]), label
    assert model.head.bias[now.index("energy")].item() == pytest.approx(np.log(FRESH / (1 - FRESH)), abs=1e-5)
    assert not model.head.query[now.index("energy")].any()


def test_a_run_goes_on_with_another_scheme(
    tiny_bundle: Path, tiny_recipe: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taxonomy = edit_taxonomy(tmp_path)
    options = dict(option.split("=", 1) for option in tiny_recipe[1:])
    rows = [json.loads(line) for line in Path(options["data.articles"]).read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows):
        row["actors"] = [label for label in row["actors"] if label != "nato"]
        row["topics"] = [*row["topics"], "energy"] if number % 4 == 0 else row["topics"]
    articles = tmp_path / "articles.jsonl"
    articles.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    draw, labels = np.random.default_rng(0), len(load_taxonomy(taxonomy))

    def export(model: Any, config: Any, features: Any, full: Path) -> Path:
        return Path(shutil.copyfile(tiny_bundle / "model.onnx", full))

    # The export is tested elsewhere and takes seconds; numbers of the right shape stand in for what it would say.
    monkeypatch.setattr(bundle_writer, "export_model", export)
    monkeypatch.setattr(bundle_writer, "onnx_logits", lambda _, features: draw.normal(size=(len(features), labels)))
    config = load_config(
        Path(tiny_recipe[0]),
        [
            *tiny_recipe[1:],
            f"output={tmp_path / 'run'}",
            f"data.articles={articles}",
            f"data.taxonomy={taxonomy}",
            f"data.split={tmp_path / 's.jsonl'}",
            f"model.start={tiny_bundle}",
            "optimisation.epochs=1",
            "export={least_equal: 0.0, least_equal_label: 0.0, largest_shift: 1.0}",
        ],
    )
    bundle = open_bundle(train(config))
    assert bundle.taxonomy.ids == load_taxonomy(taxonomy).ids
    assert bundle.training["recipe"]["model"]["start"] == str(tiny_bundle)


@pytest.mark.parametrize("windows", ["max", "attention"])
def test_the_form_that_transformers_opens_is_read_back(
    copied: Path, tiny_encoder: Path, tiny_recipe: list[str], windows: str
) -> None:
    taxonomy = load_taxonomy()
    config = recipe_of(tiny_recipe, pooling="first", windows=windows)
    torch.manual_seed(1)
    trained = fresh(tiny_encoder, config.model, len(taxonomy))
    for parameter in trained.parameters():
        torch.nn.init.normal_(parameter)
    for name in (NETWORK, "encoder.json"):
        (copied / name).unlink()
    write_network(trained, config, taxonomy, tiny_encoder, copied)
    rehash(copied, pooling="first", windows=windows)
    model = begin(copied, config.model, taxonomy, tiny_encoder)
    expected = trained.state_dict()
    assert expected.keys() == model.state_dict().keys()
    assert all(torch.equal(expected[name], tensor) for name, tensor in model.state_dict().items())


def test_adapters_start_beside_the_bundles_weights(
    tiny_bundle: Path, tiny_network: ArticleTagger, tiny_encoder: Path, tiny_recipe: list[str]
) -> None:
    pytest.importorskip("peft")
    config = recipe_of(tiny_recipe, lora=LoraConfig(rank=2)).model
    model = begin(tiny_bundle, config, load_taxonomy(), tiny_encoder)
    own = model.state_dict()
    assert any(".lora_A." in name for name in own)
    for name, tensor in tiny_network.state_dict().items():
        adapted = name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias")
        assert torch.equal(own[name] if name in own else own[adapted], tensor), name


def test_a_serving_bundle_of_another_graph_is_refused(
    copied: Path, tiny_encoder: Path, tiny_recipe: list[str], linear_model: Path
) -> None:
    (copied / NETWORK).unlink()
    shutil.copyfile(linear_model, copied / "model.onnx")
    rehash(copied)
    with pytest.raises(WusumError, match=r"not the graph that wusum exports .*export\.network: true") as caught:
        begin(copied, recipe_of(tiny_recipe).model, load_taxonomy(), tiny_encoder)
    assert "\n" not in str(caught.value)


def test_a_changed_network_is_refused(copied: Path, tiny_encoder: Path, tiny_recipe: list[str]) -> None:
    content = bytearray((copied / NETWORK).read_bytes())
    content[-1] ^= 1
    (copied / NETWORK).write_bytes(content)
    with pytest.raises(WusumError, match="its sha256 differs"):
        begin(copied, recipe_of(tiny_recipe).model, load_taxonomy(), tiny_encoder)


def test_no_bundle_there_is_one_sentence(tmp_path: Path, tiny_encoder: Path, tiny_recipe: list[str]) -> None:
    with pytest.raises(WusumError, match=r"bundle\.json: not found"):
        begin(tmp_path / "none", recipe_of(tiny_recipe).model, load_taxonomy(), tiny_encoder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "mean"}, r"trained with model\.pooling: attention, the recipe has mean; set model\.pooling="),
        ({"windows": "max"}, r"trained with model\.windows: attention, the recipe has max"),
        ({"keep_layers": (0,)}, r"num_hidden_layers is 2, the recipe's 1; change model\.keep_layers"),
    ],
)
def test_another_network_is_one_sentence(
    tiny_bundle: Path, tiny_encoder: Path, tiny_recipe: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(WusumError, match=message) as caught:
        begin(tiny_bundle, recipe_of(tiny_recipe, **options).model, load_taxonomy(), tiny_encoder)
    assert str(caught.value).startswith("model.start: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"hidden_size": 64}, "its encoder's hidden_size is 32, the recipe's 64"),
        ({"intermediate_size": 128}, r"intermediate\.dense\.weight: shape \(64, 32\), expected shape \(128, 32\)"),
    ],
)
def test_another_encoder_is_one_sentence(
    tiny_bundle: Path, tiny_encoder: Path, tiny_recipe: list[str], tmp_path: Path, shape: dict[str, int], message: str
) -> None:
    from transformers import AutoConfig, AutoModel

    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    settings = AutoConfig.from_pretrained(folder)
    settings.update(shape)
    AutoModel.from_config(settings).save_pretrained(folder)
    with pytest.raises(WusumError, match=message):
        begin(tiny_bundle, recipe_of(tiny_recipe).model, load_taxonomy(), folder)


def test_another_vocabulary_is_one_sentence(
    copied: Path, tiny_encoder: Path, tiny_recipe: list[str], tmp_path: Path
) -> None:
    tokenizer = json.loads((copied / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first, second = [token for token in vocabulary if not token.startswith("[")][:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    rehash(copied)
    with pytest.raises(WusumError, match=r"has another vocabulary than model\.encoder"):
        begin(copied, recipe_of(tiny_recipe).model, load_taxonomy(), tiny_encoder)
