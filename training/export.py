"""From the trained network to ONNX, one article a call: fp32, or 8-bit with dynamic or with measured ranges."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from torch import nn

from ..inference.features import Features
from ..labels.errors import WusumError
from .attention import ATTENTION
from .config import ExportConfig
from .model import ArticleTagger
from .outliers import OUTLIERS, split_outliers
from .progress import watched
from .ranges import note_ranges

HEAD = "head"
# What is added to the attention logits of padding: e^-60 is nothing beside 1, and still a normal number. With -1e4
# ONNX Runtime's softmax leaves denormal ones, and with 100 of 250 tokens masked an article takes a third longer.
MASKED = -60.0
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes which module a node comes from
QUANTISED = ("MatMul", "Gather")
CALIBRATION_ARTICLES = 128  # spread over the training part; more hardly move the ranges
IN_FULL = (f"'{HEAD}'", f".{OUTLIERS}")  # in the scopes of nodes that stay in fp32


class OneArticle(nn.Module):
    """The network with one article's windows in and one row of logits out."""

    def __init__(self, model: ArticleTagger) -> None:
        """Wrap a trained network; its weights are shared, not copied."""
        super().__init__()
        self.encoder = model.encoder
        self.head = model.head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Map ids and mask (windows, tokens) to logits (labels,)."""
        # The supported families take a ready additive mask as it is, which keeps mask-building code out of the graph.
        additive = (1.0 - attention_mask[:, None, None, :].float()) * MASKED
        hidden = self.encoder(input_ids=input_ids, attention_mask=additive).last_hidden_state
        logits: torch.Tensor = self.head(hidden.unsqueeze(0), attention_mask.unsqueeze(0))
        return logits.squeeze(0)


def export_model(model: ArticleTagger, config: ExportConfig, features: Sequence[Features], full: Path) -> Path:
    """Export a network in the precision of the recipe; return the file to be served, which lies beside ``full``.

    Args:
        model: the trained network; it is moved to the CPU.
        config: names the precision.
        features: training articles; those of dev must not steer what is judged on them.
        full: where the fp32 model goes, from which the others are made.

    Raises:
        WusumError: the encoder or head cannot be exported.
    """
    chosen = features[:: max(1, len(features) // CALIBRATION_ARTICLES)]
    export_fp32(model if config.precision == "fp32" else split_outliers(model, chosen), full)
    served = full.with_name("model-served.onnx")
    if config.precision == "fp32":
        shutil.copyfile(full, served)
        strip_provenance(served)
    elif config.precision == "int8_static":
        quantise_static(full, served, chosen)
    else:
        quantise_dynamic(full, served)
        note_ranges(served, chosen)
    return served


def export_fp32(model: ArticleTagger, path: Path) -> None:
    """Write the network as an fp32 ONNX file with inputs ``input_ids``, ``attention_mask`` and output ``logits``.

    Raises:
        WusumError: torch cannot trace the encoder.
    """
    model = model.cpu().float().eval()
    model.encoder.set_attn_implementation(ATTENTION)
    ids = torch.ones(2, 16, dtype=torch.long)
    dynamic = {0: torch.export.Dim("windows", max=64), 1: torch.export.Dim("tokens", max=8192)}
    with _quiet(), torch.no_grad():
        try:
            torch.onnx.export(
                OneArticle(model).eval(),
                (ids, torch.ones_like(ids)),
                str(path),
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_shapes=(dynamic, dynamic),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as fault:
            name = type(model.encoder).__name__
            reason = str(fault.__cause__ or fault).strip().splitlines()[0]
            message = f"{name} cannot be exported to ONNX ({reason}); train with a BERT-like encoder"
            raise WusumError(message) from fault


def quantise_dynamic(source: Path, target: Path) -> None:
    """Write an int8 copy: weights of matrix products and embeddings in 8 bits, activations scaled per article.

    Head and outliers stay in fp32: they are one product in a thousand, and the head's rounding would go straight into
    the scores.
    """
    with _quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_nodes_in_full(source),
        )
    strip_provenance(target)


def quantise_static(source: Path, target: Path, features: Sequence[Features]) -> None:
    """Write an int8 copy whose activations have fixed ranges, measured on articles: nothing is measured while serving.

    The ranges are the means of the articles' own (a moving average, which one freak activation does not stretch).
    Products of two activations, inside attention, stay in fp32, and so do head and outliers.
    """
    with _quiet():
        quantize_static(
            source,
            target,
            FeatureReader(features),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_nodes_in_full(source),
            extra_options={
                "MatMulConstBOnly": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
                "CalibMovingAverage": True,
            },
        )
    strip_provenance(target)


class FeatureReader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Hands articles to the quantiser, one after the other."""

    def __init__(self, features: Sequence[Features]) -> None:
        """Take the articles' features."""
        self._rows: Iterator[Features] = watched(features, len(features), "measuring ranges")

    def get_next(self) -> dict[str, npt.NDArray[np.int64]] | None:
        """Return the next article's inputs, or None after the last."""
        one = next(self._rows, None)
        return None if one is None else {"input_ids": one.ids, "attention_mask": one.mask}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the advice that torch and onnxruntime log while they export: none of it is for users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _nodes_in_full(source: Path) -> list[str]:
    graph: Any = onnx.load(source).graph
    return [node.name for node in graph.node if _is_in_full(node)]


def _is_in_full(node: onnx.NodeProto) -> bool:
    scopes = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
    return any(name in scope for scope in scopes for name in IN_FULL)


def strip_provenance(path: Path) -> None:
    """Take out what the exporter notes about its source lines: it names folders of the machine that trained."""
    model = onnx.load(path)
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del item.metadata_props[:]
        item.doc_string = ""
    onnx.save(model, path)
