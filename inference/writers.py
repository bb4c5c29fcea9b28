"""Where tags go: JSON lines into a pipe or a file, and the file that appears only when it is complete."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from ..labels.errors import WusumError
from .prediction import Prediction
from .readers import Record
from .sources import shown


class Writer(Protocol):
    """Takes tagged articles one by one."""

    def write(self, record: Record, prediction: Prediction) -> None:
        """Write one article's tags."""


def to_line(record: Record, prediction: Prediction) -> bytes:
    r"""Return one line of JSON in UTF-8: the article's id or path, then topics, actors, scores and notes.

    Example:
        >>> to_line(Record("...", {"path": "a.txt"}, "a.txt"), Prediction((), (), {}))
        b'{"path": "a.txt", "topics": [], "actors": [], "scores": {}, "notes": []}\n'
    """
    tags = {name: value for name, value in prediction.to_dict().items() if name != "id"}
    return (json.dumps({**record.key, **tags}, ensure_ascii=False) + "\n").encode()


def standard_output() -> BinaryIO:
    """Return standard output as bytes: JSON lines are UTF-8 whatever the locale says."""
    if sys.stdout is None:
        raise WusumError("standard output is closed; expected a terminal, a pipe or a file; name a file with -o")
    return sys.stdout.buffer


class JsonLinesWriter:
    """Writes JSON lines to a stream, each at once, so that a reader at the other end need not wait.

    Example:
        >>> with_tags = JsonLinesWriter(standard_output(), "standard output")  # doctest: +SKIP
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        """``where`` names the stream in messages."""
        self._stream = stream
        self._where = where

    def write(self, record: Record, prediction: Prediction) -> None:
        """Write one line; raises WusumError when it cannot be written, BrokenPipeError when nobody reads on."""
        line = to_line(record, prediction)
        try:
            self._stream.write(line)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as fault:
            raise _cannot_write(self._where, fault) from fault


class OutputFile:
    """A file of JSON lines that stands under its name only when complete; until then it is a hidden one beside it.

    Left by an exception, or without a line written, it leaves nothing behind and an older file as it was.

    Example:
        >>> with OutputFile(Path("tags.jsonl")) as output:  # doctest: +SKIP
        ...     output.write(record, prediction)
    """

    def __init__(self, path: Path) -> None:
        """Open the hidden file; a link is followed, so that its target is what gets replaced."""
        self._where = shown(str(path))
        self._target = Path(os.path.realpath(path))
        self._hidden = self._target.with_name(f".wusum-{secrets.token_hex(6)}.tmp")
        self._empty = True
        try:
            self._stream = self._hidden.open("xb")
        except OSError as fault:
            raise _cannot_write(self._where, fault) from fault

    def write(self, record: Record, prediction: Prediction) -> None:
        """Write one line; raises WusumError when the disk refuses."""
        line = to_line(record, prediction)
        try:
            self._stream.write(line)
        except OSError as fault:
            raise _cannot_write(self._where, fault) from fault
        self._empty = False

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the file in its place, or remove it."""
        try:
            self._stream.close()
            if kind is None and not self._empty:
                self._hidden.replace(self._target)
        except OSError as error:
            raise _cannot_write(self._where, error) from error
        finally:
            self._hidden.unlink(missing_ok=True)


def check_output(path: Path, force: bool) -> None:
    """Refuse, before any work, an output that is no place for a file or that would be overwritten unasked.

    Raises:
        WusumError: the path is a folder or a device, lies in no folder, or exists and ``force`` is not set.
    """
    name = shown(str(path))
    if path.is_dir():
        raise WusumError(f"{name}: is a folder; expected a file name; try {name.rstrip('/')}/tags.jsonl")
    if path.exists() and not path.is_file():
        raise WusumError(f"{name}: is no ordinary file; expected a file name; leave -o away and redirect with >")
    if path.exists() and not force:
        raise WusumError(f"{name}: exists already; expected a new file; choose another name or add --force")
    parent = Path(os.path.realpath(path)).parent
    if not parent.is_dir():
        raise WusumError(f"{name}: the folder {shown(str(parent))} does not exist; expected one; create it first")


def _cannot_write(where: str, fault: OSError) -> WusumError:
    return WusumError(f"{where}: cannot be written ({fault.strerror or fault}); free some space or write elsewhere")
