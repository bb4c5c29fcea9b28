"""Tests for each engine; that of a package that is missing is skipped."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from wusum.inference.engine import ENGINES

PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
# Found, not imported: imported by itself, OpenVINO tells its makers so.
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
each_engine = pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[needs_openvino] * (name == "openvino")) for name in ENGINES]
)
