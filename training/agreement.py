"""How far two annotators agreed: the ceiling beside which a model's figures are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..labels import Taxonomy, load_taxonomy
from ..labels.standoff import GOLD_FOLDER, read_gold
from .bootstrap import bootstrap_interval
from .metrics import Bools, f1_report

_TWICE_READ = GOLD_FOLDER / "test.jsonl"


@dataclass(frozen=True)
class LabelAgreement:
    """One label: F1 of one reading against the other (which is which does not matter), and Cohen's kappa.

    ``either`` is the number of articles to which at least one reader gave the label.
    """

    id: str
    f1: float
    kappa: float
    either: int


@dataclass(frozen=True)
class Agreement:
    """Two readings of the same articles; ``micro_f1`` comes with its 95 % interval over articles."""

    articles: int
    micro_f1: float
    low: float
    high: float
    macro_f1: float
    exact_match: float
    labels: tuple[LabelAgreement, ...]


def packaged_agreement(taxonomy: Taxonomy, path: Path = _TWICE_READ) -> Agreement | None:
    """Return the agreement on the packaged gold articles; None where ``taxonomy`` is not the packaged scheme.

    No text and no model is involved: the labels of the two readings stand in the gold file.

    Example:
        >>> packaged_agreement(load_taxonomy()).articles
        250
    """
    scheme = load_taxonomy()
    if (taxonomy.name, taxonomy.version, taxonomy.ids) != (scheme.name, scheme.version, scheme.ids):
        return None
    records = [one for one in read_gold(path) if one.annotator_a is not None and one.annotator_b is not None]
    if not records:
        return None
    first, second = (
        _matrix([getattr(one, reader) for one in records], scheme) for reader in ("annotator_a", "annotator_b")
    )
    report = f1_report(first, second, scheme)
    micro = bootstrap_interval(first, second)
    labels = tuple(
        LabelAgreement(label.id, label.f1, _kappa(first[:, k], second[:, k]), int((first | second)[:, k].sum()))
        for k, label in enumerate(report.labels)
    )
    macro = float(np.mean([label.f1 for label in labels if label.either]))
    return Agreement(len(records), micro.value, micro.low, micro.high, macro, report.exact_match, labels)


def _matrix(rows: Sequence[Sequence[str]], taxonomy: Taxonomy) -> Bools:
    return np.array([[label in row for label in taxonomy.ids] for row in rows])


def _kappa(first: Bools, second: Bools) -> float:
    """Cohen's kappa (1960): agreement beyond what two readers with these shares reach by chance."""
    chance = first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean())
    return float(((first == second).mean() - chance) / (1 - chance)) if chance < 1 else 1.0
