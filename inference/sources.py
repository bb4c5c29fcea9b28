"""From the paths on a command line to the inputs behind them: files, patterns, folders, standard input."""

from __future__ import annotations

import difflib
import glob
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from .formats import InputForm, input_form, split_name
from .rejected import STDIN, Place, Rejected, shown

REJECTED_SUFFIX = ".rejected.jsonl"
PART_SUFFIX, NEW_SUFFIX, JOURNAL_SUFFIX, LOCK_SUFFIX = ".part", ".new", ".journal", ".lock"
# What a run has beside its output: a pattern that takes in the folder must not give the run itself as an input.
_OWN_SUFFIXES = (
    *("", PART_SUFFIX, NEW_SUFFIX, JOURNAL_SUFFIX, JOURNAL_SUFFIX + NEW_SUFFIX, LOCK_SUFFIX),
    *(REJECTED_SUFFIX, REJECTED_SUFFIX + PART_SUFFIX),
)
# What a folder gives, by preference: beside texts, a table holds expectations or notes, not articles.
_FOLDER_FORMS: tuple[Collection[InputForm], ...] = (("text", "html"), ("jsonl", "csv", "tsv", "parquet"))


@dataclass
class Source:
    """One input.

    Attributes:
        path: of a file; ``-`` for standard input.
        otherwise: what it holds where its name does not tell; None when its content is to tell.
        taken: how many of its bytes were read so far, for progress.

    Example:
        >>> Source("page.html").form, Source("-", otherwise="csv").form
        ('html', 'csv')
    """

    path: str
    otherwise: InputForm | None = None
    taken: int = 0

    @property
    def place(self) -> Place:
        """Its place: the whole file."""
        return Place(self.path)

    @property
    def form(self) -> InputForm | None:
        """What it holds; None when only its content can tell."""
        return (None if self.path == STDIN else input_form(self.path)) or self.otherwise

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading bytes; raises OSError."""
        if "\0" in self.path:
            raise OSError("a NUL in its name")
        if self.path != STDIN:
            return open(self.path, "rb")
        if sys.stdin is None:
            raise OSError("standard input is closed")
        return nullcontext(sys.stdin.buffer)


def find_sources(
    paths: Iterable[str], leave_out: str | None = None, otherwise: InputForm | None = None
) -> Iterator[Source | Rejected]:
    """Yield the inputs behind ``paths`` in order; a fault stands as a value in the place of the input it costs.

    A folder gives every page below it (``.txt``, ``.html``, ``.htm``) in the order of names or, where there is none,
    every table (``.jsonl``, ``.csv``, ``.tsv``, ``.parquet``); ``.gz`` and ``.zst`` may follow. Names that begin with a
    dot are passed over, and so are lists of rejected inputs and all that belongs to ``leave_out``, the output of this
    very run. A path with ``*``, ``?`` or ``[`` that names no file gives what it matches, in the order of
    names.

    Example:
        >>> [source.path for source in find_sources(["-"])]
        ['-']
    """
    own = frozenset(() if leave_out is None else (os.path.realpath(leave_out) + suffix for suffix in _OWN_SUFFIXES))
    for path in paths:
        if os.path.isdir(path):
            yield from _in_folder(path, own)
        elif path != STDIN and glob.has_magic(path) and not os.path.lexists(path):
            yield from _matching(path, own, otherwise)
        else:
            yield Source(path, otherwise)


def _matching(pattern: str, own: Collection[str], otherwise: InputForm | None) -> Iterator[Source | Rejected]:
    found = False
    for path in sorted(glob.iglob(pattern, recursive=True)):
        if os.path.isfile(path) and not path.endswith(REJECTED_SUFFIX) and not _is_own(path, own):
            found = True
            yield Source(path, otherwise)
    if not found:
        yield Rejected(Place(pattern), "no file matches; expected one at least; check the pattern")


def _in_folder(folder: str, own: Collection[str]) -> Iterator[Source | Rejected]:
    for forms in _FOLDER_FORMS:
        found = False
        for item in _files_below(folder, forms, own):
            found = found or isinstance(item, Source)
            if isinstance(item, Source) or forms == _FOLDER_FORMS[0]:  # a second look finds the same faults
                yield item
        if found:
            return
    expected = "expected .txt, .html, .jsonl, .csv or .parquet files in it"
    yield Rejected(Place(folder), f"nothing to tag; {expected}; name others one by one")


def _files_below(folder: str, forms: Collection[InputForm], own: Collection[str]) -> Iterator[Source | Rejected]:
    waiting = [folder]  # a stack of our own: a tree may be deeper than Python may recurse
    while waiting:
        current = waiting.pop()
        folders, files = [], []  # names only: a folder may hold a million files
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif _is_wanted(entry.name, forms) and not entry.is_dir():
                        files.append(entry.name)
        except OSError as fault:
            yield cannot_read(current, fault)
            continue
        waiting.extend(os.path.join(current, name) for name in sorted(folders, reverse=True))
        for path in (os.path.join(current, name) for name in sorted(files)):
            if not _is_own(path, own):
                yield Source(path)


def _is_wanted(name: str, forms: Collection[InputForm]) -> bool:
    # A .json is as likely a setting as a list of articles: it is read where it is named.
    return input_form(name) in forms and split_name(name)[0] != ".json" and not name.endswith(REJECTED_SUFFIX)


def _is_own(path: str, own: Collection[str]) -> bool:
    return bool(own) and os.path.realpath(path) in own


def cannot_read(path: str, fault: OSError) -> Rejected:
    """Return the fault of a path that cannot be opened or read, with the nearest existing name when it is missing."""
    place = Place(path)
    if isinstance(fault, FileNotFoundError):
        return Rejected(place, f"no such file or folder; {_advice(path)}")
    if isinstance(fault, PermissionError):
        return Rejected(place, "no permission to read it; expected a readable file; change its mode or owner")
    reason = fault.strerror or fault
    return Rejected(place, f"cannot be read ({reason}); expected a readable file; check the path")


def _advice(path: str) -> str:
    parent, name = os.path.split(path.rstrip(os.sep))
    try:
        near = difflib.get_close_matches(name, os.listdir(parent or os.curdir), n=1)
    except OSError:
        return f"the folder {shown(parent)} does not exist either; check the path"
    if near:
        return f"did you mean {shown(os.path.join(parent, near[0]))}?"
    return "expected a file, a folder or -; check the path"


def file_size(path: str) -> int:
    """Return the size of a file; 0 of what has none, or is not there."""
    try:
        return 0 if path == STDIN else os.stat(path).st_size
    except (OSError, ValueError):
        return 0
