"""Counts what was tagged and what was not, tells every fault, and shows progress while it takes long."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..labels.errors import WusumError
from .readers import Record
from .sources import shown

if TYPE_CHECKING:
    from rich.status import Status

_QUIET_SECONDS = 2.0


class Tally:
    """The count of a run and its voice on standard error.

    Progress shows only where a person watches: standard error is a terminal, the tags go elsewhere (``watched``), and
    two seconds have passed.

    Example:
        >>> with Tally(watched=False) as tally:
        ...     tally.add_tagged()
        ...     tally.exit_code()
        0
    """

    def __init__(self, watched: bool) -> None:
        """``watched`` says whether standard error is free for a moving line."""
        self.tagged = 0
        self.rejected = 0
        self._watched = watched
        self._start = time.monotonic()
        self._status: Status | None = None

    def add_tagged(self) -> None:
        """Count one tagged article."""
        self.tagged += 1
        self._show()

    def reject(self, fault: WusumError) -> None:
        """Count one rejected input and tell why, on one line."""
        self.rejected += 1
        self._pause()
        say(str(fault))
        self._show()

    def accepted(self, items: Iterable[Record | WusumError]) -> Iterator[Record]:
        """Yield the articles among ``items`` and reject the faults."""
        for item in items:
            if isinstance(item, WusumError):
                self.reject(item)
            else:
                yield item

    def exit_code(self) -> int:
        """Return 0 when all was tagged, 1 when some was, 2 when nothing was; in the last two cases tell the counts."""
        self._pause()
        if not self.rejected and self.tagged:
            return 0
        say(f"{self.rejected} of {self.rejected + self.tagged} inputs rejected, {self.tagged} tagged")
        return 1 if self.tagged else 2

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the moving line."""
        self._pause()

    def _show(self) -> None:
        elapsed = time.monotonic() - self._start
        if not self._watched or elapsed < _QUIET_SECONDS:
            return
        text = f"{self.tagged:,} tagged, {self.rejected:,} rejected, {self.tagged / elapsed:.1f} a second"
        if self._status is None:
            from rich.console import Console
            from rich.status import Status

            self._status = Status(text, console=Console(stderr=True))
            self._status.start()
        else:
            self._status.update(text)

    def _pause(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def say(message: str) -> None:
    """Write one line to standard error; nobody listening is no reason to stop."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"wusum: {shown(message)}\n")
            sys.stderr.flush()
