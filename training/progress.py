"""A progress bar for what takes longer than two seconds, where a person watches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")

_QUIET_SECONDS = 2.0


class Bar:
    """A bar that appears after two seconds, where standard error is a terminal.

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
        self._start = time.monotonic()
        self._bar = Progress(console=console, transient=True)
        self._task = self._bar.add_task(what, total=total, completed=done)

    def advance(self) -> None:
        """Count one step."""
        self._bar.advance(self._task)
        if self._watched and not self._bar.live.is_started and time.monotonic() - self._start > _QUIET_SECONDS:
            self._bar.start()

    def close(self) -> None:
        """Wipe the bar."""
        if self._bar.live.is_started:  # stopping one that never ran prints an empty line
            self._bar.stop()


def watched(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """Pass items on; after two seconds, where standard error is a terminal, a bar shows how far it is.

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
