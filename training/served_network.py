"""The trained weights, read back from a served 8-bit model: for bundles that keep no others, as the embedded one does.

What 8 bits rounded stays rounded: the network read back is the served one, not the one that was exported. Weights of
matrix products have nameless keys in the graph; the named bias that is added to a product tells whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from ..labels.errors import WusumError
from .outliers import OUTLIERS

_BIAS, _WEIGHT, _QUANTISED = ".bias", ".weight", "_quantized"
_QUERY, _ROWS = "head.query", "head.weight"
_WORDS = "encoder.embeddings.word_embeddings.weight"
_ON_THE_WAY = ("Mul", "Cast")  # from an 8-bit product to the sum with its bias
_PRODUCTS = ("MatMul", "MatMulInteger")
_BESIDE = re.compile(rf"(.+)\.output\.{OUTLIERS}\.0\.bias")

Matrix = NDArray[np.float32]


def read_served(model: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read the weights of a served model: 8-bit with dynamic ranges or fp32, BERT-like, attention as its pooling.

    Args:
        model: a bundle's ``model.onnx``.

    Returns:
        The encoder's shape under the names of its ``config.json`` (its family is not told), and the weights, float32,
        under the names of :class:`~wusum.training.model.ArticleTagger`.

    Raises:
        WusumError: the graph is another one than wusum exports for such a recipe.

    Example:
        >>> from wusum.inference.bundle import embedded_bundle
        >>> read_served(embedded_bundle() / "model.onnx")[0]["num_hidden_layers"]
        6
    """
    graph = _Graph(model)
    weights = graph.named()
    up = {match[1]: weights.pop(name) for name in list(weights) if (match := _BESIDE.fullmatch(name))}
    products = graph.products()
    for bias, matrix in products.items():
        if OUTLIERS not in bias:
            weights[bias.removesuffix(_BIAS) + _WEIGHT] = matrix.T
    queries = [matrix for matrix in graph.without_bias() if matrix.T.shape == weights.get(_ROWS, matrix).shape]
    whole = all(name.removesuffix(_BIAS) + _WEIGHT in weights for name in weights if name.endswith(_BIAS))
    if not (products and whole) or _WORDS not in weights or len(queries) != 1:
        told = "not the graph that wusum exports for a BERT-like encoder with pooling: attention"
        raise WusumError(f"{model}: {told}; start from a bundle that keeps its trained weights (export.network: true)")
    weights[_QUERY] = queries[0].T
    for layer, bias_beside in up.items():
        name = f"{layer}.output.{OUTLIERS}.0{_BIAS}"
        _put_back(weights, layer, products[name], bias_beside, graph.after(name))
    return _shape(weights), {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}


def _shape(weights: dict[str, Matrix]) -> dict[str, Any]:
    words, positions = weights[_WORDS], weights[_WORDS.replace("word", "position")]
    return {
        "vocab_size": words.shape[0],
        "hidden_size": words.shape[1],
        "num_hidden_layers": sum(name.endswith(".attention.self.query.weight") for name in weights),
        "max_position_embeddings": positions.shape[0],
    }


def _put_back(weights: dict[str, Matrix], layer: str, up: Matrix, bias: Matrix, down: Matrix) -> None:
    """Undo :func:`~wusum.training.outliers.split_outliers`: the silenced hidden units get their weights again."""
    first, second = f"{layer}.intermediate.dense", f"{layer}.output.dense{_WEIGHT}"
    silent = (weights[first + _BIAS] == 0) & ~weights[first + _WEIGHT].any(1) & ~weights[second].any(0)
    units = np.flatnonzero(silent)
    if len(units) != len(bias):
        raise WusumError(f"{layer}: {len(units)} silent hidden units, expected {len(bias)}; the model is damaged")
    weights[first + _WEIGHT][units] = up.T
    weights[first + _BIAS][units] = bias
    weights[second][:, units] = down.T


class _Graph:
    """What the nodes of a served model tell of its weights."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(path).graph
        self._constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self._makers: dict[str, NodeProto] = {name: node for node in graph.node for name in node.output}
        self._nodes = list(graph.node)

    def named(self) -> dict[str, Matrix]:
        """Return the weights that stand under their own names: biases, norms, embeddings and the head's rows."""
        found = {}
        for key in self._constants:
            name = key.removesuffix(_QUANTISED)
            if name.startswith(("encoder.", "head.")) and name.endswith((_BIAS, _WEIGHT)):
                found[name] = self._constant(name)
        return found

    def products(self) -> dict[str, Matrix]:
        """Return, by the name of the bias that is added to it, each product's matrix (inputs, outputs)."""
        return {bias: self._matrix(node) for bias, node in self._with_bias()}

    def without_bias(self) -> list[Matrix]:
        """Return the matrices of the full products to which no bias is added."""
        added = {node.output[0] for _, node in self._with_bias()}
        full = [node for node in self._nodes if node.op_type == "MatMul" and self._is_weighted(node)]
        return [self._matrix(node) for node in full if node.output[0] not in added]

    def after(self, bias: str) -> Matrix:
        """Return the matrix of the product behind the activation of the units with this bias."""
        total = next(node.output[0] for node in self._nodes if node.op_type == "Add" and bias in node.input)
        behind = {name for node in self._nodes if total in node.input for name in node.output}
        return next(self._matrix(node) for node in self._nodes if node.op_type == "MatMul" and node.input[0] in behind)

    def _with_bias(self) -> Iterator[tuple[str, NodeProto]]:
        for node in self._nodes:
            if node.op_type != "Add":
                continue
            for value, bias in (tuple(node.input), tuple(node.input)[::-1]):
                product = self._product(value)
                if bias in self._constants and product is not None:
                    yield bias, product

    def _product(self, value: str) -> NodeProto | None:
        maker = self._makers.get(value)
        while maker is not None and maker.op_type in _ON_THE_WAY:
            maker = self._makers.get(maker.input[0])
        return maker if maker is not None and maker.op_type in _PRODUCTS and self._is_weighted(maker) else None

    def _is_weighted(self, product: NodeProto) -> bool:
        return product.input[1] in self._constants

    def _matrix(self, product: NodeProto) -> Matrix:
        return self._constant(product.input[1].removesuffix(_QUANTISED))

    def _constant(self, name: str) -> Matrix:
        if name in self._constants:
            return self._constants[name].astype(np.float32)
        scale, zero = (self._constants[f"{name}_{part}"] for part in ("scale", "zero_point"))
        steps = self._constants[name + _QUANTISED].astype(np.float32) - zero.astype(np.float32)
        weights: Matrix = (steps * scale).astype(np.float32)
        return weights
