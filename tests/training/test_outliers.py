"""Hidden units that are too large for 8 bits: the split network is the same, and its 8-bit copy much nearer to it."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from wusum.training.encoder_network import FAMILIES, encoder_layers  # noqa: E402
from wusum.training.export import export_fp32, quantise_dynamic  # noqa: E402
from wusum.training.model import ArticleTagger  # noqa: E402
from wusum.training.outliers import UNITS, largest_inputs, split_outliers  # noqa: E402

from .test_export import make_features, make_model, onnx_rows, torch_rows  # noqa: E402

LARGE, FACTOR = 5, 60.0


def with_a_large_unit(family: str) -> ArticleTagger:
    """A network whose feed-forward layer counts; one of its units is many times as large and weighs as much less."""
    model = make_model(family, "mean", "mean")
    for layer in encoder_layers(model.encoder):
        with torch.no_grad():
            layer.intermediate.dense.weight *= 10
            layer.output.dense.weight *= 20
            layer.intermediate.dense.weight[LARGE] *= FACTOR
            layer.output.dense.weight[:, LARGE] /= FACTOR
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_split_network_computes_the_same(family: str) -> None:
    model, features = make_model(family, "attention", "attention"), make_features(12)
    split = split_outliers(model, features)
    assert np.abs(torch_rows(split, features) - torch_rows(model, features)).max() < 1e-4
    assert (split is model) == (family == "distilbert")


def test_the_large_units_are_taken_out_of_a_copy() -> None:
    model, features = with_a_large_unit("bert"), make_features(12)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    split = split_outliers(model, features)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    (layer,) = encoder_layers(split.encoder)
    assert (layer.intermediate.dense.weight[LARGE] == 0).all()
    assert (layer.output.dense.weight[:, LARGE] == 0).all()
    assert int((layer.intermediate.dense.weight == 0).all(dim=1).sum()) == UNITS


def test_the_largest_inputs_are_those_of_all_articles() -> None:
    model, features = with_a_large_unit("bert"), make_features(12)
    dense = [layer.output.dense for layer in encoder_layers(model.encoder)]
    together = largest_inputs(model, dense, features)[dense[0]]
    alone = [largest_inputs(model, dense, [one])[dense[0]] for one in features]
    torch.testing.assert_close(together, torch.stack(alone).amax(0))
    assert int(together.argmax()) == LARGE


def test_the_8_bit_copy_of_a_split_network_is_much_nearer(tmp_path: Path) -> None:
    model, features = with_a_large_unit("bert"), make_features(30)
    reference = torch_rows(model, features)
    differences = {}
    for name, network in (("whole", model), ("split", split_outliers(model, features))):
        export_fp32(network, tmp_path / f"{name}.onnx")
        quantise_dynamic(tmp_path / f"{name}.onnx", tmp_path / f"{name}-8.onnx")
        differences[name] = np.abs(onnx_rows(tmp_path / f"{name}-8.onnx", features) - reference).mean()
    assert differences["split"] < 0.6 * differences["whole"]
