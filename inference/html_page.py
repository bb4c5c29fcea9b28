"""Articles out of HTML, through Trafilatura, in a process of its own.

A page can keep the libraries below busy for hours, fill the memory or bring them down; a process can be ended.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..labels.errors import WusumError
from .formats_bytes import binary, decode, is_blank, missing
from .rejected import Place, Rejected

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

MAX_SECONDS = 10.0  # of computing; a page of a news site takes a twentieth
# Ends only a process that hangs: one that fails closes its pipe at once, and on a busy machine a start takes minutes.
_HANG_SECONDS = 600.0
# Time on the clock would reject a page on a busy machine that is read on a quiet one.
_COUNTS_COMPUTING = hasattr(signal, "setitimer")
_MAX_TAGS = 50_000
_MAX_MEMORY = 1 << 30
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w-]{1,40})""", re.IGNORECASE)
# Only what pages in Arabic are written in: some of Python's codecs are programs that take a page's time for themselves.
_CHARSETS = {"windows-1256": "cp1256", "cp1256": "cp1256", "iso-8859-6": "iso8859_6", "windows-1252": "cp1252"}


@dataclass(frozen=True)
class Extract:
    """What a page holds.

    Attributes:
        text: the article, or all that can be read.
        title: its headline.
        facts: title, date and author, where the page tells them.
        is_clean: whether the text is the article; otherwise furniture stands in it.
    """

    text: str
    title: str | None
    facts: Mapping[str, str]
    is_clean: bool


class PageReader:
    """Takes articles out of pages; its process starts with the first page.

    Example:
        >>> with PageReader() as pages:  # doctest: +SKIP
        ...     pages.read(b"<h1>...", Place("a.html"), whole=False).title
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def read(self, data: bytes, place: Place, *, whole: bool) -> Extract:
        """Return the article of a page, or with ``whole`` all of its text.

        Raises:
            Rejected: it is no text, holds no article, or asks for too much time or memory.
            WusumError: Trafilatura is not installed, or no process can be started.
        """
        html = _decode(data, place)
        if html.count("<") > _MAX_TAGS:
            raise Rejected(place, f"over {_MAX_TAGS:,} tags; expected the page of an article; leave it out")
        found = self._ask(html, whole, place)
        text = found.pop("text", None) or ""
        if is_blank(text):
            raise Rejected(place, "no article in this HTML; expected a page with a text; leave it out")
        facts = {name: found[name] for name in ("title", "date", "author") if found.get(name)}
        return Extract(text, facts.get("title"), facts, bool(found["is_clean"]))

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def __enter__(self) -> PageReader:
        """Return self."""
        return self

    def __exit__(self, *fault: object) -> None:
        """End the process."""
        self.close()

    def _ask(self, html: str, whole: bool, place: Place) -> dict[str, Any]:
        pipe = self._pipe or self._start(place)
        too_long = f"takes over {MAX_SECONDS:.0f} seconds to read"
        try:
            pipe.send((html, whole, MAX_SECONDS))
            found = pipe.recv() if pipe.poll(_HANG_SECONDS if _COUNTS_COMPUTING else MAX_SECONDS) else too_long
        except (OSError, EOFError):
            found = too_long if self._was_timed_out() else "cannot be read in 1 GB of memory"
        if isinstance(found, dict):
            return found
        self.close()
        raise Rejected(place, f"HTML that {found}; expected the page of an article; leave it out")

    def _was_timed_out(self) -> bool:
        if self._process is None or not _COUNTS_COMPUTING:
            return False
        self._process.join(_HANG_SECONDS)
        return self._process.exitcode == -signal.SIGPROF

    def _start(self, place: Place) -> Connection:
        if importlib.util.find_spec("trafilatura") is None:
            raise missing(f"{place}: is HTML", "trafilatura")
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        try:
            process.start()
            self._process = process
            theirs.close()
            started = self._pipe.poll(_HANG_SECONDS) and self._pipe.recv() == "ready"
        except (OSError, EOFError):
            started = False
        if not started:
            self.close()
            # No fault of the page: those that follow would be lost like it.
            raise WusumError(f"{place}: the process that reads HTML did not start; free some memory, then run again")
        return self._pipe


def _decode(data: bytes, place: Place) -> str:
    declared = _CHARSET.search(data[:4096])
    charset = _CHARSETS.get(declared[1].decode("ascii").lower()) if declared else None
    if b"\0" in data:
        raise binary(place)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = decode(data, place, "byte") if charset is None else data.decode(charset, "replace")
    return text.removeprefix("\ufeff")


def _serve(pipe: Connection) -> None:
    """Answer pages with what they hold, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    logging.disable(logging.CRITICAL)
    import trafilatura  # noqa: F401  # its time must not count against the first page

    pipe.send("ready")
    with contextlib.suppress(EOFError, OSError):
        while True:
            html, whole, seconds = pipe.recv()
            _end_after(seconds)
            found = _extract(html, whole)
            _end_after(0)
            pipe.send(found)


def _end_after(seconds: float) -> None:
    """Let the system end this process after so much computing, also inside a library's C code; 0 calls it off."""
    if _COUNTS_COMPUTING:
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _extract(html: str, whole: bool) -> dict[str, Any] | str:
    import trafilatura

    try:
        document: Any = trafilatura.bare_extraction(html, with_metadata=True, include_comments=False)
        facts = {} if document is None else {name: getattr(document, name) for name in ("title", "date", "author")}
        text = None if document is None or whole else document.text
        return {**facts, "text": text or trafilatura.html2txt(html), "is_clean": bool(text)}
    except MemoryError:
        return "cannot be read in 1 GB of memory"
    except Exception as fault:  # of whatever kind: a strange page must cost itself only
        return f"cannot be read ({type(fault).__name__})"
