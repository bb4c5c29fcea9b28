"""All baselines at once, on the same articles and by the same rules as the model."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from ..inference.scoring import Task
from ..labels import Taxonomy
from ..labels.errors import WusumError
from .baseline import FastTextBaseline, KeywordBaseline, TfidfBaseline
from .evaluate import Baseline, LabelledTexts, baseline_decisions
from .metrics import Bools


@dataclass(frozen=True)
class Opponent:
    """A baseline's decisions on the scored articles, shape (articles, labels); or None and the reason why not."""

    name: str
    decisions: Bools | None
    absent: str | None = None


def fit_opponents(
    taxonomy: Taxonomy,
    train: LabelledTexts,
    dev: LabelledTexts,
    test: LabelledTexts | None = None,
    task: Task = "multi_label",
) -> list[Opponent]:
    """Fit keywords, TF-IDF and fastText on train and decide on dev (thresholds cross-fitted), or on test.

    What cannot be fitted (a package is absent) is told, not raised: a report must not fail for it.

    Example:
        >>> [one.name for one in fit_opponents(taxonomy, train, dev)]  # doctest: +SKIP
        ['keywords', 'TF-IDF + linear', 'fastText']
    """
    entries: dict[str, Baseline] = {
        "keywords": KeywordBaseline(taxonomy),
        "TF-IDF + linear": TfidfBaseline(),
        "fastText": FastTextBaseline(),
    }
    opponents: list[Opponent] = []
    for name, baseline in entries.items():
        with Console(stderr=True).status(f"fitting {name}"):  # shows on a terminal only
            try:
                texts = None if test is None else test.texts
                opponents.append(Opponent(name, baseline_decisions(baseline, train, dev, texts, task)))
            except WusumError as fault:
                opponents.append(Opponent(name, None, str(fault)))
    return opponents
