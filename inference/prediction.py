"""The one result type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Field = Literal["title", "text"]


@dataclass(frozen=True)
class Evidence:
    """A sentence that carries a label.

    Attributes:
        field: where it stands: in ``title`` or ``text`` of what was handed in; with a string always ``text``.
        start: its first character there.
        end: the place behind its last character there: ``original[start:end] == text``.
        text: the sentence, unchanged.
        weight: probability of the label when nothing but this sentence is read, rounded to 4 decimals.

    Example:
        >>> page = "اجتمع الوزراء. ثم غادروا."
        >>> found = Evidence("text", 0, 14, "اجتمع الوزراء.", 0.93)
        >>> page[found.start : found.end] == found.text
        True
    """

    field: Field
    start: int
    end: int
    text: str
    weight: float


@dataclass(frozen=True)
class Prediction:
    """The tags of one article.

    Attributes:
        topics: ids of the chosen topics, highest score first.
        actors: ids of the chosen actors, highest score first.
        scores: probability of every label of the taxonomy, in its order, rounded to 4 decimals.
        notes: what a reader should know: text cut, lines dropped as page furniture, language doubt.
        id: the article's own id, where it has one.
        evidence: for each chosen label the one to three sentences that carry it, the strongest first; None where
            nobody asked for it.

    Example:
        >>> Prediction(("diplomacy",), ("russia",), {"diplomacy": 0.97, "russia": 0.99}).to_dict()
        {'topics': ['diplomacy'], 'actors': ['russia'], 'scores': {'diplomacy': 0.97, 'russia': 0.99}, 'notes': []}
    """

    topics: tuple[str, ...]
    actors: tuple[str, ...]
    scores: Mapping[str, float]
    notes: tuple[str, ...] = ()
    id: str | None = None
    evidence: Mapping[str, tuple[Evidence, ...]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping that ``json.dumps`` takes; ``id`` and ``evidence`` stand in it only where there are any."""
        head: dict[str, Any] = {} if self.id is None else {"id": self.id}
        tail: dict[str, Any] = {}
        if self.evidence is not None:
            tail["evidence"] = {label: [asdict(one) for one in found] for label, found in self.evidence.items()}
        return (
            head
            | {
                "topics": list(self.topics),
                "actors": list(self.actors),
                "scores": dict(self.scores),
                "notes": list(self.notes),
            }
            | tail
        )
