"""Rationales: which sentences of a labelled article carry each of its labels, as places in its text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from .errors import WusumError
from .fingerprint import text_hash
from .jsonl import Row, rows, text_faults
from .standoff import GOLD_FOLDER
from .taxonomy import Taxonomy, load_taxonomy

RATIONALES: Final = GOLD_FOLDER / "rationales.jsonl"
_FIELDS = ("title", "text")


@dataclass(frozen=True)
class Rationale:
    """What one reader saw in one article.

    Attributes:
        id: the article's.
        sha256: ``text_hash`` of its text.
        sentences: field, start and end of each sentence, in :func:`one_spaced` of the field.
        carried: for a label the places in ``sentences`` of all that carry it, each of them alone.
        together: for a label that no sentence carries alone, those that do together.
        doubtful: labels about which reader and annotation differ; nothing is said of them.
    """

    id: str
    sha256: str
    sentences: tuple[tuple[str, int, int], ...]
    carried: Mapping[str, frozenset[int]]
    together: Mapping[str, frozenset[int]]
    doubtful: frozenset[str]

    def texts(self, title: str | None, text: str) -> tuple[str, ...]:
        """Return the sentences of the article whose headline and text are given.

        Raises:
            WusumError: the text is not the one that was read.
        """
        if text_hash(text) != self.sha256:
            told = "its text is not the one whose sentences were marked; join the labels with the corpora anew"
            raise WusumError(f"{self.id}: {told}")
        fields = {"title": one_spaced(title or ""), "text": one_spaced(text)}
        return tuple(fields[field][start:end] for field, start, end in self.sentences)


def one_spaced(text: str) -> str:
    r"""Return a text in NFC with one space for every run of white space: what ``text_hash`` fingerprints.

    Copies of a corpus differ in white space, so places in their raw text would not be the same.

    Example:
        >>> one_spaced("بيان  رسمي\n")
        'بيان رسمي'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_rationales(path: Path = RATIONALES, taxonomy: Taxonomy | None = None) -> tuple[Rationale, ...]:
    """Read the rationales in file order; ``taxonomy`` None means the packaged scheme.

    Raises:
        WusumError: the file cannot be read, or a row breaks the format (``path:line:field: ...``).

    Example:
        >>> read_rationales()[0].sentences[0][1]
        0
    """
    scheme = load_taxonomy() if taxonomy is None else taxonomy
    found = []
    for number, row in rows(path):
        for fault in _faults(row, scheme):
            raise WusumError(f"{path}:{number}:{fault}")
        found.append(_rationale(row))
    return tuple(found)


def _faults(row: Row, scheme: Taxonomy) -> Iterator[str]:
    for field in ("id", "sha256"):
        yield from text_faults(row, field)
    sentences = row.get("sentences")
    if not isinstance(sentences, list) or not all(_is_place(place) for place in sentences):
        yield 'sentences: expected a list such as [["text", 0, 41]] of field, start and end; mend the field'
        return
    for field in ("carried", "together"):
        yield from _number_faults(row, field, scheme, len(sentences))
    doubtful = row.get("doubtful", [])
    for label in doubtful if isinstance(doubtful, list) else [None]:
        if not isinstance(label, str):
            yield "doubtful: expected a list of label ids; mend the field"
        elif label not in scheme:
            yield f"doubtful: {scheme.unknown(label)}"


def _number_faults(row: Row, field: str, scheme: Taxonomy, sentences: int) -> Iterator[str]:
    numbers = row.get(field, {})
    if not isinstance(numbers, dict):
        yield f"{field}: expected an object of label ids and sentence numbers; mend the field"
        return
    for label, given in numbers.items():
        if label not in scheme:
            yield f"{field}: {scheme.unknown(label)}"
        elif not isinstance(given, list) or not all(type(n) is int and 0 <= n < sentences for n in given):
            yield f"{field}:{label}: {given!r}, expected numbers from 0 to {sentences - 1}; mend them"


def _is_place(place: object) -> bool:
    if not isinstance(place, list) or len(place) != 3:
        return False
    field, start, end = place
    return field in _FIELDS and type(start) is int and type(end) is int and 0 <= start < end


def _rationale(row: Row) -> Rationale:
    sentences = tuple((field, start, end) for field, start, end in cast("list[tuple[str, int, int]]", row["sentences"]))
    doubtful = frozenset(cast("list[str]", row.get("doubtful", [])))
    carried, together = _numbers(row, "carried"), _numbers(row, "together")
    return Rationale(str(row["id"]), str(row["sha256"]), sentences, carried, together, doubtful)


def _numbers(row: Row, field: str) -> dict[str, frozenset[int]]:
    return {label: frozenset(given) for label, given in cast("dict[str, list[int]]", row.get(field, {})).items()}
