"""The gold annotations: labels by document id and text fingerprint, without any text of the articles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from .errors import WusumError
from .jsonl import Row, label_faults, number_faults, rows, text_faults
from .taxonomy import Taxonomy, load_taxonomy

SPLITS: Final = ("train", "test")
GOLD_FOLDER: Final = Path(__file__).with_name("gold")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class GoldRecord:
    """The labels of one article. ``id`` is ``corpus:path/in/the/corpus``; ``sha256`` is ``text_hash`` of its text.

    Train records carry ``confidence`` (1 torn to 3 clear) and ``round``; test records carry the two independent
    readings. What a record does not carry is None.
    """

    id: str
    source: str
    sha256: str
    topics: tuple[str, ...]
    actors: tuple[str, ...]
    confidence: int | None = None
    round: int | None = None
    annotator_a: tuple[str, ...] | None = None
    annotator_b: tuple[str, ...] | None = None


def read_gold(path: Path, taxonomy: Taxonomy | None = None) -> tuple[GoldRecord, ...]:
    """Read one stand-off file in file order; ``taxonomy`` None means the packaged scheme.

    Raises:
        WusumError: the file cannot be read, or a row breaks the format (``path:line:field: ...``).

    Example:
        >>> len(read_gold(GOLD_FOLDER / "test.jsonl"))
        250
    """
    scheme = load_taxonomy() if taxonomy is None else taxonomy
    records: list[GoldRecord] = []
    lines: dict[str, int] = {}
    for number, row in rows(path):
        for fault in _faults(row, scheme):
            raise WusumError(f"{path}:{number}:{fault}")
        record = _record(row)
        if record.id in lines:
            already = f"{record.id!r} stands in line {lines[record.id]} already"
            raise WusumError(f"{path}:{number}:id: {already}, expected once; remove one")
        lines[record.id] = number
        records.append(record)
    return tuple(records)


def _faults(row: Row, scheme: Taxonomy) -> Iterator[str]:
    for field in ("id", "source", "sha256"):
        yield from text_faults(row, field)
    if not _HASH.fullmatch(str(row.get("sha256"))):
        yield "sha256: expected 64 lower-case hex digits; compute it with wusum.labels.text_hash"
    yield from label_faults(row, "topics", scheme, "topic")
    yield from label_faults(row, "actors", scheme, "actor")
    for field in ("confidence", "round"):
        yield from number_faults(row, field)
    for field in ("annotator_a", "annotator_b"):
        if field in row:
            yield from label_faults(row, field, scheme, None)


def _record(row: Row) -> GoldRecord:
    return GoldRecord(
        id=str(row["id"]),
        source=str(row["source"]),
        sha256=str(row["sha256"]),
        topics=_ids(row, "topics") or (),
        actors=_ids(row, "actors") or (),
        confidence=cast("int | None", row.get("confidence")),
        round=cast("int | None", row.get("round")),
        annotator_a=_ids(row, "annotator_a"),
        annotator_b=_ids(row, "annotator_b"),
    )


def _ids(row: Row, field: str) -> tuple[str, ...] | None:
    return tuple(cast("list[str]", row[field])) if field in row else None
