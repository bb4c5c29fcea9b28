"""A split into train and dev that no near-duplicate crosses, written to a file and reused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..labels.errors import WusumError
from .data import LabelledArticle
from .progress import watched

SHINGLE_WORDS = 3
JACCARD = 0.5
PERMUTATIONS = 64
PARTS = ("train", "dev")


def near_duplicate_clusters(articles: Sequence[LabelledArticle]) -> list[int]:
    """Return for each article the index of the first article of its cluster.

    Two articles belong together when the estimated Jaccard similarity of their three-word shingles reaches 0.5 (MinHash
    with locality-sensitive hashing: Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=JACCARD, num_perm=PERMUTATIONS)
    parent = list(range(len(articles)))

    def root(position: int) -> int:
        while parent[position] != position:
            position = parent[position]
        return position

    for position, article in enumerate(watched(articles, len(articles), "looking for near-duplicates")):
        words = f"{article.title or ''} {article.text}".split()
        starts = range(max(1, len(words) - SHINGLE_WORDS + 1))
        sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update_batch([" ".join(words[start : start + SHINGLE_WORDS]).encode() for start in starts])
        for other in index.query(sketch):
            low, high = sorted((root(position), root(other)))
            parent[high] = low
        index.insert(position, sketch)
    return [root(position) for position in range(len(articles))]


def make_split(articles: Sequence[LabelledArticle], dev_share: float, seed: int) -> dict[str, tuple[str, str]]:
    """Draw clusters for dev until it holds ``dev_share`` of the articles; return id → (part, id of the cluster)."""
    clusters = near_duplicate_clusters(articles)
    order = np.random.default_rng(seed).permutation(sorted(set(clusters)))
    sizes = np.bincount(clusters, minlength=len(articles))
    before = np.cumsum(sizes[order]) - sizes[order]
    dev = set(order[before < dev_share * len(articles)].tolist())
    return {
        article.id: (PARTS[cluster in dev], articles[cluster].id)
        for article, cluster in zip(articles, clusters, strict=True)
    }


def write_split(split: Mapping[str, tuple[str, str]], path: Path) -> None:
    """Write a split as JSON lines ``{"id", "part", "cluster"}``; an interrupted write leaves no half file behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".part")
    with scratch.open("w", encoding="utf-8") as lines:
        for name, (part, cluster) in split.items():
            lines.write(json.dumps({"id": name, "part": part, "cluster": cluster}, ensure_ascii=False) + "\n")
    os.replace(scratch, path)


def read_split(path: Path) -> dict[str, tuple[str, str]]:
    """Read what :func:`write_split` wrote.

    Raises:
        WusumError: the file is missing or a line is not as expected.
    """
    if not path.is_file():
        raise WusumError(f"{path}: not found, expected a split file as `wusum train` writes it")
    split: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            name, part, cluster = row["id"], row["part"], row["cluster"]
        except (json.JSONDecodeError, KeyError, TypeError) as fault:
            raise WusumError(f"{path}:{number}: expected an object with id, part and cluster ({fault})") from fault
        if part not in PARTS:
            raise WusumError(f"{path}:{number}:part: {part!r}, expected train or dev")
        split[name] = (part, cluster)
    return split


def select_part(
    articles: Sequence[LabelledArticle], split: Mapping[str, tuple[str, str]], part: str, path: Path
) -> list[LabelledArticle]:
    """Return the articles of one part, in their order.

    Raises:
        WusumError: an article is in neither part, so that the split was made for other data.
    """
    missing = [article.id for article in articles if article.id not in split]
    if missing:
        first = missing[0]
        raise WusumError(f"{path}: {len(missing)} articles are not in it (first: {first}); delete it to split anew")
    return [article for article in articles if split[article.id][0] == part]
