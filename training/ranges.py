"""Notes in an 8-bit model how far its activations reach, for engines that round them by fixed ranges.

These are the activations that are multiplied by 8-bit weights, and the queries and keys of attention.

ONNX Runtime is fastest where it measures the range of each article's activations itself, OpenVINO where it need not.
So one file serves both: its products are written for the first, and its metadata tell the second the ranges.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from ..inference.features import Features
from ..inference.openvino_engine import RANGES
from .progress import watched

Ranges = dict[str, tuple[float, float]]


def note_ranges(path: Path, features: Sequence[Features]) -> None:
    """Write the ranges into the metadata of an ONNX file that :func:`~wusum.training.export.quantise_dynamic` made.

    Args:
        path: the file; it is written anew.
        features: training articles.

    Example:
        >>> note_ranges(Path("model.onnx"), train.features[:128])  # doctest: +SKIP
    """
    model = onnx.load(path)
    ranges = measure_ranges(model, features)
    onnx.helper.set_model_props(model, {RANGES: json.dumps(ranges)})
    onnx.save(model, path)


def measure_ranges(model: onnx.ModelProto, features: Sequence[Features]) -> Ranges:
    """Return the least and the largest activation by the name of its weights, or by its own for queries and keys.

    They are the means over the articles of each one's own, which one freak activation does not stretch, and hold 0.
    """
    nodes = model.graph.node
    measured = {node.output[0]: node.input[0] for node in nodes if node.op_type == "DynamicQuantizeLinear"}
    activations = {node.input[1]: measured[node.input[0]] for node in nodes if node.op_type == "MatMulInteger"}
    activations |= {name: name for name in _queries_and_keys(model)}
    names = sorted(set(activations.values()))
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    for name in names:
        watching.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(watching.SerializeToString(), providers=["CPUExecutionProvider"])
    reached: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for one in watched(features, len(features), "measuring ranges"):
        found = session.run(names, {"input_ids": one.ids, "attention_mask": one.mask})
        for name, values in zip(names, found, strict=True):
            reached[name].append((min(0.0, float(values.min())), max(0.0, float(values.max()))))
    means = {name: np.mean(rows, axis=0).tolist() for name, rows in reached.items()}
    return {weights: (means[name][0], means[name][1]) for weights, name in activations.items()}


def _queries_and_keys(model: onnx.ModelProto) -> list[str]:
    """Return both sides of the products that become attention: the mask is added, then comes the softmax."""
    made = {name: node for node in model.graph.node for name in node.output}
    found: list[str] = []
    for node in model.graph.node:
        masked = made.get(node.input[0]) if node.op_type == "Softmax" else None
        for name in masked.input if masked is not None and masked.op_type == "Add" else ():
            scores = made.get(name)
            if scores is not None and scores.op_type == "MatMul" and all(side in made for side in scores.input):
                found += scores.input
    return found
