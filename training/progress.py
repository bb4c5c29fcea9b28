"""Progress of what takes longer than two seconds: a bar where a person watches, a line a minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ..inference.progress import say

_Item = TypeVar("_Item")

_QUIET_SECONDS = 2.0
_LOG_SECONDS = 60.0
_COUNT_SECONDS = 5.0


class Bar:
    """A bar that appears after two seconds where standard error is a terminal; a line a minute where it is not.

    Example:
        >>> bar = Bar(2, "counting")
        >>> bar.advance()
        >>> bar.close()
    """

    def __init__(self, total: int, what: str, done: int = 0) -> None:
        """Take the number of steps, what they do, and how many of them are done already."""
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._watched = console.is_terminal
        self._start = self._logged = time.monotonic()
        self._what, self._total, self._done, self._before = what, total, done, done
        self._bar = Progress(console=console, transient=True)
        self._task = self._bar.add_task(what, total=total, completed=done)

    def advance(self) -> None:
        """Count one step."""
        self._done += 1
        self._bar.advance(self._task)
        now = time.monotonic()
        if self._watched:
            if not self._bar.live.is_started and now - self._start > _QUIET_SECONDS:
                self._bar.start()
        elif now - self._logged >= _LOG_SECONDS:
            self._logged = now
            left = (now - self._start) / (self._done - self._before) * (self._total - self._done)
            say(f"{self._what}: {self._done:,} of {self._total:,}, about {max(left, 0) / 60:.0f} minutes left")

    def close(self) -> None:
        """Wipe the bar."""
        if self._bar.live.is_started:  # stopping one that never ran prints an empty line
            self._bar.stop()


def counted(items: Iterable[_Item], what: str) -> Iterator[_Item]:
    """Pass items on whose number is not known, and say from time to time how many there were.

    Example:
        >>> list(counted("ab", "letters"))
        ['a', 'b']
    """
    logged = time.monotonic()
    for number, item in enumerate(items, 1):
        if (now := time.monotonic()) - logged >= _COUNT_SECONDS:
            logged = now
            say(f"{what}: {number:,}")
        yield item


def watched(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """Pass items on and show how far it is, as :class:`Bar` does.

    Example:
        >>> list(watched([1, 2], 2, "counting"))
        [1, 2]
    """
    bar = Bar(total, what)
    try:
        for item in items:
            yield item
            bar.advance()
    finally:
        bar.close()
