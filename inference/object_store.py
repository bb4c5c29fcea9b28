"""Files on local disks and in object stores, through pyarrow's file systems, with faults told in one sentence."""

from __future__ import annotations

import functools
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl

from pyarrow import ArrowException
from pyarrow.fs import (
    AwsStandardS3RetryStrategy,
    FileSelector,
    FileSystem,
    FileType,
    LocalFileSystem,
    S3FileSystem,
    resolve_s3_region,
)

from ..labels.errors import WusumError
from .checkpoint import sync_folder
from .rejected import shown

_ATTEMPTS = 10
_NEW = "_new"  # folder of files that are not complete yet
_CONNECT_SECONDS, _REQUEST_SECONDS = 10.0, 60.0
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://([^/?]*)/?(.*)", re.IGNORECASE | re.DOTALL)
_S3_OPTIONS = frozenset({"region", "scheme", "endpoint_override"})
_S3_SETTINGS = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_TOLD = (  # what the libraries below say, and what it means
    ("NO_SUCH_BUCKET|Bucket '[^']*' not found", "no such bucket", "check its name, or create it first"),
    ("NO_SUCH_KEY|Path does not exist|No such file", "no such object", "check the address"),
    (
        "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|HTTP response code 40[13]",
        "access denied",
        "set the store's credentials, for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE",
    ),
    (
        "NETWORK_CONNECTION|curlCode|REQUEST_TIMEOUT|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE",
        "the connection failed in every attempt",
        "check the network and the endpoint, then run again with --resume",
    ),
)


class StoreFault(WusumError):  # noqa: N818 (a fault, as everywhere in this package)
    """A file could not be read or written to its end: never a reason to take it for a shorter one."""


def is_address(path: str) -> bool:
    """Whether a path is an address in a store, ``scheme://...``, and none of this machine's own paths.

    Example:
        >>> is_address("s3://archive/2016"), is_address("archive/2016")
        (True, False)
    """
    return _ADDRESS.match(path) is not None


def open_store(address: str) -> tuple[FileSystem, str]:
    """Return the file system of a path or address, and the path in it.

    ``s3://BUCKET/KEY`` may end in ``?region=...&endpoint_override=HOST:PORT&scheme=http``; keys stand as they are, not
    percent-encoded. Requests to S3 that fail are repeated by pyarrow's own retry strategy, 10 attempts in all.
    Credentials come from the environment, the profile or the machine's role. Other schemes are pyarrow's.

    Raises:
        WusumError: no such scheme or option, credentials stand in the address, or the store cannot be opened.

    Example:
        >>> open_store("s3://archive/2016/a.jsonl?region=eu-west-1&scheme=https")[1]
        'archive/2016/a.jsonl'
    """
    found = _ADDRESS.match(address)
    if found is None:
        return LocalFileSystem(), os.path.abspath(address)
    scheme, bucket, rest = found.groups()
    if scheme.lower() != "s3":
        return _other_store(address)
    if "@" in bucket:
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise WusumError(f"s3://...: credentials in an address; expected none; {advice}")
    if not bucket:
        raise WusumError(f"{shown(address)}: names no bucket; expected s3://BUCKET/KEY; add it")
    key, _, query = rest.partition("?")
    return _s3(bucket, query), f"{bucket}/{key}".rstrip("/")


def _other_store(address: str) -> tuple[FileSystem, str]:
    try:
        store, path = FileSystem.from_uri(address)
    except (ArrowException, OSError, ValueError) as fault:
        told = (
            f"cannot be opened ({_first_line(fault)}); expected a path, s3://BUCKET/KEY or another of pyarrow's schemes"
        )
        raise WusumError(f"{shown(address)}: {told}; check the address") from fault
    return store, path


@functools.cache
def _s3(bucket: str, query: str) -> FileSystem:
    options = dict(parse_qsl(query))
    unknown = sorted(options.keys() - _S3_OPTIONS)
    if unknown:
        expected = ", ".join(sorted(_S3_OPTIONS))
        raise WusumError(f"s3://{bucket}: unknown option {shown(unknown[0])}; expected {expected}; check the address")
    if not options.keys() & {"region", "endpoint_override"} and not any(map(os.environ.get, _S3_SETTINGS)):
        try:
            options["region"] = resolve_s3_region(bucket)
        except (ArrowException, OSError) as fault:
            raise store_fault(f"s3://{bucket}", fault) from fault
    return S3FileSystem(
        **options,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        allow_delayed_open=True,  # a small file in one request, not in three
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )


def store_fault(place: object, fault: Exception) -> StoreFault:
    """Return what a fault of a file system means.

    Example:
        >>> str(store_fault("s3://a/b", OSError("AWS Error NO_SUCH_BUCKET during ...")))
        's3://a/b: no such bucket; check its name, or create it first'
    """
    text = str(fault)
    for pattern, meaning, advice in _TOLD:
        if re.search(pattern, text):
            return StoreFault(f"{place}: {meaning}; {advice}")
    return StoreFault(f"{place}: {_first_line(fault)}; check the address and the store, then run again with --resume")


def _first_line(fault: Exception) -> str:
    return shown(str(fault).split("\n")[0][:200])


class OutputFolder:
    """A folder of output on a local disk or in an object store; a file in it appears complete or not at all.

    The same file may be written by several at once: the last one that is complete stands there.

    Attributes:
        where: what messages call it.

    Example:
        >>> OutputFolder("s3://bucket/tags?region=eu-west-1").where
        's3://bucket/tags'
    """

    def __init__(self, address: str) -> None:
        """``address`` is the path or the address of the folder, which need not exist; its bucket must."""
        self._address = address if is_address(address) else os.path.abspath(address)
        self.where = shown(address.partition("?")[0] if is_address(address) else address)

    def write(self, name: str, data: bytes) -> None:
        """Write a file, in the place of an earlier one of this name; raises StoreFault."""
        store, path = self._open(name)
        try:
            if isinstance(store, LocalFileSystem):
                _write_new(Path(self._open(_NEW)[1]), Path(path), data)
                return
            with store.open_output_stream(path, compression=None) as file:  # a store shows an object when it is closed
                file.write(data)
        except (ArrowException, OSError) as fault:
            raise store_fault(self.where, fault) from fault

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is none; raises StoreFault."""
        store, path = self._open(name)
        try:
            if store.get_file_info(path).type == FileType.NotFound:
                return None
            with store.open_input_file(path) as file:
                return cast(bytes, file.read())
        except (ArrowException, OSError) as fault:
            raise store_fault(self.where, fault) from fault

    def names(self, folder: str = "") -> list[str]:
        """Return the names in the folder, or in a folder in it; none where it does not exist; raises StoreFault."""
        store, path = self._open(folder)
        try:
            found = store.get_file_info(FileSelector(path, allow_not_found=True))
        except (ArrowException, OSError) as fault:
            raise store_fault(self.where, fault) from fault
        return [each.base_name for each in found if each.base_name != _NEW]

    def tidy(self) -> None:
        """Delete what those left that were ended while they wrote; whoever still writes is told that it is gone."""
        store, path = self._open(_NEW)
        if isinstance(store, LocalFileSystem):
            shutil.rmtree(path, ignore_errors=True)

    def _open(self, name: str) -> tuple[FileSystem, str]:
        store, path = open_store(self._address)
        return store, f"{path}/{name}" if name else path


def _write_new(folder: Path, target: Path, data: bytes) -> None:
    """Write a file under a name of its own in ``folder``, and put it in its place when it is complete, on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = folder / uuid.uuid4().hex
    try:
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)  # of a disk that is full
    sync_folder(target.parent)
