"""Ranges of activations in the metadata of an 8-bit model."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from wusum.training.config import ExportConfig  # noqa: E402
from wusum.training.export import export_model  # noqa: E402
from wusum.training.ranges import RANGES, measure_ranges  # noqa: E402

from .test_export import make_features, make_model, onnx_rows  # noqa: E402


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranges")
    return export_model(make_model("bert", "mean", "mean"), ExportConfig(), make_features(20), folder / "full.onnx")


def test_every_product_has_a_range_and_the_file_still_runs(served: Path) -> None:
    model = onnx.load(served)
    (told,) = [json.loads(entry.value) for entry in model.metadata_props if entry.key == RANGES]
    weights = {node.input[1] for node in model.graph.node if node.op_type == "MatMulInteger"}
    assert weights < told.keys()
    constants = {one.name for one in model.graph.initializer}
    computed = [node for node in model.graph.node if node.op_type == "MatMul" and not constants & {*node.input}]
    scores, _ = computed  # of the one layer's attention, and the sums by its weights
    assert told.keys() - weights == {*scores.input}
    assert all(least <= 0 <= largest and least < largest for least, largest in told.values())
    assert np.isfinite(onnx_rows(served, make_features(3))).all()


def test_ranges_are_means_over_the_articles(served: Path) -> None:
    model, features = onnx.load(served), make_features(5)
    together = measure_ranges(model, features)
    alone = [measure_ranges(model, [one]) for one in features]
    for name, found in together.items():
        np.testing.assert_allclose(found, np.mean([one[name] for one in alone], axis=0), rtol=1e-6)
