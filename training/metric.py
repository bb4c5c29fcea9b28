"""The multi-label metric as an ``evaluate`` module, loaded from the installed package and never from a hub.

Example:
    >>> import evaluate  # doctest: +SKIP
    >>> from wusum.training import metric
    >>> module = evaluate.load(metric.path())  # doctest: +SKIP
    >>> module.compute(predictions=[[0.9, 0.2]], references=[[1, 0]])["micro_f1"]  # doctest: +SKIP
    1.0

As ``compute_metrics`` of any Trainer whose model gives logits::

    def compute_metrics(outcome):
        return module.compute(predictions=outcome.predictions, references=outcome.label_ids, thresholds=0.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

# Absolute, because evaluate runs a copy of this file that stands outside the package.
from wusum.training.metrics import average_precision, averages, count_hits, ratios

_DESCRIPTION = """Precision, recall and F1 of multi-label decisions: micro, macro (over the labels with a positive
reference) and per label; the mean average precision of the scores; and the share of rows without any wrong cell."""

_INPUTS = """
Args:
    predictions: scores, probabilities or 0/1 decisions, shape (rows, labels).
    references: 1 given, 0 not given, -1 or NaN not judged; same shape. What was not judged counts nowhere.
    thresholds: one number, or one per label (default 0.5); a label is given where its score is at least that.
    labels: names of the labels (default: their numbers).

Returns:
    micro_f1, micro_precision, micro_recall, macro_f1, macro_precision, macro_recall, exact_match,
    mean_average_precision, and for each label f1_NAME.
"""


def path() -> str:
    """Return what ``evaluate.load`` takes: the file of this module.

    Example:
        >>> path().endswith("metric.py")
        True
    """
    return __file__


class WusumMultilabel(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """See :data:`_INPUTS`; ``evaluate`` hands over what :meth:`_info` declares."""

    def _info(self) -> evaluate.MetricInfo:
        rows = datasets.Sequence(datasets.Value("float32"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": rows, "references": rows}),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[float]],
        references: Sequence[Sequence[float]],
        thresholds: float | Sequence[float] = 0.5,
        labels: Sequence[str] | None = None,
    ) -> Mapping[str, float]:
        scores = np.asarray(predictions, dtype=np.float32)
        targets = np.asarray(references, dtype=np.float32)
        if scores.ndim != 2 or scores.shape != targets.shape:
            raise ValueError(f"predictions {scores.shape} and references {targets.shape}: expected one (rows, labels)")
        names = [str(k) for k in range(scores.shape[1])] if labels is None else list(labels)
        if len(names) != scores.shape[1]:
            raise ValueError(f"labels: {len(names)} names for {scores.shape[1]} columns")
        judged = targets >= 0  # NaN is not
        strange = np.unique(targets[judged & (targets != 0) & (targets != 1)])
        if strange.size:
            raise ValueError(f"references: {strange[0]}, expected 1, 0, or -1 or NaN for what was not judged")
        decisions = scores >= np.broadcast_to(np.asarray(thresholds, dtype=np.float32), scores.shape)
        return _figures(decisions, scores, targets == 1, judged, names)


def _figures(
    decisions: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.float32],
    truth: npt.NDArray[np.bool_],
    judged: npt.NDArray[np.bool_],
    names: Sequence[str],
) -> dict[str, float]:
    hits = count_hits(decisions, truth, judged)
    totals = type(hits)(*(table.sum(axis=0) for table in hits))
    found = averages(totals, range(len(names)))
    carried = totals.tp + totals.fn > 0
    precision = average_precision(scores, truth, judged)
    figures: dict[str, Any] = {
        f"{kind}_{figure}": getattr(getattr(found, kind), figure)
        for kind in ("micro", "macro")
        for figure in ("f1", "precision", "recall")
    }
    figures["exact_match"] = float(((hits.fp + hits.fn).sum(axis=1) == 0).mean())
    figures["mean_average_precision"] = float(precision[carried].mean()) if carried.any() else 0.0
    return figures | {f"f1_{name}": float(value) for name, value in zip(names, ratios(totals)[2], strict=True)}
