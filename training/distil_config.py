"""The recipe of ``wusum distil``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..labels.errors import WusumError
from .config import ColumnConfig
from .config_file import read_config


@dataclass(frozen=True)
class DistilDataConfig:
    """What is labelled, and what must stay out of it.

    Attributes:
        raw: raw articles: JSON-lines files (also .gz, .xz) with ``id``, ``text`` and an optional ``title``.
        articles: labelled articles, as in the training recipe; none of them is labelled again, and no near-duplicate
            of their dev part.
        split: the file that says which of them is train and which dev.
        taxonomy: label scheme; the packaged one when null.
        columns: names of the labelled articles' columns.
        exclude: JSON-lines files, such as a test set: their ids are left out, and near-duplicates of their texts.
        share: share of the raw articles that is drawn.
    """

    raw: tuple[str, ...]
    articles: str
    split: str
    taxonomy: str | None = None
    columns: ColumnConfig = field(default_factory=ColumnConfig)
    exclude: tuple[str, ...] = ()
    share: float = 1.0


@dataclass(frozen=True)
class TeacherConfig:
    """Who labels.

    Attributes:
        bundles: bundles, or run folders of ``wusum train``; several of them are averaged.
        combine: what is averaged: logits (after calibration) or probabilities.
        tfidf: weight of the TF-IDF baseline, fitted on the train part and calibrated on dev, against 1 for all bundles
            together; 0 does without.
    """

    bundles: tuple[str, ...]
    combine: Literal["logits", "probabilities"] = "logits"
    tfidf: float = 0.0


@dataclass(frozen=True)
class DistilConfig:
    """A whole recipe.

    Attributes:
        output: run folder; the soft labels go to ``output/soft.jsonl``.
        data: what is labelled.
        teacher: who labels.
        keep_unlabelled: share of the articles for which no label reaches a probability of 0.5 that is kept.
        seed: seed of the draws.
    """

    output: str
    data: DistilDataConfig
    teacher: TeacherConfig
    keep_unlabelled: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shares that are none, and a teacher of nobody."""
        for name, value, least in (("data.share", self.data.share, 1e-9), ("keep_unlabelled", self.keep_unlabelled, 0)):
            if not least <= value <= 1:
                raise WusumError(f"{name}: {value}, expected a share up to 1")
        if not self.teacher.bundles:
            raise WusumError("teacher.bundles: is empty, expected at least one bundle or run folder")
        if self.teacher.tfidf < 0:
            raise WusumError(f"teacher.tfidf: {self.teacher.tfidf}, expected 0 or more")


def load_distil_config(path: Path, overrides: Sequence[str] = ()) -> DistilConfig:
    """Read a recipe; ``overrides`` are ``section.key=value`` strings whose values are YAML.

    Raises:
        WusumError: as :func:`~wusum.training.config_file.read_config`.

    Example:
        >>> load_distil_config(Path("configs/distil.yaml")).teacher.combine  # doctest: +SKIP
        'logits'
    """
    return read_config(DistilConfig, path, overrides)
