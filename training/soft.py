"""Soft labels: articles with a teacher's probabilities, in a JSON-lines file that survives a fall of its writer."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ..labels import Taxonomy
from ..labels.errors import WusumError
from ..labels.jsonl import Row, parse_row, read_lines, text_faults, type_name
from .data import LabelledArticle, refuse
from .raw import RawArticle

DIGITS = 4  # of a probability


def read_soft(path: Path, taxonomy: Taxonomy) -> tuple[list[LabelledArticle], npt.NDArray[np.float32]]:
    """Read what ``wusum distil`` writes: JSON lines (also .gz, .xz) with id, text, perhaps a title, and ``scores``.

    ``scores`` maps ids of labels to probabilities. A label of the scheme that it does not name was not judged.

    Returns:
        The articles, without labels of their own, and the targets (articles, labels) in the taxonomy's order: a
        probability, or NaN where the teacher does not judge.

    Raises:
        WusumError: the file cannot be read or holds no article, or rows have faults: all of them in one message, each
            with file, line and field, an unknown label with the nearest valid one.

    Example:
        >>> articles, targets = read_soft(Path("runs/distil/soft.jsonl"), load_taxonomy())  # doctest: +SKIP
        >>> targets.shape  # doctest: +SKIP
        (41207, 34)
    """
    articles: list[LabelledArticle] = []
    targets: list[npt.NDArray[np.float32]] = []
    faults: list[str] = []
    seen: set[str] = set()
    for number, line in read_lines(path):
        row = parse_row(line)
        problems = [row] if isinstance(row, str) else list(_row_faults(row, taxonomy))
        if isinstance(row, str) or problems:
            faults.extend(f"{path}:{number}:{problem}" for problem in problems)
            continue
        if row["id"] in seen:
            faults.append(f"{path}:{number}:id: {row['id']!r} stands in an earlier line already; remove one")
            continue
        seen.add(str(row["id"]))
        judged, target = _target(row, taxonomy)
        title = str(row["title"]) if row.get("title") else None
        articles.append(LabelledArticle(str(row["id"]), title, str(row["text"]), (), judged))
        targets.append(target)
    if faults:
        refuse(path, faults)
    if not articles:
        raise WusumError(f"{path}: holds no article; expected JSON lines with id, text and scores, from `wusum distil`")
    return articles, np.stack(targets)


def _row_faults(row: Row, taxonomy: Taxonomy) -> Iterator[str]:
    yield from text_faults(row, "id")
    yield from text_faults(row, "text")
    yield from text_faults(row, "title", optional=True)
    scores = row.get("scores")
    if not isinstance(scores, dict) or not scores:
        yield f"scores: expected an object of label ids and probabilities, got {type_name(scores)}; mend the field"
        return
    for label, value in scores.items():
        if label not in taxonomy:
            yield f"scores: {taxonomy.unknown(label)}"
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            yield f"scores:{label}: {value!r}, expected a probability from 0 to 1; mend it"


def _target(row: Row, taxonomy: Taxonomy) -> tuple[tuple[str, ...] | None, npt.NDArray[np.float32]]:
    scores = row["scores"]
    if not isinstance(scores, dict):
        raise TypeError(f"scores: {type_name(scores)}")
    target = np.array([scores.get(label, math.nan) for label in taxonomy.ids], dtype=np.float32)
    judged = tuple(label for label in taxonomy.ids if label in scores)
    return None if len(judged) == len(taxonomy) else judged, target


def soft_line(article: RawArticle, scores: Mapping[str, float]) -> str:
    r"""Return the line of one article.

    Example:
        >>> soft_line(RawArticle("a", None, "نص"), {"trade": 0.25001})
        '{"id": "a", "title": null, "text": "نص", "scores": {"trade": 0.25}}\n'
    """
    rounded = {label: round(float(value), DIGITS) for label, value in scores.items()}
    row = {"id": article.id, "title": article.title, "text": article.text, "scores": rounded}
    return json.dumps(row, ensure_ascii=False) + "\n"


def recover(part: Path) -> str | None:
    """Cut what a killed process left of a last line off an unfinished file.

    Returns:
        The id of its last whole article; None where it has none or does not exist.

    Raises:
        WusumError: a whole line is no article.

    Example:
        >>> recover(Path("no-such-file")) is None
        True
    """
    if not part.exists():
        return None
    last, end = None, 0
    with part.open("rb+") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                break
            row = parse_row(line)
            if isinstance(row, str) or not isinstance(row.get("id"), str):
                raise WusumError(f"{part}:{number}: not a line of `wusum distil`; delete the file to begin anew")
            last, end = str(row["id"]), end + len(line)
        stream.truncate(end)
    return last


@contextmanager
def appending(part: Path) -> Iterator[IO[str]]:
    """Open an unfinished file to go on with.

    Raises:
        WusumError: it cannot be written, for example because the disk is full; what it holds stays.
    """
    try:
        with part.open("a", encoding="utf-8", newline="\n") as stream:
            yield stream
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise WusumError(
            f"{part}: cannot be written ({reason}); free some space and start again, it goes on"
        ) from fault


def finish(part: Path, target: Path) -> None:
    """Give a finished file its name, once it is safely on the disk."""
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(part, target)


def mean_scores(path: Path, labels: Sequence[str]) -> tuple[int, dict[str, float]]:
    """Return the number of articles of a soft file and each label's mean probability."""
    count, total = 0, dict.fromkeys(labels, 0.0)
    for _, line in read_lines(path):
        for label, value in json.loads(line)["scores"].items():
            total[label] += value
        count += 1
    return count, {label: round(value / max(count, 1), DIGITS) for label, value in total.items()}
