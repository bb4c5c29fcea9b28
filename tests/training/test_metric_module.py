"""The evaluate module: loads from the installed package without a hub, and agrees with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

evaluate = pytest.importorskip("evaluate")
sklearn_metrics = pytest.importorskip("sklearn.metrics")

from wusum.training import metric  # noqa: E402  # needs evaluate


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        # Neither a hub nor a cache of an earlier run may help.
        patch.setattr("socket.socket.connect", lambda *_: pytest.fail("the metric asked the network"))
        return evaluate.load(metric.path(), cache_dir=str(tmp_path_factory.mktemp("metric")))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    shape = (draw(st.integers(1, 8)), draw(st.integers(2, 5)))
    scores = draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])))
    return scores, draw(arrays(bool, shape)), draw(st.sampled_from([0.25, 0.5, 0.8]))


@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_it_agrees_with_scikit_learn(module: Any, case: tuple[np.ndarray, np.ndarray, float]) -> None:
    scores, truth, threshold = case
    found = module.compute(predictions=scores, references=truth.astype(np.float32), thresholds=threshold)
    decisions = scores >= threshold
    measure = sklearn_metrics.precision_recall_fscore_support
    micro = measure(truth, decisions, average="micro", zero_division=0)[:3]
    assert [found[f"micro_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(micro)
    each = measure(truth, decisions, average=None, zero_division=0)[2]
    assert [found[f"f1_{k}"] for k in range(truth.shape[1])] == pytest.approx(each)
    carried = np.flatnonzero(truth.any(axis=0))
    if carried.size:
        macro = measure(truth, decisions, labels=carried, average="macro", zero_division=0)[:3]
        assert [found[f"macro_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(macro)
        expected = [sklearn_metrics.average_precision_score(truth[:, k], scores[:, k]) for k in carried]
        assert found["mean_average_precision"] == pytest.approx(np.mean(expected))
    assert found["exact_match"] == pytest.approx(sklearn_metrics.accuracy_score(truth, decisions))


def test_what_was_not_judged_counts_nowhere(module: Any) -> None:
    found = module.compute(
        predictions=[[0.9, 0.9], [0.1, 0.9], [0.9, 0.1]], references=[[1, -1], [1, np.nan], [0, 0]], labels=["a", "b"]
    )
    assert found["micro_f1"] == pytest.approx(0.5)
    assert (found["f1_a"], found["f1_b"], found["exact_match"]) == (pytest.approx(0.5), 0.0, pytest.approx(1 / 3))


def test_thresholds_may_differ_by_label(module: Any) -> None:
    found = module.compute(predictions=[[2.0, 2.0]], references=[[1, 0]], thresholds=[0.0, 3.0])
    assert found["exact_match"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"predictions": [[0.5, 0.5]], "references": [[1]]}, "one .rows, labels."),
        ({"predictions": [[0.5]], "references": [[2]]}, "expected 1, 0"),
        ({"predictions": [[0.5]], "references": [[1]], "labels": ["a", "b"]}, "2 names for 1"),
    ],
)
def test_what_it_cannot_measure_is_refused(module: Any, arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        module.compute(**arguments)


def test_it_serves_any_trainer(module: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import Trainer, TrainingArguments

    class Network(torch.nn.Module):
        def forward(self, inputs: Any, labels: Any) -> dict[str, Any]:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs, labels)
            return {"loss": loss, "logits": inputs}

    rows = [{"inputs": torch.tensor([3.0, -1.0]), "labels": torch.tensor([1.0, label])} for label in (0.0, 1.0)]
    trainer = Trainer(
        Network(),
        TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"),
        eval_dataset=rows,
        compute_metrics=lambda outcome: module.compute(
            predictions=outcome.predictions, references=outcome.label_ids, thresholds=0.0
        ),
    )
    assert trainer.evaluate()["eval_micro_f1"] == pytest.approx(0.8)
