"""From the paths on a command line to the inputs behind them: files, the texts below folders, standard input."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from ..labels.errors import WusumError

STDIN = "-"
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson", ".json")
# What a folder gives, by preference: beside texts, a .jsonl file holds expectations or notes, not articles.
_FOLDER_SUFFIXES = (".txt", ".jsonl")


def shown(path: str) -> str:
    r"""Return a path as a message shows it: one line, without anything that steers a terminal.

    Example:
        >>> shown("a\nb.txt")
        'a\\nb.txt'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in _as_text(path)) or "''"


def _as_text(path: str) -> str:
    # A file name is bytes; those that are no UTF-8 stand in a str as lone surrogates, which no encoder takes.
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True)
class Source:
    """One input: a file, or standard input when ``path`` is ``-``."""

    path: str

    @property
    def where(self) -> str:
        """The name that messages give it."""
        return "<stdin>" if self.path == STDIN else shown(self.path)

    @property
    def key(self) -> str:
        """The name that the output gives it."""
        return _as_text(self.path)

    @property
    def json_lines(self) -> bool | None:
        """Whether it holds one article a line; None when only its content can tell."""
        suffix = os.path.splitext(self.path)[1].lower()
        if suffix in JSON_LINES_SUFFIXES:
            return True
        return False if suffix == ".txt" else None

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading bytes; raises OSError."""
        if "\0" in self.path:
            raise OSError("a NUL in its name")
        if self.path != STDIN:
            return open(self.path, "rb")
        if sys.stdin is None:
            raise OSError("standard input is closed")
        return nullcontext(sys.stdin.buffer)


def find_sources(paths: Iterable[str], leave_out: str | None = None) -> Iterator[Source | WusumError]:
    """Yield the inputs behind ``paths`` in order; a fault stands as a value in the place of the input it costs.

    A folder gives every ``.txt`` file below it in the order of names or, where there is none, every ``.jsonl`` file.
    Names that begin with a dot are passed over, and so is the file ``leave_out``, the output of this very run.

    Example:
        >>> [source.path for source in find_sources(["-"])]
        ['-']
    """
    for path in paths:
        if os.path.isdir(path):
            yield from _in_folder(path, leave_out)
        else:
            yield Source(path)


def _in_folder(folder: str, leave_out: str | None) -> Iterator[Source | WusumError]:
    for suffix in _FOLDER_SUFFIXES:
        found = False
        for item in _files_below(folder, suffix, leave_out):
            found = found or isinstance(item, Source)
            if isinstance(item, Source) or suffix == _FOLDER_SUFFIXES[0]:  # a second look finds the same faults
                yield item
        if found:
            return
    yield WusumError(f"{shown(folder)}: nothing to tag; expected .txt or .jsonl files in it; name others one by one")


def _files_below(folder: str, suffix: str, leave_out: str | None) -> Iterator[Source | WusumError]:
    waiting = [folder]  # a stack of our own: a tree may be deeper than Python may recurse
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as entries:
                listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError as fault:
            yield cannot_read(current, fault)
            continue
        waiting.extend(entry.path for entry in reversed(listed) if entry.is_dir(follow_symlinks=False))
        for entry in listed:
            if entry.name.lower().endswith(suffix) and not entry.is_dir() and not _same(entry.path, leave_out):
                yield Source(entry.path)


def _same(path: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(path) == os.path.realpath(other)


def cannot_read(path: str, fault: OSError) -> WusumError:
    """Return the fault of a path that cannot be opened or read, with the nearest existing name when it is missing."""
    name = "<stdin>" if path == STDIN else shown(path)
    if isinstance(fault, FileNotFoundError):
        return WusumError(f"{name}: no such file or folder; {_advice(path)}")
    if isinstance(fault, PermissionError):
        return WusumError(f"{name}: no permission to read it; expected a readable file; change its mode or owner")
    return WusumError(f"{name}: cannot be read ({fault.strerror or fault}); expected a readable file; check the path")


def _advice(path: str) -> str:
    parent, name = os.path.split(path.rstrip(os.sep))
    try:
        near = difflib.get_close_matches(name, os.listdir(parent or os.curdir), n=1)
    except OSError:
        return f"the folder {shown(parent)} does not exist either; check the path"
    if near:
        return f"did you mean {shown(os.path.join(parent, near[0]))}?"
    return "expected a file, a folder or -; check the path"
