"""ONNX files against the torch network: encoder families, heads, precisions."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from transformers import AutoConfig, AutoModel  # noqa: E402

from wusum.inference.engine import OnnxEngine  # noqa: E402
from wusum.inference.features import Features  # noqa: E402
from wusum.labels import WusumError  # noqa: E402
from wusum.training import export  # noqa: E402
from wusum.training.config import ExportConfig  # noqa: E402
from wusum.training.encoder_network import FAMILIES  # noqa: E402
from wusum.training.export import export_model  # noqa: E402
from wusum.training.heads import ArticleHead  # noqa: E402
from wusum.training.losses import LabelLoss  # noqa: E402
from wusum.training.model import ArticleTagger  # noqa: E402

LABELS, VOCABULARY, PAD = 7, 200, 1
DENSE_LAYERS = 6  # of the one layer
EIGHT_BITS = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


def make_model(family: str, tokens: str, windows: str) -> ArticleTagger:
    feed_forward = {"hidden_dim" if family == "distilbert" else "intermediate_size": 64}
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = AutoConfig.for_model(family, vocab_size=VOCABULARY, pad_token_id=PAD, **shape, **feed_forward)
    torch.manual_seed(0)
    encoder = AutoModel.from_config(settings)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    head = ArticleHead(tokens, windows, width=32, labels=LABELS, activation=FAMILIES[family].activation)
    for parameter in head.parameters():  # fresh weights are so small that a mistake would hardly show
        torch.nn.init.normal_(parameter, std=0.3)
    return ArticleTagger(encoder, head, LabelLoss(), token_dropout=0.0, mask_id=4).eval()


def make_features(count: int) -> list[Features]:
    """Articles of one to four windows, some padded."""
    draw = np.random.default_rng(0)
    features = []
    for number in range(count):
        windows, tokens = 1 + number % 4, int(draw.integers(3, 20))
        ids = draw.integers(5, VOCABULARY, (windows, tokens))
        mask = np.ones_like(ids)
        if number % 3:
            mask[-1, tokens // 2 + 1 :] = 0
            ids[-1, tokens // 2 + 1 :] = PAD
        features.append(Features(ids, mask, truncated=False))
    return features


def torch_rows(model: ArticleTagger, features: list[Features]) -> np.ndarray:
    model.encoder.set_attn_implementation("sdpa")
    with torch.no_grad():
        rows = [
            model(torch.tensor(one.ids), torch.tensor(one.mask), torch.arange(len(one.ids))[None])["logits"][0]
            for one in features
        ]
    return np.stack([row.numpy() for row in rows])


def onnx_rows(path: Path, features: list[Features]) -> np.ndarray:
    engine = OnnxEngine(path, threads=1)
    return np.stack([engine.logits(one) for one in features])


@dataclass(frozen=True)
class Exported:
    """What torch says, and the files of all precisions."""

    reference: np.ndarray
    files: dict[str, Path]


CASES = [
    ("xlm-roberta", "first", "logsumexp"),
    ("electra", "mean", "mean"),
    ("distilbert", "max", "attention"),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Two exports by torch, which take seconds: in full, and with outliers split off, which both 8-bit files share."""
    folder = tmp_path_factory.mktemp("onnx")
    model, features = make_model(*request.param), make_features(40)
    reference = torch_rows(model, features)
    files = {}
    with pytest.MonkeyPatch.context() as patch:
        for precision in ("fp32", "int8", "int8_static"):
            served = export_model(model, ExportConfig(precision=precision), features, folder / "full.onnx")
            files[precision] = served.rename(folder / f"{precision}.onnx")
            if precision == "int8":
                patch.setattr(export, "export_fp32", lambda *_: None)
    return Exported(reference, files)


def test_fp32_equals_torch(exported: Exported) -> None:
    assert np.abs(onnx_rows(exported.files["fp32"], make_features(40)) - exported.reference).max() < 1e-5


@pytest.mark.parametrize("precision", ["int8", "int8_static"])
def test_8_bits_stay_near_torch_and_take_half_the_room(exported: Exported, precision: str) -> None:
    difference = onnx_rows(exported.files[precision], make_features(40)) - exported.reference
    assert 0 < np.abs(difference).mean() < 0.05 * exported.reference.std()
    sizes = {name: path.stat().st_size for name, path in exported.files.items()}
    assert sizes[precision] < sizes["fp32"] / 2


def test_dense_layers_and_embeddings_are_quantised_and_the_head_is_not(exported: Exported) -> None:
    dynamic, static = (onnx.load(exported.files[name]).graph for name in ("int8", "int8_static"))
    assert Counter(node.op_type for node in dynamic.node)["MatMulInteger"] >= DENSE_LAYERS
    for graph in (dynamic, static):
        eight_bits = [item for item in graph.initializer if item.data_type in EIGHT_BITS and len(item.dims) == 2]
        shapes = Counter(tuple(item.dims) for item in eight_bits)
        assert shapes[32, 32] == 4  # query, key, value and output; the head's own dense layer is not among them
        assert shapes[32, 64] == shapes[64, 32] == 1
        assert any(dims[0] == VOCABULARY for dims in shapes)
        assert not any(LABELS in dims for dims in shapes)
    scales = [item for item in static.initializer if item.name.endswith("_scale")]
    assert {tuple(item.dims) for item in scales} >= {(32,), (64,)}  # one for each column of a matrix


def test_files_name_no_folder_of_this_machine(exported: Exported) -> None:
    for path in exported.files.values():
        content = path.read_bytes()
        assert b"site-packages" not in content
        assert str(Path(__file__).parents[2]).encode() not in content


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_a_ready_mask_as_a_plain_one(family: str) -> None:
    model = make_model(family, "attention", "attention")
    wrapped = export.OneArticle(model)
    for one in make_features(8):
        ids, mask = torch.tensor(one.ids), torch.tensor(one.mask)
        with torch.no_grad():
            assert torch.allclose(wrapped(ids, mask), torch.from_numpy(torch_rows(model, [one])[0]), atol=1e-5)


def test_an_encoder_that_cannot_be_exported_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.onnx.OnnxExporterError("long advice") from ValueError("no such operator\nand a long trace")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(WusumError, match=r"BertModel cannot be exported to ONNX \(no such operator\)") as caught:
        export_model(make_model("bert", "mean", "max"), ExportConfig(), [], tmp_path / "full.onnx")
    assert "\n" not in str(caught.value)
