"""What is known of a model, as one dict that JSON takes: figures on dev with intervals, errors, curve, opponents.

Every figure is out of fold: an article's probabilities and decisions come from a calibration and thresholds that were
fitted on other articles (:func:`~wusum.training.calibration.crossfit`), as a new article's will. The report holds texts
of articles. It stays in the run's folder and never enters a bundle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inference.scoring import Scoring, Task
from ..labels import Taxonomy
from ..labels.errors import WusumError
from .agreement import packaged_agreement
from .calibration import CrossFit, crossfit
from .confusion import confusions, costliest
from .data import LabelledArticle
from .evaluate import LabelledTexts, compare, evaluate
from .label_intervals import label_intervals
from .opponents import Opponent
from .reliability import label_reliability, reliability
from .report_html import render_html

REPORT_JSON, REPORT_HTML = "report.json", "report.html"

_DIGITS = 6
_HALF_STEP = 5e-5  # of a probability with four decimals
_ERRORS = 20
_CONFUSIONS = 20
_TOLD = ("name", "version", "created", "licence", "task", "training")  # what the report takes over from the manifest


@dataclass(frozen=True)
class Subject:
    """A model and the labelled articles that it is judged on.

    Attributes:
        manifest: the bundle's manifest, or as much of it as exists.
        taxonomy: the label scheme.
        articles: the dev articles.
        logits: what the served model says of them, before calibration, shape (articles, labels).
        clusters: each article's cluster of near-duplicates.
        curve: the learning curve, as :func:`~wusum.training.checkpoints.read_curve` gives it.
        opponents: baselines on the same articles.
    """

    manifest: Mapping[str, Any]
    taxonomy: Taxonomy
    articles: Sequence[LabelledArticle]
    logits: npt.ArrayLike
    clusters: Sequence[str]
    curve: Sequence[Mapping[str, float]] = ()
    opponents: Sequence[Opponent] = ()

    @property
    def task(self) -> Task:
        """Any number of labels per article, or exactly one."""
        task: Task = self.manifest["task"]
        return task


def build_report(subject: Subject) -> dict[str, Any]:
    """Measure everything; takes seconds, since the opponents are fitted already.

    Raises:
        ValueError: the logits do not fit the articles and the taxonomy.

    Example:
        >>> build_report(subject)["averages"]["overall"]["micro_f1"]["value"]  # doctest: +SKIP
        0.844
    """
    texts = LabelledTexts.of(subject.articles, subject.taxonomy, subject.clusters)
    fitted = crossfit(subject.logits, texts.truth, subject.clusters, judged=texts.judged, task=subject.task)
    result = evaluate(fitted.decisions, texts.truth, subject.taxonomy, subject.clusters, texts.judged)
    agreement = packaged_agreement(subject.taxonomy)
    report = {
        **{key: subject.manifest.get(key) for key in _TOLD},
        "articles": len(subject.articles),
        "clusters": len(set(subject.clusters)),
        "averages": {
            group: {kind: asdict(found[kind]) for kind in ("micro_f1", "macro_f1")}
            | {kind: asdict(getattr(getattr(result.report, group), kind)) for kind in ("micro", "macro")}
            for group, found in result.intervals.items()
        },
        "exact_match": asdict(result.intervals["overall"]["exact_match"]),
        **_labels(subject, texts, fitted),
        "calibration": _calibration(subject, texts, fitted),
        "confusions": [
            asdict(one) for one in confusions(fitted.decisions, texts.truth, subject.taxonomy, texts.judged)
        ][:_CONFUSIONS],
        "errors": _errors(subject, texts, fitted),
        "curve": [dict(entry) for entry in subject.curve],
        "seconds": _seconds(subject.curve),
        "opponents": [_opponent(one, fitted, texts) for one in subject.opponents],
        "agreement": None if agreement is None else asdict(agreement),
    }
    rounded: dict[str, Any] = _rounded(report)
    return rounded


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``report.json`` and ``report.html`` into a folder, each at once.

    Raises:
        WusumError: a file cannot be written.

    Example:
        >>> write_report(Path("runs/default"), report)  # doctest: +SKIP
    """
    contents = {
        REPORT_JSON: json.dumps(report, ensure_ascii=False, indent=1) + "\n",
        REPORT_HTML: render_html(report),
    }
    for name, content in contents.items():
        part = folder / f"{name}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_text(content, encoding="utf-8")
            os.replace(part, folder / name)
        except OSError as fault:
            reason = fault.strerror or fault
            message = f"{folder / name}: cannot be written ({reason}); free some space or name another folder"
            raise WusumError(message) from fault
        finally:
            with suppress(OSError):  # gone, or never made
                part.unlink()


def _labels(subject: Subject, texts: LabelledTexts, fitted: CrossFit) -> dict[str, Any]:
    """Figures of each label, and the mean of the average precisions."""
    truth, judged = texts.truth, texts.judged
    found = label_intervals(fitted.decisions, fitted.probabilities, truth, judged, subject.clusters)
    trust = label_reliability(fitted.probabilities, truth, judged)
    labels = [
        {
            **{key: getattr(label, key) for key in ("id", "kind", "ar", "en")},
            "judged": int(judged[:, k].sum()),
            "positives": int((truth & judged)[:, k].sum()),
            "given": int((fitted.decisions & judged)[:, k].sum()),
            **asdict(found.labels[k]),
            **{key: getattr(trust[k], key) for key in ("brier", "skill", "ece")},
            "bins": [asdict(point) for point in trust[k].bins],
        }
        for k, label in enumerate(subject.taxonomy.labels)
    ]
    return {"mean_average_precision": asdict(found.mean_average_precision), "labels": labels}


def _calibration(subject: Subject, texts: LabelledTexts, fitted: CrossFit) -> dict[str, Any]:
    """Reliability of the out-of-fold probabilities, and beside it of the logits as they are."""
    width = len(subject.taxonomy)
    plain = Scoring(subject.task, [1.0] * width, [0.0] * width, ()).probabilities(subject.logits)
    tables = {"calibrated": fitted.probabilities, "uncalibrated": plain}
    return {name: asdict(reliability(table, texts.truth, texts.judged)) for name, table in tables.items()}


def _errors(subject: Subject, texts: LabelledTexts, fitted: CrossFit) -> list[dict[str, Any]]:
    ids = np.array(subject.taxonomy.ids)
    errors = []
    for one in costliest(
        fitted.probabilities, fitted.decisions, texts.truth, subject.taxonomy, texts.judged, count=_ERRORS
    ):
        found = {"labels": ids[texts.truth[one.row]].tolist(), "given": ids[fitted.decisions[one.row]].tolist()}
        entry = asdict(one) | {"id": subject.articles[one.row].id, "text": texts.texts[one.row]} | found
        del entry["row"]
        errors.append(entry)
    return errors


def _seconds(curve: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Wall time and CPU time of the training, summed over the curve; None without a curve."""
    if not curve:
        return None
    return {kind: sum(entry[key] for entry in curve) for kind, key in (("wall", "seconds"), ("cpu", "cpu_seconds"))}


def _opponent(one: Opponent, fitted: CrossFit, texts: LabelledTexts) -> dict[str, Any]:
    if one.decisions is None:
        return {"opponent": one.name, "absent": one.absent}
    return asdict(compare(one.name, fitted.decisions, one.decisions, texts))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def logits_of(probabilities: npt.ArrayLike, scoring: Scoring) -> npt.NDArray[np.float64]:
    """Turn a bundle's probabilities, rounded to four decimals, back into its network's logits.

    Example:
        >>> logits_of([[0.5]], Scoring("multi_label", (2.0,), (1.0,), (0.5,))).tolist()
        [[-0.5]]
    """
    inside = np.clip(np.asarray(probabilities, dtype=np.float64), _HALF_STEP, 1 - _HALF_STEP)
    scaled = np.log(inside) - (0 if scoring.task == "single_label" else np.log1p(-inside))
    return np.asarray((scaled - np.asarray(scoring.shift)) / np.asarray(scoring.scale))
