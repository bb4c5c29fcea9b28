"""The texts of a corpus, one at a time, from the layouts in which corpora are handed out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import WusumError
from .jsonl import JSONL_SUFFIXES, rows, text_faults

_TITLE = re.compile(r"<TITLE>(.*?)</TITLE>", re.DOTALL)
_TEXT = re.compile(r"<TEXT>(.*?)(?:</TEXT>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class SourceText:
    """A text as a source gives it. ``name`` is the row's id, or ``folder/file.txt`` for a text file."""

    name: str
    title: str | None
    text: str


def read_source(path: Path) -> Iterator[SourceText]:
    """Yield every text of a source, in a fixed order.

    A source is a JSON Lines file (``id``, ``text``, optional ``title``; plain, .gz or .xz), a text file with one
    article, or a folder that holds such files at any depth. A text file that begins with ``<DOC>`` is read as TREC
    markup. Rows without text are passed over.

    Raises:
        WusumError: the source is missing, holds no such file, or a row of it is not what is expected.
    """
    if not path.exists():
        raise WusumError(f"{path}: no such file or folder, expected a corpus folder or a .jsonl file; check the path")
    if not path.is_dir():
        yield from _read_file(path)
        return
    empty = True
    for file in _walk(path):
        empty = False
        yield from _read_file(file)
    if empty:
        raise WusumError(f"{path}: holds no .txt or .jsonl file, expected a corpus folder; check the path")


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.endswith((".txt", *JSONL_SUFFIXES)):
                yield Path(parent, name)


def _read_file(path: Path) -> Iterator[SourceText]:
    if path.name.endswith(JSONL_SUFFIXES):
        yield from _read_jsonl(path)
    elif path.suffix == ".txt":
        yield _read_text(path)
    else:
        raise WusumError(f"{path}: expected a folder, a .txt file or a .jsonl file (.gz and .xz too); convert the file")


def _read_jsonl(path: Path) -> Iterator[SourceText]:
    for number, row in rows(path):
        optional = (fault for field in ("title", "text") for fault in text_faults(row, field, optional=True))
        faults = [*text_faults(row, "id"), *optional]
        if faults:
            raise WusumError(f"{path}:{number}:{faults[0]}")
        text, title = row.get("text"), row.get("title")
        # Corpora hold items that are a headline only.
        if text:
            yield SourceText(str(row["id"]), str(title) if title else None, str(text))


def _read_text(path: Path) -> SourceText:
    name = f"{path.absolute().parent.name}/{path.name}"
    try:
        # A file in another encoding must not end a long run: its fingerprint will differ, and the report names it.
        content = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise WusumError(f"{path}: cannot read: {error.strerror}; expected a readable text file") from error
    if not content.lstrip().startswith("<DOC>"):
        return SourceText(name, None, _tidy(content))
    # The markup is not XML: texts hold bare < and &.
    title, text = _TITLE.search(content), _TEXT.search(content)
    return SourceText(name, (_tidy(title[1]) or None) if title else None, _tidy(text[1]) if text else "")


def _tidy(text: str) -> str:
    """Return the lines without surplus blanks, so that every layout of a corpus gives the same characters."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
