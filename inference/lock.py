"""One run at a time on one output: the system's own lock on a file beside it.

The system gives such a lock back when its process ends, however that ends, so that what a killed run has left never
stands in the way.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path

from ..labels.errors import WusumError
from .progress import say
from .writers import cannot_write

_BEYOND = 1 << 30  # Windows lets nobody read what is locked, so the lock lies behind the owner's name
_OWNER_BYTES = 1000

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, _BEYOND, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class OutputLock:
    """Held while a run writes an output; a second run is refused and told which process holds it.

    Example:
        >>> with OutputLock(Path("tags.jsonl.lock"), "tags.jsonl"):  # doctest: +SKIP
        ...     print("this process alone")
    """

    def __init__(self, path: Path, what: str) -> None:
        """Take the file to lock, which is made and removed, and what messages call the output."""
        self._path = path
        self._what = what
        self._handle: int | None = None

    def __enter__(self) -> OutputLock:
        """Take the lock; where the disk knows none, say so and go on without.

        Raises:
            WusumError: another process holds it, or the file cannot be made.
        """
        while self._handle is None:
            handle = self._open()
            try:
                _lock(handle)
                if self._is_in_place(handle):
                    os.ftruncate(handle, 0)
                    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
                    self._handle = handle
            except (BlockingIOError, PermissionError):
                os.lseek(handle, 0, os.SEEK_SET)
                owner = os.read(handle, _OWNER_BYTES).decode("utf-8", "replace")
                told = f"another run writes it ({owner or 'it has just begun'})"
                raise WusumError(f"{self._what}: {told}; expected none; wait for its end or stop it") from None
            except OSError as fault:
                say(f"{self._what}: cannot be locked ({fault.strerror}); take care that no other run writes it")
                self._handle = handle
            finally:
                if self._handle is None:
                    os.close(handle)
        return self

    def __exit__(self, *fault: object) -> None:
        """Give it back and remove the file."""
        if self._handle is None:
            return
        try:
            # Removed while it is locked, it can be locked by nobody else; Windows removes no file that is open.
            if sys.platform != "win32":
                self._remove()
        finally:
            os.close(self._handle)
            self._handle = None
        if sys.platform == "win32":
            self._remove()

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as fault:
            raise cannot_write(self._what, fault) from fault

    def _is_in_place(self, handle: int) -> bool:
        """Whether the file is still the one of that name: its last owner may have removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
