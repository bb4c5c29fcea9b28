"""OpenVINO as an engine: ``pip install 'wusum[openvino]'``."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels.errors import WusumError
from .engine import PerProcess, available_cores
from .features import Features

_SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    # bf16, its own choice where the processor multiplies it, would give other scores on other machines.
    "INFERENCE_PRECISION_HINT": "f32",
    # Pinned threads of several workers would meet on the same cores.
    "ENABLE_CPU_PINNING": False,
    # Activations are rounded in groups of so many values. Groups of 32, its own choice, took 1.2 times as long.
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": 128,
}
# Widths are rounded up to multiples of this. A width seen for the first time cost 4 ms, or 150 ms with static ranges.
_STEP = 8
RANGES = "activation_ranges"
"""In the metadata of the ONNX file: name of the weights, or of queries or keys -> least and largest activation."""
_STEPS = 256  # of 8 bits
_OVERSIGHT = "copy or train the bundle again, or choose the engine onnx"


class OpenVinoEngine:
    """Runs the model of a bundle in OpenVINO, one article a call: company does not change a result.

    It reads the same ONNX file as ONNX Runtime. Models with static 8-bit ranges and fp32 models run as they are. In
    models with dynamic ranges the products are written anew first: see :func:`restore_products`. Where the file tells
    the ranges of its activations, they are rounded by these: two thirds of the time of ranges taken anew.

    Example:
        >>> OpenVinoEngine(bundle.model_path).logits(features).shape  # doctest: +SKIP
        (34,)
    """

    def __init__(self, path: Path, threads: int | None = None, workers: int = 1) -> None:
        """Open the model for so many articles at once with ``threads`` threads each (all available cores when None).

        Raises:
            WusumError: OpenVINO is not installed or cannot open the model.
        """
        self.threads = threads or available_cores()
        self._workers = workers
        self._model = PerProcess(path, self._open)

    def _open(self, path: Path) -> _Requests:
        core = import_openvino().Core()
        try:
            model = core.read_model(path)
            ranges = read_ranges(model, path)
            restore_products(model, ranges)
            round_scores(model, ranges)
            sizes = {"NUM_STREAMS": self._workers, "INFERENCE_NUM_THREADS": self.threads * self._workers}
            return _Requests(core.compile_model(model, "CPU", _SETTINGS | sizes))
        except RuntimeError as fault:
            reason = str(fault).strip().splitlines()[-1]
            message = f"{path}: OpenVINO cannot open it ({reason}); choose the engine onnx, or copy the bundle again"
            raise WusumError(message) from fault

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return the logits of every label, shape (labels,), in the taxonomy's order.

        Raises:
            WusumError: in a forked process, the model's file was removed or changed since its parent opened it.
        """
        windows = ((0, 0), (0, -features.ids.shape[1] % _STEP))  # what the mask hides may be any token
        padded = {"input_ids": np.pad(features.ids, windows), "attention_mask": np.pad(features.mask, windows)}
        with self._model.in_use() as requests:
            return requests.run(padded)


def import_openvino() -> Any:
    """Import OpenVINO, but not ``openvino_telemetry``, which tells Intel and Google of every import.

    OpenVINO has a stub for where that package is missing; for as long as it is imported it is made to seem missing.
    """
    telemetry = "openvino_telemetry"
    before = {telemetry: sys.modules[telemetry]} if telemetry in sys.modules else {}
    sys.modules[telemetry] = None  # type: ignore[assignment]  # import then raises ImportError
    try:
        import openvino
    except ImportError as fault:
        told = f"OpenVINO is not installed ({fault})"
        raise WusumError(f"{told}; pip install 'wusum[openvino]', or choose the engine onnx") from fault
    finally:
        del sys.modules[telemetry]
        sys.modules.update(before)
    return openvino


class _Requests:
    """A compiled model with as many requests as threads ever computed at once: one request serves one thread."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: deque[Any] = deque()

    def run(self, feeds: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        result: npt.NDArray[np.float32] = request.infer(feeds)["logits"]
        self._idle.append(request)
        return result


def read_ranges(model: Any, path: Path) -> Mapping[str, tuple[float, float]]:
    """Return the ranges of activations that a model's metadata tell; none where they tell nothing.

    Raises:
        WusumError: they are no ranges around 0.

    Example:
        >>> read_ranges(core.read_model(path), path)["val_33_quantized"]  # doctest: +SKIP
        (-1.6, 4.1)
    """
    place = ["framework", RANGES]  # where OpenVINO's reader puts the metadata
    if not model.has_rt_info(place):
        return {}
    try:
        told = json.loads(model.get_rt_info(place).astype(str))
        ranges = {str(name): (float(least), float(largest)) for name, (least, largest) in told.items()}
    except (ValueError, TypeError, AttributeError) as fault:
        raise WusumError(f"{path}:{RANGES}: no ranges ({fault}); {_OVERSIGHT}") from fault
    for name, (least, largest) in ranges.items():
        if not -1e9 < least <= 0 <= largest < 1e9 or least == largest:
            found = f"{least} to {largest}, expected numbers below and above 0"
            raise WusumError(f"{path}:{RANGES}:{name}: {found}; {_OVERSIGHT}")
    return ranges


def restore_products(model: Any, ranges: Mapping[str, tuple[float, float]]) -> int:
    """Turn products of dynamically quantised activations back into products of floats with 8-bit weights, in place.

    ONNX Runtime's ``DynamicQuantizeLinear`` and ``MatMulInteger`` take one range over a whole article. OpenVINO has no
    kernel for them: it computes the ranges, the rounding and then the product in floats, step by step. A float times a
    scaled 8-bit weight it knows: it quantises the activations itself, in groups within each token, which is faster
    and rounds less, or by a range that it is given, which is faster still. The weights stay as they are in the file; a
    product of any other form is left alone.

    Args:
        model: an ``openvino.Model`` as read from the ONNX file.
        ranges: of the activations, by the names of the weights; of none or of all products.

    Returns:
        How many products were written anew.
    """
    import openvino
    from openvino import opset13 as opset

    count = 0
    for product in model.get_ordered_ops():
        found = _dynamic_product(product)
        if found is None:
            continue
        activations, weights, scales, result = found
        if ranges:
            activations = _rounded(activations, ranges, weights.get_friendly_name())
        # Rows of the constants are outputs: the form that OpenVINO recognises as compressed weights.
        columns = opset.constant(np.ascontiguousarray(weights.data.T))
        factors = opset.constant(np.broadcast_to(scales, weights.data.shape[1:]).reshape(-1, 1).astype(np.float32))
        floats = opset.multiply(opset.convert(columns, openvino.Type.f32), factors)
        restored = opset.matmul(activations, floats, False, True)
        for target in result.output(0).get_target_inputs():
            target.replace_source_output(restored.output(0))
        count += 1
    if count:
        model.validate_nodes_and_infer_types()
    return count


def _rounded(activations: Any, ranges: Mapping[str, tuple[float, float]], name: str) -> Any:
    """Return activations rounded to 8 bits within the range that belongs to the weights of this name."""
    from openvino import opset13 as opset

    if name not in ranges:
        raise WusumError(f"{RANGES}: tell of other products, but not of {name}; {_OVERSIGHT}")
    least, largest = (opset.constant(np.float32(bound)) for bound in ranges[name])
    return opset.fake_quantize(activations, least, largest, least, largest, _STEPS)


def round_scores(model: Any, ranges: Mapping[str, tuple[float, float]]) -> int:
    """Round the queries and keys of attention to 8 bits, in place, where their ranges are told.

    The weights of attention stay floats: rounded to 8 bits, most of a long window's would be nothing. Steps lie evenly
    around 0, one fewer than there could be; with the last one the product takes longer than in floats.

    Args:
        model: an ``openvino.Model`` as read from the ONNX file.
        ranges: by the names of the ONNX file; those of other values do not count here.

    Returns:
        How many products of two activations are rounded now.
    """
    from openvino import opset13 as opset

    count = 0
    for product in model.get_ordered_ops():
        if product.get_type_name() != "MatMul":
            continue
        told = [[ranges[name] for name in side.get_names() if name in ranges] for side in product.input_values()]
        if not all(told):
            continue
        for place, ((least, largest), *_) in enumerate(told):
            bound = opset.constant(np.float32(max(-least, largest)))
            below = opset.constant(np.float32(-max(-least, largest)))
            rounded = opset.fake_quantize(product.input_value(place), below, bound, below, bound, _STEPS - 1)
            product.input(place).replace_source_output(rounded.output(0))
        count += 1
    return count


def _dynamic_product(product: Any) -> tuple[Any, Any, npt.NDArray[np.float32], Any] | None:
    """Return activations, weights, their scales, and the node with the scaled result; None for any other node.

    The forms are those that OpenVINO's reader makes of ``DynamicQuantizeLinear``, whose last steps are x times 255,
    divided by the range, rounded, shifted, clamped and made whole, and of ``MatMulInteger``.
    """
    if product.get_type_name() != "MatMul" or product.get_output_element_type(0).is_real():
        return None
    stretched = _up(product, 0, "Subtract", "Convert", "Convert", "Clamp", "Add", "Round", "Divide", "Multiply")
    shifted = _up(product, 1, "Subtract")
    result = _only_user(_only_user(product, "Convert"), "Multiply")
    if stretched is None or shifted is None or result is None:
        return None
    weights, zero_points = _up(shifted, 0, "Convert", "Constant"), _up(shifted, 1, "Convert", "Constant")
    scale = _up(result, 1, "Multiply")
    scales = [] if scale is None else [one for one in (_up(scale, 0, "Constant"), _up(scale, 1, "Constant")) if one]
    if weights is None or weights.data.ndim != 2 or zero_points is None or zero_points.data.any() or len(scales) != 1:
        return None
    return stretched.input_value(0), weights, scales[0].data, result


def _up(node: Any, number: int, *kinds: str) -> Any | None:
    """Follow one input and then first inputs upwards; None where a node is not of the kind given."""
    for kind in kinds:
        node = node.input_value(number).get_node()
        if node.get_type_name() != kind:
            return None
        number = 0
    return node


def _only_user(node: Any | None, kind: str) -> Any | None:
    """Return the one node that reads this one, if it is of the kind."""
    if node is None:
        return None
    users = [target.get_node() for target in node.output(0).get_target_inputs()]
    return users[0] if len(users) == 1 and users[0].get_type_name() == kind else None
