"""Where tags go: rows of output, and JSON lines into a pipe."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..labels.errors import WusumError
from .prediction import Prediction
from .record import Record
from .rejected import shown

Row = dict[str, Any]


class Writer(Protocol):
    """Takes tagged articles one by one."""

    def write(self, record: Record, prediction: Prediction) -> None:
        """Write one article's tags."""


def to_row(record: Record, prediction: Prediction) -> Row:
    """Return a row of output: the article's id or path, or the input's own columns, then the tags.

    Example:
        >>> from .rejected import Place
        >>> to_row(Record("...", {"path": "a.txt"}, Place("a.txt")), Prediction((), (), {}))
        {'path': 'a.txt', 'topics': [], 'actors': [], 'scores': {}, 'notes': []}
    """
    tags = {name: value for name, value in prediction.to_dict().items() if name != "id"}
    return {**(record.key if record.columns is None else record.columns), **tags}


def to_line(row: Mapping[str, Any]) -> bytes:
    r"""Return a row as one line of JSON in UTF-8.

    What JSON does not know becomes text (times, decimals) or null (infinities and what is no number).

    Example:
        >>> to_line({"path": "a.txt", "topics": []})
        b'{"path": "a.txt", "topics": []}\n'
    """
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        text = json.dumps(_finite(row), ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        return (text + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair in a column that is kept
        return (json.dumps(json.loads(text)) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    as_py = getattr(value, "as_py", None)  # a value of Arrow's
    if as_py is None:
        return str(value)
    try:
        found = as_py()
    except ValueError:  # a time in nanoseconds
        return str(value)
    return _finite(found) if isinstance(found, float | list | dict) else found


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


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
        line = to_line(to_row(record, prediction))
        try:
            self._stream.write(line)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as fault:
            raise cannot_write(self._where, fault) from fault


def check_output(path: Path) -> None:
    """Refuse, before any work, an output that is no place for a file.

    Raises:
        WusumError: the path is a folder or a device, or lies in no folder.
    """
    name = shown(str(path))
    if path.is_dir():
        raise WusumError(f"{name}: is a folder; expected a file name; try {name.rstrip('/')}/tags.jsonl")
    if path.exists() and not path.is_file():
        raise WusumError(f"{name}: is no ordinary file; expected a file name; leave -o away and redirect with >")
    parent = path.resolve().parent
    if not parent.is_dir():
        raise WusumError(f"{name}: the folder {shown(str(parent))} does not exist; expected one; create it first")


def cannot_write(where: str, fault: OSError, advice: str = "free some space or write elsewhere") -> WusumError:
    """Return the fault of an output that takes no more."""
    return WusumError(f"{where}: cannot be written ({fault.strerror or fault}); {advice}")
