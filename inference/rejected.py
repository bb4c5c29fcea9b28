"""Places in the input, and what is not tagged: its place and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ..labels.errors import WusumError

STDIN = "-"


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
class Place:
    """A file, or a line (a row of a Parquet file) in it; as a string, what messages call it.

    Example:
        >>> str(Place("-", 7)), Place("-", 7).key
        ('<stdin>:7', '-:7')
    """

    path: str
    line: int | None = None

    @property
    def file(self) -> str:
        """The name that the output gives the file."""
        return _as_text(self.path)

    @property
    def key(self) -> str:
        """The name that the output gives an article without an id."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        """Return the name that messages give it."""
        file = "<stdin>" if self.path == STDIN else shown(self.path)
        return file if self.line is None else f"{file}:{self.line}"


class Rejected(WusumError):  # noqa: N818 (more often a value in a stream than raised)
    """An input, or one article of it, that cannot be tagged; it is told and costs no other.

    Attributes:
        place: where it stands.
        reason: what is wrong, what was expected and what to do, with the field in front where one is to blame.

    Example:
        >>> str(Rejected(Place("a.jsonl", 3), "is a number; expected a string; mend it", "text"))
        'a.jsonl:3:text: is a number; expected a string; mend it'
    """

    def __init__(self, place: Place, reason: str, field: str | None = None) -> None:
        """Take the place, the words, and the name of the field."""
        super().__init__(f"{place}:{field}: {reason}" if field else f"{place}: {reason}")
        self.place = place
        self.reason = f"{field}: {reason}" if field else reason

    def bare(self) -> Self:
        """Return itself without its history, which would hold the article in memory."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self

    def to_dict(self) -> dict[str, str | int | None]:
        """Return its row in the file of rejected inputs; ``line`` is the row in a Parquet file, null for a whole file.

        Example:
            >>> Rejected(Place("a.txt"), "empty").to_dict()
            {'file': 'a.txt', 'line': None, 'reason': 'empty'}
        """
        return {"file": self.place.file, "line": self.place.line, "reason": self.reason}
