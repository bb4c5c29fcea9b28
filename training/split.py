"""A split into train and dev that no near-duplicate crosses, written to a file and reused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..labels import Taxonomy
from ..labels.errors import WusumError
from .config import DataConfig
from .data import LabelledArticle
from .progress import watched
from .targets import label_matrix

if TYPE_CHECKING:
    from datasketch import MinHash

SHINGLE_WORDS = 3
JACCARD = 0.5
PERMUTATIONS = 64
PARTS = ("train", "dev")


def near_duplicate_clusters(articles: Sequence[LabelledArticle]) -> list[int]:
    """Return for each article the index of the first article of its cluster.

    Two articles belong together when the estimated Jaccard similarity of their three-word shingles reaches 0.5 (MinHash
    with locality-sensitive hashing: Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=JACCARD, num_perm=PERMUTATIONS)
    parent = list(range(len(articles)))

    def root(position: int) -> int:
        while parent[position] != position:
            position = parent[position]
        return position

    for position, article in enumerate(watched(articles, len(articles), "looking for near-duplicates")):
        words = sketch(f"{article.title or ''} {article.text}")
        for other in index.query(words):
            low, high = sorted((root(position), root(other)))
            parent[high] = low
        index.insert(position, words)
    return [root(position) for position in range(len(articles))]


def sketch(text: str) -> MinHash:
    """Return the MinHash of a text's three-word shingles.

    Example:
        >>> sketch("one two three four").jaccard(sketch("one  two three four"))
        1.0
    """
    from datasketch import MinHash

    words = text.split()
    starts = range(max(1, len(words) - SHINGLE_WORDS + 1))
    found = MinHash(num_perm=PERMUTATIONS, seed=1)
    found.update_batch([" ".join(words[start : start + SHINGLE_WORDS]).encode() for start in starts])
    return found


def make_split(articles: Sequence[LabelledArticle], data: DataConfig, taxonomy: Taxonomy) -> dict[str, tuple[str, str]]:
    """Split whole clusters of near-duplicates; return id → (part, id of the cluster).

    With ``data.dev_from`` dev is what came later: the clusters whose articles are all of that day or after it. A
    cluster with articles on both sides goes to train as a whole, because an earlier copy tells the later one's labels.
    Otherwise dev is a draw of ``data.dev_share`` of the articles in which each label has the same share, as far as
    clusters allow (see :func:`stratify`).

    Raises:
        WusumError: ``data.dev_from`` is no date or the articles have none, or ``data.dev_share`` is no share.

    Example:
        >>> make_split(articles, config.data, load_taxonomy())["a:17"]  # doctest: +SKIP
        ('dev', 'a:3')
    """
    if not 0 < data.dev_share < 1:
        raise WusumError(f"data.dev_share: {data.dev_share}, expected more than 0 and less than 1")
    border = None if data.dev_from is None else _border(data.dev_from, articles)
    clusters = np.array(near_duplicate_clusters(articles), dtype=np.int64)
    heads, members = np.unique(clusters, return_inverse=True)
    if border is not None:
        later = np.array([article.date is not None and article.date >= border for article in articles], dtype=bool)
        earlier = np.bincount(members, weights=~later, minlength=len(heads))
        in_dev = earlier == 0
    else:
        labels = np.zeros((len(heads), len(taxonomy)), dtype=np.int64)
        np.add.at(labels, members, label_matrix(articles, taxonomy))
        in_dev = stratify(labels, np.bincount(members, minlength=len(heads)), data.dev_share, data.split_seed)
    return {
        article.id: (PARTS[int(in_dev[member])], articles[heads[member]].id)
        for article, member in zip(articles, members, strict=True)
    }


def stratify(
    labels: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Choose groups that hold ``share`` of the articles and, as nearly as can be, of each label.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, On the stratification of multi-label data), with
    groups in the place of single articles: the rarest label is dealt out first, each group to the part that still wants
    most of that label, and of articles where both want the same. Large groups go before small ones, which level out.

    Args:
        labels: articles with each label in each group, shape (groups, labels).
        sizes: articles in each group, shape (groups,).
        share: of the articles that are to be chosen, between 0 and 1.
        seed: of the order among groups of one size.

    Returns:
        Which groups are chosen, shape (groups,).

    Example:
        >>> stratify(np.array([[1, 0]] * 4 + [[0, 1]] * 8), np.ones(12, dtype=np.int64), 0.25, 0).nonzero()[0].size
        3
    """
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    shares = np.array([1 - share, share])
    wanted = np.outer(shares, labels.sum(0))  # (parts, labels)
    room = shares * sizes.sum()
    chosen = np.zeros(len(sizes), dtype=bool)
    placed = np.zeros(len(sizes), dtype=bool)

    def place(group: int, part: int) -> None:
        placed[group], chosen[group] = True, part == 1
        wanted[part] -= labels[group]
        room[part] -= sizes[group]

    while (left := labels[~placed].sum(0)).any():
        label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for group in order[~placed[order] & (labels[order, label] > 0)].tolist():
            place(group, max((0, 1), key=lambda part: (wanted[part, label], room[part])))
    for group in order[~placed[order]].tolist():
        place(group, int(room[1] > room[0]))
    return chosen


def _border(dev_from: str, articles: Sequence[LabelledArticle]) -> str:
    try:
        border = date.fromisoformat(dev_from).isoformat()
    except ValueError as fault:
        raise WusumError(f"data.dev_from: {dev_from!r}, expected an ISO date such as 2016-03-31") from fault
    if any(article.date is None for article in articles):
        raise WusumError("data.dev_from: needs the articles' dates; name their column in data.columns.date")
    return border


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
        raise WusumError(f"{path}: not found, expected a split file as `wusum labels split` writes it")
    split: dict[str, tuple[str, str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as fault:
        raise WusumError(f"{path}: not UTF-8, expected a split file as `wusum labels split` writes it") from fault
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, part, cluster = row["id"], row["part"], row["cluster"]
        except (json.JSONDecodeError, KeyError, TypeError) as fault:
            raise WusumError(f"{path}:{number}: expected an object with id, part and cluster ({fault})") from fault
        if not isinstance(name, str) or not isinstance(cluster, str):
            raise WusumError(f"{path}:{number}: expected texts for id and cluster; make the split anew")
        if part not in PARTS:
            raise WusumError(f"{path}:{number}:part: {part!r}, expected train or dev")
        if name in split:
            raise WusumError(f"{path}:{number}:id: {name!r} stands in an earlier line already; remove one")
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
