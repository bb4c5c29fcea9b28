"""The one result type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """The tags of one article.

    Attributes:
        topics: ids of the chosen topics, highest score first.
        actors: ids of the chosen actors, highest score first.
        scores: probability of every label of the taxonomy, in its order, rounded to 4 decimals.
        notes: what a reader should know: text cut, lines dropped as page furniture, language doubt.
        id: the article's own id, where it has one.

    Example:
        >>> Prediction(("diplomacy",), ("russia",), {"diplomacy": 0.97, "russia": 0.99}).to_dict()
        {'topics': ['diplomacy'], 'actors': ['russia'], 'scores': {'diplomacy': 0.97, 'russia': 0.99}, 'notes': []}
    """

    topics: tuple[str, ...]
    actors: tuple[str, ...]
    scores: Mapping[str, float]
    notes: tuple[str, ...] = ()
    id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping that ``json.dumps`` takes; ``id`` stands in it only where there is one."""
        head: dict[str, Any] = {} if self.id is None else {"id": self.id}
        return head | {
            "topics": list(self.topics),
            "actors": list(self.actors),
            "scores": dict(self.scores),
            "notes": list(self.notes),
        }
