"""Inputs of a job on a cluster: tables on local disks and in object stores, which any of its machines can open."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from pyarrow import ArrowException
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, S3FileSystem

from ..labels.errors import WusumError
from .formats import input_form, split_name
from .object_store import StoreFault, is_address, open_store, store_fault
from .rejected import STDIN, Rejected, shown
from .sources import REJECTED_SUFFIX, Source, find_sources

TABLES = ("jsonl", "csv", "tsv", "parquet")
_BUFFER = 1 << 22


@dataclass
class StoredSource(Source):
    """An input on a local disk or in an object store.

    Attributes:
        address: by which any machine opens it.
        size: in bytes, when it was found.
        changed: when it was last changed, in nanoseconds since 1970; None where the store does not say.

    Example:
        >>> StoredSource("s3://a/b.parquet", address="s3://a/b.parquet", size=10).form
        'parquet'
    """

    address: str = ""
    size: int = 0
    changed: int | None = None

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading; raises StoreFault, and so does a read that fails or ends before the size."""
        store, path = open_store(self.address)
        try:
            file = store.open_input_file(path)
            size = file.size()
        except (ArrowException, OSError) as fault:
            raise store_fault(self.place, fault) from fault
        if size != self.size:
            told = f"has {size:,} bytes and had {self.size:,} when the job began; expected one that stays as it is"
            raise StoreFault(f"{self.place}: {told}; begin again with another output")
        return _Buffered(_WholeFile(file, str(self.place), self.size), _BUFFER)


class _Buffered(io.BufferedReader):
    """Fills its whole buffer at each request: ``read1``, which pipes are read by, would ask a store for 64 KB each."""

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)


class _WholeFile(io.RawIOBase):
    """A file that tells of every byte that it cannot give; readers below take an OSError for a fault of the content."""

    def __init__(self, file: BinaryIO, place: str, size: int) -> None:
        self._file = file
        self._place = place
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset, whence = offset + self._size, os.SEEK_SET
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: object) -> int:
        try:
            count = int(self._file.readinto(buffer))  # type: ignore[attr-defined]
        except (ArrowException, OSError) as fault:
            raise store_fault(self._place, fault) from fault
        if not count and memoryview(buffer).nbytes and self._file.tell() < self._size:  # type: ignore[arg-type]
            told = f"ended after {self._file.tell():,} of {self._size:,} bytes; expected all of them"
            raise StoreFault(f"{self._place}: {told}; check the file, then run again with --resume")
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def find_stored(paths: Iterable[str]) -> Iterator[StoredSource]:
    """Yield the tables (JSON lines, CSV, Parquet) behind paths and addresses, in order.

    Local paths are looked up as :func:`find_sources` does. The address of a folder gives every table below it, in the
    order of names; names that begin with ``.`` or ``_`` are passed over.

    Raises:
        WusumError: one of them is not there, or is no table.

    Example:
        >>> next(find_stored(["no/such.jsonl"]))
        Traceback (most recent call last):
        ...
        wusum.labels.errors.WusumError: no/such.jsonl: no such file or folder; expected an input; check the path
    """
    for path in paths:
        if is_address(path):
            yield from _in_store(path)
            continue
        for source in find_sources([path]):
            if isinstance(source, Rejected):
                raise source
            yield _local(source)


def _local(source: Source) -> StoredSource:
    place = source.place
    if source.path == STDIN:
        raise WusumError(
            "<stdin>: can be read on this machine only; expected files or addresses; save it and name that"
        )
    if not os.path.isfile(source.path):
        raise WusumError(f"{place}: no such file or folder; expected an input; check the path")
    _check_form(source.form, str(place))
    found = os.stat(source.path)
    return StoredSource(
        source.path, address=os.path.abspath(source.path), size=found.st_size, changed=found.st_mtime_ns
    )


def _check_form(form: str | None, place: str) -> None:
    if form not in TABLES:
        expected = "expected .jsonl, .csv, .tsv or .parquet"
        raise WusumError(f"{place}: is no table; {expected}; tag it on one machine, without --engine ray")


def _in_store(address: str) -> Iterator[StoredSource]:
    store, path = open_store(address)
    place, _, query = address.partition("?")
    place = place.rstrip("/")
    try:
        info = store.get_file_info(path)
        found = [info]
        if info.type == FileType.Directory:
            below = store.get_file_info(FileSelector(path, recursive=True))
            found = sorted((each for each in below if _is_wanted(each, path)), key=lambda each: each.path)
        elif info.type == FileType.NotFound:
            raise _not_there(store, path, place)
    except (ArrowException, OSError) as fault:
        raise store_fault(shown(place), fault) from fault
    if not found:
        expected = "expected .jsonl, .csv, .tsv or .parquet files in it"
        raise StoreFault(f"{shown(place)}: nothing to tag; {expected}; check the address")
    for each in found:
        name = place + each.path.removeprefix(path)
        _check_form(input_form(name), shown(name))
        yield StoredSource(name, address=f"{name}?{query}" if query else name, size=each.size, changed=each.mtime_ns)


def _not_there(store: FileSystem, path: str, place: str) -> StoreFault:
    if isinstance(store, S3FileSystem) and store.get_file_info(path.split("/")[0]).type == FileType.NotFound:
        return store_fault(shown(place), OSError("NO_SUCH_BUCKET"))
    return store_fault(shown(place), OSError("NO_SUCH_KEY"))


def _is_wanted(info: FileInfo, folder: str) -> bool:
    inside = info.path[len(folder) :].strip("/").split("/")
    hidden = any(part.startswith((".", "_")) for part in inside)
    plain = split_name(info.path)[0] != ".json" and not info.path.endswith(REJECTED_SUFFIX)
    return info.type == FileType.File and not hidden and plain and input_form(info.path) in TABLES
