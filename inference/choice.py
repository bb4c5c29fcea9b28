"""Which of an article's tags are told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from ..labels import Taxonomy
from ..labels.errors import WusumError
from .prediction import Prediction


@dataclass(frozen=True)
class Choice:
    """Which of the tags are told.

    Attributes:
        labels: only these; all where None.
        top: at most so many of the labels that are given, the surest first; all where None.
        all_scores: the scores of all labels instead of those of the labels that are given.

    Example:
        >>> given = Prediction(("diplomacy",), ("russia",), {"diplomacy": 0.97, "russia": 0.99, "isis": 0.01})
        >>> Choice(top=1).apply(given).scores
        {'russia': 0.99}
    """

    labels: Collection[str] | None = None
    top: int | None = None
    all_scores: bool = False

    def check(self, taxonomy: Taxonomy) -> None:
        """Raise WusumError where a label is none of the taxonomy's."""
        for label in self.labels or ():
            if label not in taxonomy:
                raise WusumError(f"tag: --labels: {taxonomy.unknown(label)}")

    def apply(self, prediction: Prediction) -> Prediction:
        """Return the prediction with these tags only."""
        scores = {k: v for k, v in prediction.scores.items() if self.labels is None or k in self.labels}
        given = [label for label in (*prediction.topics, *prediction.actors) if label in scores]
        # Stable: at equal scores the order of the prediction stands.
        best = set(sorted(given, key=lambda label: -scores[label])[: self.top])
        topics, actors = (tuple(filter(best.__contains__, kind)) for kind in (prediction.topics, prediction.actors))
        told = scores if self.all_scores else {label: score for label, score in scores.items() if label in best}
        evidence = prediction.evidence
        if evidence is not None:
            evidence = {label: found for label, found in evidence.items() if label in best}
        return replace(prediction, topics=topics, actors=actors, scores=told, evidence=evidence)
