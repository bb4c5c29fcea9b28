"""How far a job has come, on the disk: a journal beside the output, replaced in one step after every segment."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..labels.errors import WusumError
from .readers import Position
from .rejected import STDIN, Rejected, shown
from .sources import NEW_SUFFIX, Source

_FORMAT = 1


@dataclass(frozen=True)
class State:
    """What is safe on the disk.

    Attributes:
        position: how much of the input is done.
        written: bytes of the output's segments.
        listed: bytes of the list of rejected inputs.
        tagged: count of tagged articles.
        rejected: count of rejected inputs.
        finished: whether nothing is left but to put the output in its place.
    """

    position: Position = field(default_factory=Position)
    written: int = 0
    listed: int = 0
    tagged: int = 0
    rejected: int = 0
    finished: bool = False


class Journal:
    """The file that tells a later run where to go on, and whether it may.

    Example:
        >>> Journal(Path("no-such.journal"), {"bundle": "3f..."}).load() is None
        True
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """``identity`` is all that decides about the output: a run goes on only where it is the same, key by key."""
        self.path = path
        self._identity = dict(identity)

    def load(self) -> State | None:
        """Return the last state saved, None where there is no journal.

        Raises:
            WusumError: the journal cannot be read, or was begun by a run of another identity.
        """
        where = shown(str(self.path))
        try:
            content = json.loads(self.path.read_bytes())
            identity, saved = dict(content["identity"]), content["state"]
            state = State(**{**saved, "position": Position(**saved["position"])})
            known = content["format"] == _FORMAT
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as fault:
            raise WusumError(f"{where}: cannot be read ({fault}); expected a journal; start anew: --force") from None
        if not known:
            raise WusumError(f"{where}: written by another wusum; expected format {_FORMAT}; start anew: --force")
        for name in (*self._identity, *identity):
            if identity.get(name) != self._identity.get(name):
                told = f"the run began with another {name}; expected the same"
                raise WusumError(f"{where}: {told}; give what was given then, or start anew: --force")
        return state

    def save(self, state: State) -> None:
        """Replace the journal; either the old one or the new one stands whole, whatever happens.

        Raises:
            OSError: the disk refuses.
        """
        content = {"format": _FORMAT, "identity": self._identity, "state": dataclasses.asdict(state)}
        new = self.path.with_name(self.path.name + NEW_SUFFIX)
        with new.open("wb") as file:
            write_synced(file, json.dumps(content).encode())
        new.replace(self.path)
        sync_folder(self.path.parent)

    def remove(self) -> None:
        """Remove the journal; the run is over."""
        self.path.unlink(missing_ok=True)
        self.path.with_name(self.path.name + NEW_SUFFIX).unlink(missing_ok=True)


def write_synced(file: BinaryIO, data: bytes) -> None:
    """Write to an open file and wait until the disk has it."""
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def write_at(path: Path, offset: int, data: bytes) -> int:
    """Cut a file off at ``offset``, write there, wait for the disk, and return the new size.

    What stands behind the offset was written by a run that ended before its journal knew.
    """
    if not data and not path.exists():
        return offset
    with path.open("r+b" if path.exists() else "xb") as file:
        file.truncate(offset)
        file.seek(offset)
        write_synced(file, data)
    return offset + len(data)


def sync_folder(folder: Path) -> None:
    """Make renamed and new names safe, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def survey(sources: Iterable[Source | Rejected], watch: Callable[[int], None]) -> tuple[str, int]:
    """Return a hash over names, sizes and times of all inputs, and how many bytes they have together.

    Standard input has none of these; what was read from it is told apart by content alone.

    Args:
        sources: the inputs.
        watch: told the count of inputs seen so far.
    """
    seen, total = hashlib.blake2b(digest_size=16), 0
    for number, source in enumerate(sources, start=1):
        told: tuple[object, ...] = (str(source),)
        if isinstance(source, Source):
            told = (source.path,)
            with contextlib.suppress(OSError, ValueError):
                found = None if source.path == STDIN else os.stat(source.path)
                if found is not None and stat.S_ISREG(found.st_mode):
                    told = (source.path, found.st_size, found.st_mtime_ns)
                    total += found.st_size
        seen.update(repr(told).encode("utf-8", "surrogatepass"))
        watch(number)
    return seen.hexdigest(), total
