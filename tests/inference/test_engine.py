"""Engines: how they are chosen, what they import, and that they agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from wusum.inference import Article, Tagger
from wusum.inference.bundle import open_bundle
from wusum.inference.engine import ENGINES, EngineName, OnnxEngine, open_engine
from wusum.inference.features import Featuriser, read_tokenizer
from wusum.labels import WusumError

from .engine_choice import PACKAGES, each_engine, needs_openvino

LINKS = Path(__file__).resolve().parents[2] / ".types"


def test_the_engine_is_one_of_those_there_are(tiny_bundle: Path) -> None:
    with pytest.raises(WusumError, match=r"engine: 'tpu', expected one of onnx, openvino"):
        Tagger.load(tiny_bundle, engine=cast(EngineName, "tpu"))


def test_threads_are_positive(tiny_bundle: Path) -> None:
    with pytest.raises(WusumError, match="threads: 0, expected 1 or more"):
        Tagger.load(tiny_bundle, threads=0)


def test_a_missing_package_is_named_with_its_extra(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(WusumError) as caught:
        Tagger.load(tiny_bundle, engine="openvino")
    assert "pip install 'wusum[openvino]'" in str(caught.value)
    assert "\n" not in str(caught.value)


@each_engine
def test_what_is_no_model_is_one_sentence(engine: EngineName, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(WusumError) as caught:
        open_engine(engine, path, 1)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@each_engine
def test_threads_are_the_available_cores_unless_told(
    engine: EngineName, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("engine", "openvino_engine"):
        monkeypatch.setattr(f"wusum.inference.{module}.available_cores", lambda: 3)
    model = open_bundle(tiny_bundle).model_path
    assert open_engine(engine, model).threads == 3
    assert open_engine(engine, model, 1).threads == 1


@each_engine
def test_only_the_chosen_engine_is_imported_and_it_leaves_nothing_behind(engine: EngineName, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom wusum.inference import Tagger\nassert not {'onnxruntime', 'openvino'} & set(sys.modules)\n"
        f"Tagger.load(threads=1, engine={engine!r}).predict({{'text': 'أعلنت الحكومة اليوم خطة جديدة.'}})\n"
        "print(*sorted({'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    # Continuous integration is a reason for some packages not to send what they would send elsewhere.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    environment = kept | {"HOME": str(tmp_path), "PYTHONPATH": str(LINKS)}
    command = [sys.executable, "-B", "-c", script]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    assert shown.stdout.split() == [PACKAGES[engine]]
    assert list(tmp_path.iterdir()) == []  # where the telemetry of both packages keeps a number of the machine


@needs_openvino
def test_engines_give_about_the_same_labels(samples: list[dict[str, Any]]) -> None:
    articles = [Article(row["text"], row["title"]) for row in samples]
    pairs = list(zip(*(Tagger.load(threads=1, engine=name).predict(articles) for name in ENGINES), strict=True))
    differing = sum(len({*one.topics, *one.actors} ^ {*two.topics, *two.actors}) for one, two in pairs)
    moved = [abs(score - two.scores[label]) for one, two in pairs for label, score in one.scores.items()]
    assert differing / len(moved) <= 0.01
    assert np.mean(moved) < 0.01


@each_engine
def test_company_does_not_change_a_score(engine: EngineName, tiny_bundle: Path, samples: list[dict[str, Any]]) -> None:
    bundle = open_bundle(tiny_bundle)
    featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
    words = " ".join(row["text"] for row in samples).split()
    draw = np.random.default_rng(0)
    spans = [(int(draw.integers(len(words) - 1)), int(draw.integers(1, 400))) for _ in range(1000)]
    features = [featurise(Article(" ".join(words[first : first + count]))) for first, count in spans]
    assert len({one.ids.shape for one in features}) > 100

    shared = open_engine(engine, bundle.model_path, 1)
    among = [bundle.scoring.probabilities(shared.logits(one)) for one in features]
    for index in draw.choice(1000, 5, replace=False):
        alone = open_engine(engine, bundle.model_path, 1).logits(features[index])
        assert np.abs(bundle.scoring.probabilities(alone) - among[index]).max() <= 1e-5
    for index in draw.choice(1000, 100, replace=False):
        again = bundle.scoring.probabilities(shared.logits(features[index]))
        assert np.abs(again - among[index]).max() <= 1e-5


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_articles_of_many_sizes_leave_no_memory_behind() -> None:
    script = (
        "from pathlib import Path\nfrom wusum.inference import Tagger\n"
        "beginnings = ['وأوضح أن التحقيقات', 'الأمن العام', 'وجاء في بيان', 'الاتحاد الأوروبي يقر', 'وخارج المبنى،']\n"
        "texts = ({'text': f'{beginnings[number % 5]} {number}'} for number in range(6000))\n"
        "for _ in Tagger.load(threads=1, workers=2).stream(texts): pass\n"
        "print(int(Path('/proc/self/statm').read_text().split()[1]) * 4096)"
    )
    environment = os.environ | {"PYTHONPATH": str(LINKS)}
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    assert int(shown.stdout) < 200_000_000  # with a plan kept for each size it was 300 MB


@needs_openvino
def test_every_dynamic_product_is_restored(tiny_bundle: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from wusum.inference.openvino_engine import import_openvino, read_ranges, restore_products, round_scores

    path = tiny_bundle / "model.onnx"
    dynamic = [node for node in onnx.load(path).graph.node if node.op_type == "MatMulInteger"]
    model = import_openvino().Core().read_model(path)
    assert restore_products(model, {}) == len(dynamic) > 0
    assert restore_products(model, {}) == 0
    kinds = {node.get_type_name() for node in model.get_ops()}
    assert not kinds & {"Round", "ReduceMax", "FakeQuantize"}

    model = import_openvino().Core().read_model(path)
    ranges = read_ranges(model, path)
    weights = {node.input[1] for node in dynamic}
    assert weights < ranges.keys()
    restore_products(model, ranges)
    assert [node.get_type_name() for node in model.get_ops()].count("FakeQuantize") == len(dynamic)
    layers = round_scores(model, ranges)
    assert 2 * layers == len(ranges.keys() - weights) > 0
    assert [node.get_type_name() for node in model.get_ops()].count("FakeQuantize") == len(dynamic) + 2 * layers


@needs_openvino
def test_queries_and_keys_without_ranges_are_not_rounded(tiny_bundle: Path) -> None:
    """Bundles of before the version that notes them."""
    from wusum.inference.openvino_engine import import_openvino, read_ranges, restore_products, round_scores

    path = tiny_bundle / "model.onnx"
    model = import_openvino().Core().read_model(path)
    ranges = {name: bounds for name, bounds in read_ranges(model, path).items() if name.endswith("_quantized")}
    restore_products(model, ranges)
    assert round_scores(model, ranges) == 0


@needs_openvino
@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("[1, 2]", "activation_ranges: no ranges"),
        ('{"a": [0]}', "activation_ranges: no ranges"),
        ('{"a": [0, "x"]}', "activation_ranges: no ranges"),
        ('{"a": [1, 2]}', "activation_ranges:a: 1.0 to 2.0, expected numbers below and above 0"),
        ('{"a": [0, 0]}', "activation_ranges:a: 0.0 to 0.0"),
        ('{"a": [NaN, 1]}', "activation_ranges:a: nan to 1.0"),
        ('{"a": [-1, 1]}', "activation_ranges: tell of other products, but not of "),
    ],
)
def test_ranges_with_a_fault_are_refused(tiny_bundle: Path, tmp_path: Path, told: str, message: str) -> None:
    onnx = pytest.importorskip("onnx")
    from wusum.inference.openvino_engine import RANGES

    model = onnx.load(tiny_bundle / "model.onnx")
    onnx.helper.set_model_props(model, {RANGES: told})
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(WusumError, match=message) as caught:
        open_engine("openvino", tmp_path / "model.onnx", 1)
    assert "\n" not in str(caught.value)


@needs_openvino
def test_a_model_without_ranges_takes_them_anew(tiny_bundle: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    bundle = open_bundle(tiny_bundle)
    model = onnx.load(bundle.model_path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "model.onnx")
    featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
    features = featurise(Article("أعلنت الحكومة اليوم خطة جديدة."))
    anew, fixed = (
        open_engine("openvino", path, 1).logits(features) for path in (tmp_path / "model.onnx", bundle.model_path)
    )
    assert 0 < np.abs(anew - fixed).max() < 0.1


@needs_openvino
def test_restored_products_are_those_of_the_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    """Against ONNX Runtime on the same 8-bit weights without any rounding of activations."""
    onnx = pytest.importorskip("onnx")
    bundle = open_bundle(tiny_bundle)
    exact = tmp_path / "exact.onnx"
    onnx.save(without_rounding(onnx.load(bundle.model_path)), exact)
    featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
    features = featurise(Article("قالت وزارة الخارجية إن الوزير سيزور جنيف غدا لبحث وقف إطلاق النار. " * 20))
    wanted = OnnxEngine(exact, 1).logits(features)
    found = open_engine("openvino", bundle.model_path, 1).logits(features)
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def without_rounding(model: Any) -> Any:
    """Return an ONNX model in which dynamically quantised products are products of floats again."""
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DynamicQuantizeLinear"}
    readers = {name: node for node in graph.node for name in node.input}
    producers = {name: node for node in graph.node for name in node.output}
    made = []
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            cast_node = readers[node.output[0]]
            scaled = readers[cast_node.output[0]]
            scale_node = producers[next(name for name in scaled.input if name != cast_node.output[0])]
            scale = next(weights[name] for name in scale_node.input if name in weights)
            floats = (weights[node.input[1]].astype(np.float32) * scale).astype(np.float32)
            name = f"{node.input[1]}_float"
            graph.initializer.append(numpy_helper.from_array(floats, name))
            made.append(
                (node, cast_node, scaled, helper.make_node("MatMul", [source[node.input[0]], name], scaled.output))
            )
    for node, cast_node, scaled, product in made:
        place = list(graph.node).index(scaled)
        graph.node.insert(place, product)
        for old in (node, cast_node, scaled):
            graph.node.remove(old)
    onnx.checker.check_model(model)
    return model
