"""Scores a tagger on labelled articles: figures with intervals, opponents beside it, and the ledger of test runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from ..inference.prediction import Prediction
from ..inference.scoring import Task
from ..labels import Taxonomy
from ..labels.errors import WusumError
from .bootstrap import Interval, Statistic, bootstrap_interval, paired_bootstrap
from .data import LabelledArticle
from .metrics import Bools, Floats, Report, f1_report
from .targets import judged_matrix, label_matrix
from .thresholds import choose_thresholds, crossfit_decisions, most_probable

VIEW_CHARS = 2400  # the labels describe the title and this much of the body

_STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
_F1: tuple[Statistic, Statistic] = ("micro_f1", "macro_f1")


class Baseline(Protocol):
    """A simple opponent that learns from texts and scores texts."""

    def fit(self, texts: Sequence[str], truth: Bools, judged: Bools) -> object:
        """Learn from texts and their labels, shape (texts, labels); a label not judged in a text tells nothing."""

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return a probability per text and label."""


@dataclass(frozen=True)
class LabelledTexts:
    """Articles as baselines and metrics take them; arrays have the shape (articles, labels).

    Attributes:
        texts: what the annotators read of each article.
        truth: whether an article carries a label.
        judged: whether somebody judged that.
        clusters: each article's cluster of near-duplicates; None where no split tells it.
    """

    texts: list[str]
    truth: Bools
    judged: Bools
    clusters: Sequence[str] | None = None

    @classmethod
    def of(
        cls, articles: Sequence[LabelledArticle], taxonomy: Taxonomy, clusters: Sequence[str] | None = None
    ) -> LabelledTexts:
        """Take labelled articles apart."""
        truth, judged = label_matrix(articles, taxonomy), judged_matrix(articles, taxonomy)
        return cls([view(article) for article in articles], truth, judged, clusters)


@dataclass(frozen=True)
class Tagged:
    """What a tagger said of articles: arrays of shape (articles, labels) in the taxonomy's order."""

    scores: Floats
    decisions: Bools


@dataclass(frozen=True)
class Evaluation:
    """The report and, by group of labels ("overall", "topics", "actors") and statistic, the bootstrap intervals."""

    report: Report
    intervals: Mapping[str, Mapping[Statistic, Interval]]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """An opponent's figures on the same articles, and how far the model is ahead of it (paired bootstrap)."""

    opponent: str
    micro_f1: float
    macro_f1: float
    micro_ahead: Interval
    macro_ahead: Interval


def view(article: LabelledArticle) -> str:
    r"""Return what the annotators read of an article: its title and the first 2,400 characters.

    Example:
        >>> view(LabelledArticle("1", "Title", "Text", ()))
        'Title\nText'
    """
    body = article.text[:VIEW_CHARS]
    return f"{article.title}\n{body}" if article.title else body


def collect(predictions: Iterable[Prediction], taxonomy: Taxonomy) -> Tagged:
    """Put predictions into arrays; they must come from a tagger of this taxonomy."""
    scores, decisions = [], []
    for prediction in predictions:
        scores.append([prediction.scores[label] for label in taxonomy.ids])
        chosen = {*prediction.topics, *prediction.actors}
        decisions.append([label in chosen for label in taxonomy.ids])
    return Tagged(np.array(scores, dtype=np.float64), np.array(decisions, dtype=bool))


def evaluate(
    decisions: Bools,
    truth: Bools,
    taxonomy: Taxonomy,
    clusters: Sequence[str] | None = None,
    judged: Bools | None = None,
) -> Evaluation:
    """Report the decisions, each average with its 95 % interval over documents, or over clusters where given.

    Example:
        >>> evaluate(decisions, truth, taxonomy).intervals["overall"]["micro_f1"].low  # doctest: +SKIP
        0.83
    """
    seen = np.ones_like(truth) if judged is None else judged
    groups = {"overall": taxonomy.ids, "topics": taxonomy.topics, "actors": taxonomy.actors}
    intervals: dict[str, Mapping[Statistic, Interval]] = {}
    for name, ids in groups.items():
        chosen = [taxonomy.index(label) for label in ids]
        cut = decisions[:, chosen], truth[:, chosen]
        intervals[name] = {
            kind: bootstrap_interval(*cut, kind, judged=seen[:, chosen], clusters=clusters) for kind in _STATISTICS
        }
    return Evaluation(f1_report(decisions, truth, taxonomy, seen), intervals)


def compare(opponent: str, model: Bools, other: Bools, texts: LabelledTexts) -> Comparison:
    """Compare two systems' decisions on the same articles; a positive difference means that the model is ahead."""
    truth, judged, clusters = texts.truth, texts.judged, texts.clusters
    micro, macro = (paired_bootstrap(model, other, truth, kind, judged=judged, clusters=clusters) for kind in _F1)
    micro_f1, macro_f1 = (bootstrap_interval(other, truth, kind, judged=judged, samples=1).value for kind in _F1)
    return Comparison(opponent, micro_f1, macro_f1, micro, macro)


def baseline_decisions(
    baseline: Baseline,
    train: LabelledTexts,
    dev: LabelledTexts,
    test: Sequence[str] | None = None,
    task: Task = "multi_label",
) -> Bools:
    """Fit a baseline on train and decide as the model does.

    On dev the thresholds are cross-fitted; on the texts of ``test`` those chosen on the whole of dev. With
    ``single_label`` the label with the highest score is given.
    """
    baseline.fit(train.texts, train.truth, train.judged)
    if task == "single_label":
        return most_probable(baseline.scores(dev.texts if test is None else test))
    scores = baseline.scores(dev.texts)
    if test is None:
        return crossfit_decisions(scores, dev.truth, judged=dev.judged, clusters=dev.clusters)
    return baseline.scores(test) >= choose_thresholds(scores, dev.truth, judged=dev.judged)


def check_ledger(path: Path, reason: str | None) -> str:
    """Return the reason, trimmed; called before any work is done for a test run.

    Raises:
        WusumError: no reason is given, or the ledger's folder does not exist.
    """
    if reason is None or not reason.strip():
        raise WusumError("evaluate: --split test needs --reason TEXT, which is recorded: why look?")
    if not path.parent.is_dir():
        raise WusumError(
            f"{path}: the ledger's folder does not exist, expected one that is committed; "
            "run from the repository's root or name the file with --ledger FILE"
        )
    return reason.strip()


def append_ledger(path: Path, entry: Mapping[str, Any]) -> None:
    """Append one line to the ledger, with the date and time in UTC, and have it on disk before returning.

    Raises:
        WusumError: the file cannot be written.
    """
    line = json.dumps({"date": datetime.now(UTC).isoformat(timespec="seconds"), **entry}, ensure_ascii=False)
    try:
        with path.open("a+b") as ledger:
            if ledger.tell():
                ledger.seek(-1, os.SEEK_END)
                line = line if ledger.read(1) == b"\n" else "\n" + line
            ledger.write(f"{line}\n".encode())
            ledger.flush()
            os.fsync(ledger.fileno())
    except OSError as fault:
        raise WusumError(f"{path}: cannot append to the ledger ({fault.strerror}); no figure without it") from fault
