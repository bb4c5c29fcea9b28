"""A progress bar for what takes longer than two seconds, where a person watches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")

_QUIET_SECONDS = 2.0


def watched(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """Pass items on; after two seconds, where standard error is a terminal, a bar shows how far it is.

    Example:
        >>> list(watched([1, 2], 2, "counting"))
        [1, 2]
    """
    from rich.console import Console
    from rich.progress import Progress

    console, start = Console(stderr=True), time.monotonic()
    bar = Progress(console=console, transient=True)
    task = bar.add_task(what, total=total)
    try:
        for item in items:
            yield item
            bar.advance(task)
            if console.is_terminal and not bar.live.is_started and time.monotonic() - start > _QUIET_SECONDS:
                bar.start()
    finally:
        bar.stop()
