"""What a run learns from and is judged by: the labelled articles in their split, and a teacher's soft labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..inference.manifest import file_sha256
from ..labels import Taxonomy, load_taxonomy
from ..labels.errors import WusumError
from ..labels.fingerprint import text_hash
from .config import TrainConfig
from .data import LabelledArticle, read_labelled, require_single
from .device import is_main_process, wait_for_all
from .losses import check_targets
from .soft import read_soft
from .split import make_split, read_split, select_part, write_split
from .targets import data_sha256, label_matrix, target_matrix

FOLDS = 5  # of cross-fitted calibration and thresholds


@dataclass(frozen=True)
class Material:
    """What a run learns from and is judged by.

    Attributes:
        taxonomy: the label scheme.
        train: labelled articles to learn from.
        dev: labelled articles that choose epoch, calibration and thresholds.
        clusters: each dev article's cluster of near-duplicates.
        soft: articles with a teacher's probabilities, learned from beside ``train``.
        soft_targets: those probabilities, shape (soft articles, labels).
    """

    taxonomy: Taxonomy
    train: list[LabelledArticle]
    dev: list[LabelledArticle]
    clusters: list[str]
    soft: Sequence[LabelledArticle]
    soft_targets: npt.NDArray[np.float32]

    @property
    def learned(self) -> list[LabelledArticle]:
        """All articles to learn from, the labelled ones first."""
        return [*self.train, *self.soft]

    @property
    def targets(self) -> npt.NDArray[np.float32]:
        """What to learn of them, shape (articles, labels): 1, 0, a probability, or NaN where nobody judged."""
        return np.concatenate([target_matrix(self.train, self.taxonomy), self.soft_targets])

    def weights(self, soft_weight: float) -> npt.NDArray[np.float32]:
        """Return the weight of each article's loss, shape (articles,)."""
        return np.repeat(np.array([1, soft_weight], dtype=np.float32), [len(self.train), len(self.soft)])


def read_material(config: TrainConfig) -> Material:
    """Read the articles and their split; the split is made and written where it does not exist.

    Raises:
        WusumError: a fault in the data, a part of the split without articles, too few clusters in dev, a label without
            a positive training article, soft labels of dev articles, or targets that the recipe's loss cannot learn
            from.

    Example:
        >>> len(read_material(load_config(Path("configs/default.yaml"))).dev)  # doctest: +SKIP
        656
    """
    taxonomy = load_taxonomy(Path(config.data.taxonomy) if config.data.taxonomy else None)
    source, path = Path(config.data.articles), Path(config.data.split)
    articles = read_labelled(source, taxonomy, config.data.columns)
    if config.model.task == "single_label":
        require_single(articles, source)
    if is_main_process() and not path.exists():
        write_split(make_split(articles, config.data, taxonomy), path)
    wait_for_all()
    split = read_split(path)
    dev = select_part(articles, split, "dev", path)
    train = select_part(articles, split, "train", path)
    if not dev or not train:
        empty = "dev" if train else "train"
        raise WusumError(f"{path}: leaves no article for {empty}; change data.dev_share and delete the file")
    clusters = [split[article.id][1] for article in dev]
    if len(set(clusters)) < FOLDS:
        found = f"dev holds {len(set(clusters))} clusters of articles"
        raise WusumError(f"{path}: {found}, expected {FOLDS} or more; raise data.dev_share and delete the file")
    _refuse_empty_labels(train, taxonomy)
    material = Material(taxonomy, train, dev, clusters, *_read_soft_labels(config, taxonomy, dev))
    check_targets(config.optimisation.loss, config.model.task, material.targets)
    return material


def _read_soft_labels(
    config: TrainConfig, taxonomy: Taxonomy, dev: Sequence[LabelledArticle]
) -> tuple[Sequence[LabelledArticle], npt.NDArray[np.float32]]:
    if config.data.soft is None:
        return [], np.zeros((0, len(taxonomy)), dtype=np.float32)
    if config.data.soft_weight <= 0:
        raise WusumError(f"data.soft_weight: {config.data.soft_weight}, expected more than 0; or set data.soft to null")
    articles, targets = read_soft(Path(config.data.soft), taxonomy)
    ids, texts = {article.id for article in dev}, {text_hash(article.text) for article in dev}
    leaked = [article.id for article in articles if article.id in ids or text_hash(article.text) in texts]
    if leaked:
        found = f"{len(leaked)} of its articles are in dev (first: {leaked[0]})"
        raise WusumError(f"{config.data.soft}: {found}; take them out, or run `wusum distil` with this split")
    return articles, targets


def _refuse_empty_labels(train: Sequence[LabelledArticle], taxonomy: Taxonomy) -> None:
    counts = label_matrix(train, taxonomy).sum(0)
    empty = [label for label, count in zip(taxonomy.ids, counts, strict=True) if count == 0]
    if empty:
        raise WusumError(f"no training article carries {', '.join(empty)}; add some or take it out of the scheme")


def fingerprint(material: Material, config: TrainConfig) -> str:
    """Return what identifies a run's data: hashes of train, dev and soft labels, and the order of the labels."""
    soft = file_sha256(Path(config.data.soft)) if config.data.soft else None
    return json.dumps([data_sha256(material.train), data_sha256(material.dev), soft, material.taxonomy.ids])
