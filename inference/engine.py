"""ONNX Runtime behind one small class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from ..labels.errors import WusumError
from .features import Features


def available_cores() -> int:
    """Return the cores this process may use: its CPU affinity, capped by a cgroup v2 quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


class OnnxEngine:
    """Runs the model of a bundle, one article a call: results do not depend on the company an article comes in.

    Example:
        >>> OnnxEngine(bundle.model_path).logits(features).shape  # doctest: +SKIP
        (34,)
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Open the model with ``threads`` threads (all available cores when None)."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Sizes differ from article to article; an arena that grows to the largest one would never shrink.
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # onnxruntime's exceptions share no base class but Exception
            message = f"{path}: ONNX Runtime cannot open it ({fault}); copy or train the bundle again"
            raise WusumError(message) from fault

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return the logits of every label, shape (labels,), in the taxonomy's order."""
        feeds = {"input_ids": features.ids, "attention_mask": features.mask}
        result: npt.NDArray[np.float32] = self._session.run(["logits"], feeds)[0]
        return result
