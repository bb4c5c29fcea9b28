"""The batch job: tags into a file, so that it may be ended at any moment and gone on with."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..labels.errors import WusumError
from .article import Article
from .checkpoint import Journal, State, sync_folder, write_at
from .formats_output import Form
from .lock import OutputLock
from .prediction import Prediction
from .readers import Position
from .record import Record
from .rejected import Rejected, shown
from .sources import JOURNAL_SUFFIX, LOCK_SUFFIX, NEW_SUFFIX, PART_SUFFIX, REJECTED_SUFFIX
from .writers import Row, cannot_write, to_line

_SEGMENT_ITEMS = 500
_SEGMENT_BYTES = 4_000_000
_ROW_BYTES = 1000  # that a row takes beside what it says
_SEGMENT_SECONDS = 5.0
_MOST_WAITING = 1000
_ADVICE = "free some space, then run the same command with --resume"

Item = tuple[Record | Rejected, Position]


class Tagged(NamedTuple):
    """An article with its tags."""

    record: Record
    prediction: Prediction


class Predictor(Protocol):
    """What a job needs of a tagger."""

    def predict(self, articles: str | Article, /) -> Prediction:
        """Tag one article."""

    def stream(self, articles: Iterable[str | Article], /) -> Iterator[Prediction]:
        """Tag articles in order."""


def predictions(load: Callable[[], Predictor], items: Iterable[Item]) -> Iterator[tuple[Tagged | Rejected, Position]]:
    """Pair each article with its prediction, in order, with the faults in their places.

    What the tagger refuses becomes a fault and costs no other. The tagger, most of the time that a short run takes, is
    loaded with the first article.

    Example:
        >>> walk = Walk(lambda: find_sources(["archive"]), ReadOptions())  # doctest: +SKIP
        >>> for tagged, position in predictions(Tagger.load, walk):  # doctest: +SKIP
        ...     print(tagged)
    """
    left = iter(items)
    for first, position in left:
        if isinstance(first, Rejected):
            yield first, position
        else:
            yield from _one_stream(load(), itertools.chain([(first, position)], left))


def _one_stream(tagger: Predictor, items: Iterator[Item]) -> Iterator[tuple[Tagged | Rejected, Position]]:
    """Tag until the stream ends: with the items, after many faults in a row, or at an article that it refuses."""
    feed = _Feed(items)
    try:
        for prediction in tagger.stream(feed.articles()):
            yield from feed.up_to_next(prediction)
    except WusumError:
        if not feed.waiting:
            raise
    for item, position in feed.waiting:
        yield _alone(tagger, item), position
    if feed.broken is not None:
        raise feed.broken


class _Feed:
    """What a tagger has taken and not yet given back, in order, with the faults between."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self.waiting: deque[Item] = deque()
        self.broken: WusumError | None = None

    def articles(self) -> Iterator[str | Article]:
        try:
            for item, position in self._items:
                self.waiting.append((item, position))
                if isinstance(item, Record):
                    yield item.article
                elif len(self.waiting) >= _MOST_WAITING:  # while it asks for more articles, faults must not pile up
                    return
        except WusumError as fault:  # of reading: not to be taken for one of the tagger
            self.broken = fault

    def up_to_next(self, prediction: Prediction) -> Iterator[tuple[Tagged | Rejected, Position]]:
        while True:
            item, position = self.waiting.popleft()
            if isinstance(item, Record):
                yield Tagged(item, prediction), position
                return
            yield item, position


def _alone(tagger: Predictor, item: Record | Rejected) -> Tagged | Rejected:
    if isinstance(item, Rejected):
        return item
    try:
        return Tagged(item, tagger.predict(item.article))
    except WusumError as fault:
        return Rejected(item.place, str(fault))


class _Pending:
    """What is done but not yet safe; ``reached`` says up to where, and is set in one step."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.rows: list[Row] = []
        self.faults: list[bytes] = []
        self.size = 0
        self.since = time.monotonic()
        self.reached = (state.position, 0, 0)

    def is_full(self, seamless: bool) -> bool:
        full = len(self.rows) + len(self.faults) >= _SEGMENT_ITEMS or self.size >= _SEGMENT_BYTES
        return full or (seamless and time.monotonic() - self.since >= _SEGMENT_SECONDS)


class FileJob:
    """An output that grows in segments, its list of rejected inputs, and the journal that makes both safe.

    Up to its end the output is called ``OUTPUT.part``; the list is ``OUTPUT.rejected.jsonl``, with ``.part`` likewise.

    Example:
        >>> job = FileJob(Path("tags.jsonl"), open_form(Path("tags.jsonl")))  # doctest: +SKIP
        >>> job.begin({"bundle": "3f..."}, resume=False, force=False)  # doctest: +SKIP
        True
    """

    def __init__(self, path: Path, form: Form) -> None:
        """A link is followed, so that its target is what gets replaced."""
        self.where = shown(str(path))
        self._target = path.resolve()
        self._form = form
        self._part = self._beside(PART_SUFFIX)
        self._list = self._beside(REJECTED_SUFFIX)
        self._list_part = self._beside(REJECTED_SUFFIX + PART_SUFFIX)
        self._journal = Journal(self._beside(JOURNAL_SUFFIX), {})
        self._pending = _Pending(State())

    @property
    def state(self) -> State:
        """What is safe on the disk."""
        return self._pending.state

    def alone(self) -> OutputLock:
        """Return what keeps other runs away from this output as long as its context lasts."""
        return OutputLock(self._beside(LOCK_SUFFIX), self.where)

    def begin(self, identity: Mapping[str, Any], *, resume: bool, force: bool) -> bool:
        """Prepare a new run or find the end of the last one; return whether there is anything to do.

        Args:
            identity: all that decides about the output: input, options, bundle.
            resume: go on with the last run, if it left anything.
            force: overwrite what stands there.

        Raises:
            WusumError: something stands in the way: an output, the rest of an unfinished run, or, to resume, another
                input, option or bundle than at the beginning.
        """
        self._journal = Journal(self._journal.path, identity)
        if force:
            self._journal.remove()
            for path in (self._part, self._list_part, self._beside(NEW_SUFFIX)):
                path.unlink(missing_ok=True)
            return True
        if not resume:
            self.refuse_to_overwrite()
            return True
        state = self._journal.load()
        if state is None:
            return not self._target.exists()
        for part, size in ((self._part, state.written), (self._list_part, state.listed)):
            if not state.finished and (part.stat().st_size if part.exists() else 0) < size:
                told = f"{shown(str(part))}: shorter than at the last checkpoint; expected {size:,} bytes or more"
                raise WusumError(f"{told}; start anew: --force")
        self._pending = _Pending(state)
        return True

    def refuse_to_overwrite(self) -> None:
        """Raise WusumError where an output, or the rest of an unfinished run, stands."""
        if self._journal.path.exists():
            told = "an unfinished run stands here; expected none"
            raise WusumError(f"{self.where}: {told}; add --resume to go on with it or --force to start anew")
        if self._target.exists():
            told = "exists already; expected a new file"
            raise WusumError(f"{self.where}: {told}; choose another name or add --force")

    def add(self, row: Row, position: Position) -> None:
        """Take a row of output; raises WusumError when the disk refuses."""
        pending = self._pending
        pending.rows.append(row)
        pending.size += _ROW_BYTES + len(to_line(row))
        self._reach(position)

    def reject(self, fault: Rejected, position: Position) -> None:
        """Take a rejected input; raises WusumError when the disk refuses."""
        self._pending.faults.append((json.dumps(fault.to_dict(), ensure_ascii=False) + "\n").encode())
        self._reach(position)

    def save(self, *, finished: bool = False) -> None:
        """Make safe what was done; a form with seams is cut only where a segment is full, or at its end.

        Raises:
            WusumError: the disk refuses.
        """
        pending = self._pending
        position, rows, faults = pending.reached
        due = rows + faults > 0 and (self._form.seamless or pending.is_full(False))
        if not (due or finished):
            return
        state = pending.state
        try:
            state = State(
                position,
                write_at(self._part, state.written, self._form.encode(pending.rows[:rows])),
                write_at(self._list_part, state.listed, b"".join(pending.faults[:faults])),
                state.tagged + rows,
                state.rejected + faults,
                finished,
            )
            self._journal.save(state)
        except OSError as fault:
            raise cannot_write(self.where, fault, _ADVICE) from fault
        self._pending = _Pending(state)

    def finish(self) -> None:
        """Put the output and the list in their places; without a tagged article there is no output, only the list.

        Raises:
            WusumError: the disk refuses.
        """
        if not self.state.finished:
            self.save(finished=True)
        try:
            self._settle()
            self._journal.remove()
        except OSError as fault:
            raise cannot_write(self.where, fault, _ADVICE) from fault

    def _settle(self) -> None:
        if self.state.rejected and self._list_part.exists():
            self._list_part.replace(self._list)
        elif not self.state.rejected:
            self._list.unlink(missing_ok=True)
            self._list_part.unlink(missing_ok=True)
        if self.state.tagged and self._part.exists():
            self._form.finish(self._part, self._target)
        elif self.state.tagged and not self._target.exists():
            raise WusumError(f"{shown(str(self._part))}: missing; expected the tagged articles; start anew: --force")
        sync_folder(self._target.parent)

    def _reach(self, position: Position) -> None:
        pending = self._pending
        pending.reached = (position, len(pending.rows), len(pending.faults))
        if pending.is_full(self._form.seamless):
            self.save()

    def _beside(self, suffix: str) -> Path:
        return self._target.with_name(self._target.name + suffix)


def safe_after(job: FileJob) -> str:
    """Make safe what can be, and return the words that tell how to go on."""
    with contextlib.suppress(WusumError):
        job.save()
    done = job.state.tagged + job.state.rejected
    if not done:
        return "nothing was written yet"
    return f"{done:,} inputs are safe; the same command with --resume goes on"
