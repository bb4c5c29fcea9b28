"""Counts what was tagged and what was not, tells the first faults, and shows progress while it takes long."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from .rejected import Rejected, shown

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_QUIET_SECONDS = 2.0
_LOG_SECONDS = 60.0
_MOST_TOLD = 20

Show = Literal["bar", "log", "nothing"]


class Tally:
    """The count of a run and its voice on standard error.

    Progress is a bar on a terminal, after two seconds, and a line a minute where standard error goes elsewhere.

    Example:
        >>> with Tally("nothing") as tally:
        ...     tally.add_tagged()
        ...     tally.exit_code()
        0
    """

    def __init__(self, show: Show) -> None:
        """Take the form of progress."""
        self.tagged = 0
        self.rejected = 0
        self._before = 0
        self._told = 0
        self._show = show
        self._start = self._logged = time.monotonic()
        self._taken: Callable[[], int] = lambda: 0
        self._first: tuple[float, int] | None = None
        self._total = 0
        self._bar: tuple[Progress, TaskID] | None = None

    def begin(self, tagged: int, rejected: int, taken: Callable[[], int], total: int) -> None:
        """Take what an earlier run has counted, and tell the time left by the bytes of input read so far.

        Args:
            tagged: articles that are tagged already.
            rejected: inputs that are rejected already.
            taken: gives the bytes read so far.
            total: the bytes that there are.
        """
        self.tagged = self._before = tagged
        self.rejected = rejected
        self._taken, self._total = taken, total

    def add_tagged(self) -> None:
        """Count one tagged article."""
        self.tagged += 1
        self._progress()

    def reject(self, fault: Rejected) -> None:
        """Count one rejected input; tell why, on one line, if not many were told before."""
        self.rejected += 1
        if self._told <= _MOST_TOLD:
            self._pause()
            say(str(fault) if self._told < _MOST_TOLD else "more were rejected; from here on they are only counted")
            self._told += 1
        self._progress()

    def exit_code(self, rejected_list: str | None = None, always: bool = False) -> int:
        """Return 0 when all was tagged, 1 when some was, 2 when nothing was, and tell the counts.

        Args:
            rejected_list: where all reasons stand.
            always: tell them even when all was tagged.
        """
        self._pause()
        code = 2 if not self.tagged else 1 if self.rejected else 0
        if code or always:
            counts = f"{self.rejected} of {self.rejected + self.tagged} inputs rejected, {self.tagged} tagged"
            say(f"{counts}; reasons in {rejected_list}" if rejected_list and self.rejected else counts)
        return code

    def prepare(self, count: int, what: str) -> None:
        """Show on a terminal how far it is with what comes before the tagging."""
        if count % 1000 == 0:
            self.note(f"{count:,} {what}")

    def note(self, text: str) -> None:
        """Show on a terminal what is being done."""
        if self._show == "bar":
            self._update(text)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the bar."""
        self._pause()

    def _progress(self) -> None:
        now, taken = time.monotonic(), self._taken()
        self._first = self._first or (now, taken)
        if self._show == "nothing" or now - self._start < _QUIET_SECONDS:
            return
        if self._show == "log" and now - self._logged < _LOG_SECONDS:
            return
        self._logged = now
        rate = (self.tagged - self._before) / max(now - self._start, 1e-9)
        text = f"{self.tagged:,} tagged, {self.rejected:,} rejected, {rate:.1f} a second"
        if taken > self._first[1] and self._total:
            left = (now - self._first[0]) * (self._total - taken) / (taken - self._first[1])
            text += f", about {_duration(max(0.0, left))} left"
        self._update(text, taken)

    def _update(self, text: str, taken: int | None = None) -> None:
        if self._show == "log":
            say(text)
        if self._show != "bar" or time.monotonic() - self._start < _QUIET_SECONDS:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

            columns = (SpinnerColumn(), BarColumn(20), TextColumn("{task.description}", markup=False))
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar = bar, bar.add_task("", total=None)
            bar.start()
        bar, task = self._bar
        bar.update(task, description=text, completed=taken, total=self._total or None)

    def _pause(self) -> None:
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"


def say(message: str) -> None:
    """Write one line to standard error; nobody listening is no reason to stop."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"wusum: {shown(message)}\n")
            sys.stderr.flush()
