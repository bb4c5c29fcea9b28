"""Labelled articles with their text, read strictly: every fault of a file is reported together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inference.article import Article
from ..labels import Taxonomy
from ..labels.errors import WusumError

MAX_FAULTS_SHOWN = 20


@dataclass(frozen=True)
class LabelledArticle:
    """One article and the ids of its labels, topics first."""

    id: str
    title: str | None
    text: str
    labels: tuple[str, ...]

    @property
    def article(self) -> Article:
        """The article without its labels."""
        return Article(self.text, self.title, self.id)


def read_labelled(path: Path, taxonomy: Taxonomy) -> list[LabelledArticle]:
    """Read JSON lines with ``id``, ``text``, ``topics`` and ``actors`` lists, and an optional ``title``.

    Raises:
        WusumError: the file is missing or holds no article, or rows have faults: all of them in one message, each with
            file, line and field, an unknown label with the nearest valid one.

    Example:
        >>> read_labelled(Path("data/gold/train.jsonl"), load_taxonomy())[0].labels  # doctest: +SKIP
        ('diplomacy', 'russia')
    """
    if not path.is_file():
        raise WusumError(f"{path}: not found, expected labelled articles; `wusum labels join` builds them")
    articles: list[LabelledArticle] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            row, problems = _check_row(line, taxonomy)
            if row is not None and row.id in seen:
                problems.append(f"id: {row.id!r} stands in line {seen[row.id]} too")
            faults.extend(f"{path}:{number}:{problem}" for problem in problems)
            if row is not None:
                seen.setdefault(row.id, number)
                articles.append(row)
    if faults:
        more = [f"... and {len(faults) - MAX_FAULTS_SHOWN} more"] if len(faults) > MAX_FAULTS_SHOWN else []
        raise WusumError("\n".join([f"{len(faults)} faults in {path}:", *faults[:MAX_FAULTS_SHOWN], *more]))
    if not articles:
        raise WusumError(f"{path}: holds no article; expected JSON lines with id, text, topics and actors")
    return articles


def _check_row(line: str, taxonomy: Taxonomy) -> tuple[LabelledArticle | None, list[str]]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as fault:
        return None, [f" not JSON ({fault}), expected one object a line"]
    if not isinstance(row, dict):
        return None, [" expected a JSON object with id, text, topics and actors"]
    problems = [
        f"{field}: expected a text that is not empty"
        for field in ("id", "text")
        if not (isinstance(row.get(field), str) and row[field].strip())
    ]
    title = row.get("title")
    if title is not None and not isinstance(title, str):
        problems.append("title: expected a text or null")
    labels = _check_labels(row, taxonomy, problems)
    if problems:
        return None, problems
    return LabelledArticle(row["id"], title, row["text"], labels), []


def _check_labels(row: dict[str, Any], taxonomy: Taxonomy, problems: list[str]) -> tuple[str, ...]:
    labels: list[str] = []
    for field, known in (("topics", taxonomy.topics), ("actors", taxonomy.actors)):
        values = row.get(field)
        if not isinstance(values, list):
            problems.append(f"{field}: expected a list of label ids (empty for none)")
            continue
        for value in values:
            if value not in known:
                near = taxonomy.nearest(str(value))
                problems.append(f"{field}: unknown label {value!r}" + (f"; did you mean {near!r}?" if near else ""))
            else:
                labels.append(value)
    return tuple(labels)


def label_matrix(articles: Sequence[LabelledArticle], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """Return the labels as booleans of shape (articles, labels), in the taxonomy's order."""
    matrix = np.zeros((len(articles), len(taxonomy)), dtype=bool)
    for row, article in enumerate(articles):
        matrix[row, [taxonomy.index(label) for label in article.labels]] = True
    return matrix


def data_sha256(articles: Sequence[LabelledArticle]) -> str:
    """Return one hash over ids, texts and labels: the identity of the data that a model learned from."""
    digest = hashlib.sha256()
    for article in articles:
        digest.update(json.dumps([article.id, article.title, article.text, article.labels]).encode())
    return digest.hexdigest()
