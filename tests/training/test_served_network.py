"""Weights read back from served models, and the embedded model as a start."""

import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from wusum.inference import Article
from wusum.inference.bundle import embedded_bundle, open_bundle
from wusum.inference.engine import open_engine
from wusum.inference.features import Features, Featuriser
from wusum.labels import WusumError, load_taxonomy

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer  # noqa: E402
from transformers import AutoModel  # noqa: E402

from wusum.training.config import ExportConfig, ModelConfig, load_config  # noqa: E402
from wusum.training.embedded import EMBEDDED  # noqa: E402
from wusum.training.encoder import resolve_encoder  # noqa: E402
from wusum.training.export import export_fp32, export_model  # noqa: E402
from wusum.training.losses import LabelLoss  # noqa: E402
from wusum.training.model import ArticleTagger, build_model  # noqa: E402
from wusum.training.outliers import UNITS  # noqa: E402
from wusum.training.pipeline import train  # noqa: E402
from wusum.training.served_network import read_served  # noqa: E402
from wusum.training.start import load_start  # noqa: E402
from wusum.training.transformers_export import NETWORK, read_network  # noqa: E402


def test_an_fp32_model_gives_back_every_weight(tiny_network: ArticleTagger, tmp_path: Path) -> None:
    export_fp32(tiny_network, tmp_path / "full.onnx")
    shape, found = read_served(tmp_path / "full.onnx")
    state = tiny_network.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    config = tiny_network.encoder.config
    assert shape == {name: getattr(config, name) for name in shape}


def test_an_8_bit_model_gives_back_every_weight_to_its_step(tiny_bundle: Path, tiny_network: ArticleTagger) -> None:
    state = tiny_network.state_dict()
    _, found = read_served(tiny_bundle / "model.onnx")
    assert found.keys() == state.keys()
    for name, weight in state.items():
        rounded = name.endswith(("dense.weight", "query.weight", "key.weight", "value.weight", "embeddings.weight"))
        # 255 steps over the whole range of the embeddings, of each row of a product's matrix.
        apart = (
            weight.abs().amax(1, keepdim=True) if "embeddings" not in name and weight.ndim > 1 else weight.abs().max()
        )
        step = 2 * apart / 254 if rounded else torch.zeros(())
        assert ((found[name] - weight).abs() <= 0.501 * step + 1e-7).all(), name
        assert not rounded or not torch.equal(found[name], weight), name


def test_four_labels_are_not_mistaken_for_four_outliers(tiny_network: ArticleTagger, tmp_path: Path) -> None:
    model = copy.deepcopy(tiny_network)
    for name in ("query", "weight", "bias"):
        setattr(model.head, name, torch.nn.Parameter(getattr(model.head, name)[:UNITS]))
    ids = np.arange(5, 17, dtype=np.int64).reshape(1, -1)
    served = export_model(
        model, ExportConfig(), [Features(ids, np.ones_like(ids), truncated=False)], tmp_path / "full.onnx"
    )
    assert torch.equal(read_served(served)[1]["head.query"], model.head.query)


def test_measured_ranges_are_refused(tiny_network: ArticleTagger, tmp_path: Path) -> None:
    ids = np.arange(5, 17, dtype=np.int64).reshape(1, -1)
    features = Features(ids, np.ones_like(ids), truncated=False)
    served = export_model(tiny_network, ExportConfig("int8_static"), [features], tmp_path / "full.onnx")
    with pytest.raises(WusumError, match=r"not the graph that wusum exports .*export\.network: true"):
        read_served(served)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_another_pooling_is_refused(tiny_encoder: Path, tmp_path: Path, pooling: Literal["mean", "first"]) -> None:
    model = build_model(tiny_encoder, ModelConfig("", pooling=pooling, windows="max"), LabelLoss(), [0.1] * 34, 4)
    export_fp32(model, tmp_path / "full.onnx")
    with pytest.raises(WusumError, match=r"not the graph that wusum exports .*; start from a bundle that keeps"):
        read_served(tmp_path / "full.onnx")


def test_a_bundle_without_trained_weights_is_gone_on_from(tiny_recipe: list[str], tmp_path: Path) -> None:
    options = [*tiny_recipe[1:], "optimisation.epochs=1"]
    served = train(load_config(Path(tiny_recipe[0]), [*options, "export.network=false", f"output={tmp_path / 'a'}"]))
    assert not (served / NETWORK).exists()
    going_on = [*options, f"model.start={served}", "optimisation.learning_rate=1.0e-9", f"output={tmp_path / 'b'}"]
    onwards = train(load_config(Path(tiny_recipe[0]), [*going_on, "optimisation.head_learning_rate=1.0e-9"]))
    before, after = read_served(served / "model.onnx")[1], read_network(open_bundle(onwards)).state
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


@pytest.fixture
def embedded(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.getbasetemp() / "embedded-cache"  # one for all tests: 84 MB are written
    monkeypatch.setenv("WUSUM_CACHE", str(cache))
    return resolve_encoder(EMBEDDED)


def test_the_embedded_encoder_is_whole(embedded: Path) -> None:
    _, told = AutoModel.from_pretrained(embedded, output_loading_info=True, add_pooling_layer=False)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert resolve_encoder(EMBEDDED) == embedded


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_cache_is_written_anew(embedded: Path, name: str) -> None:
    whole = (embedded / name).read_bytes()
    (embedded / name).write_bytes(whole[:100])
    assert resolve_encoder(EMBEDDED) == embedded
    assert (embedded / name).read_bytes() == whole


def test_the_embedded_model_starts_where_it_is_served(embedded: Path, samples: list[dict[str, Any]]) -> None:
    bundle, taxonomy = open_bundle(embedded_bundle()), load_taxonomy()
    config = ModelConfig(EMBEDDED, start=EMBEDDED)
    model = build_model(embedded, config, LabelLoss(), [0.1] * len(taxonomy), 4).eval()
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path))
    load_start(model, config, taxonomy, tokenizer)
    featurise = Featuriser(tokenizer, bundle.input, bundle.tokens)
    engine = open_engine("onnx", bundle.model_path, 1)
    for row in samples:
        one = featurise(Article(row["text"], row["title"]))
        with torch.no_grad():
            ids, mask = torch.from_numpy(one.ids), torch.from_numpy(one.mask)
            found = model(ids, mask, torch.arange(len(ids))[None])["logits"][0].numpy()
        # Rounding the activations moves a logit by 0.1 to 0.2; a single wrong matrix moves all by several.
        assert np.abs(found - engine.logits(one)).mean() < 0.4


def test_the_recipe_for_own_labels_goes_on_from_the_embedded_model(
    embedded: Path, tiny_recipe: list[str], tmp_path: Path
) -> None:
    options = [option for option in tiny_recipe[1:] if not option.startswith("model.encoder")]
    standing = ["optimisation.learning_rate=1.0e-9", "optimisation.head_learning_rate=1.0e-9", "optimisation.epochs=1"]
    recipe = Path(__file__).resolve().parents[2] / "configs" / "own-labels.yaml"
    config = load_config(recipe, [*options, *standing, "export.precision=fp32", f"output={tmp_path / 'mine'}"])
    found = read_network(open_bundle(train(config))).state
    expected = read_served(embedded_bundle() / "model.onnx")[1]
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
