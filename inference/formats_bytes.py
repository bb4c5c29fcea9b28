"""From bytes to UTF-8 text in pieces: unpacked, UTF-16 turned over, cut into lines, all in constant memory."""

from __future__ import annotations

import codecs
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from ..labels.errors import WusumError
from .rejected import Place, Rejected
from .sources import Source

MAX_BYTES = 2_000_000  # of one article; a longer "article" is a dump in the wrong place
_CHUNK = 1 << 16
_ZSTD_STEP = 1 << 7  # four bytes of zstd can stand for 128 KB
_ZSTD_WINDOW = 1 << 27
_GZIP, _ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"
_MAX_CONTROL_SHARE = 0.1
_CONTROLS = bytes(sorted({*range(32), 127} - set(b"\t\n\v\f\r")))
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_chunks(stream: BinaryIO, source: Source) -> Iterator[bytes]:
    """Yield the content of an opened input in pieces: unpacked where it is gzip or zstd, UTF-16 turned into UTF-8.

    Raises:
        Rejected: what is packed is damaged or cut off, or it is damaged UTF-16.
        WusumError: it is packed with zstd and the package for that is not installed.
        OSError: it cannot be read.
    """
    try:
        yield from _as_utf8(_unpacked(_chunks(stream, source), source.place))
    except UnicodeDecodeError as fault:
        reason = f"damaged UTF-16 ({fault.reason}); expected whole characters; save it as UTF-8"
        raise Rejected(source.place, reason) from None


def _chunks(stream: BinaryIO, source: Source) -> Iterator[bytes]:
    # read1 hands over what a pipe holds already instead of waiting for a full chunk.
    read = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK):
        source.taken += len(chunk)
        yield chunk


def _start(chunks: Iterator[bytes], is_enough: Callable[[bytes], bool]) -> tuple[bytes, Iterator[bytes]]:
    """Return as much of the beginning as is enough, or all there is, and the whole stream again."""
    head = b""
    for chunk in chunks:
        head += chunk
        if is_enough(head):
            break
    return head, itertools.chain([head], chunks) if head else chunks


def _unpacked(chunks: Iterator[bytes], place: Place) -> Iterator[bytes]:
    head, chunks = _start(chunks, lambda head: len(head) >= len(_ZSTD))
    if head.startswith(_GZIP):
        return _from_gzip(chunks, place)
    return _from_zstd(chunks, place) if head.startswith(_ZSTD) else chunks


def _from_gzip(chunks: Iterator[bytes], place: Place) -> Iterator[bytes]:
    member = None
    try:
        for chunk in chunks:
            while chunk:
                member = member or zlib.decompressobj(zlib.MAX_WBITS | 16)
                out = member.decompress(chunk, _CHUNK)
                chunk = member.unconsumed_tail
                while out:
                    yield out
                    out = member.decompress(chunk, _CHUNK)
                    chunk = member.unconsumed_tail
                if member.eof:
                    chunk, member = member.unused_data.lstrip(b"\0"), None
    except zlib.error as fault:
        raise _damaged(place, "gzip", str(fault)) from None
    if member is not None:
        raise _damaged(place, "gzip", "it ends too early")


def _from_zstd(chunks: Iterator[bytes], place: Place) -> Iterator[bytes]:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise missing(f"{place}: is packed with zstd", "zstandard") from None
    frame = None
    try:
        for chunk in chunks:
            for start in range(0, len(chunk), _ZSTD_STEP):
                piece = chunk[start : start + _ZSTD_STEP]
                while piece:
                    frame = frame or zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
                    yield frame.decompress(piece)
                    piece, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except zstandard.ZstdError as fault:
        raise _damaged(place, "zstd", str(fault)) from None
    if frame is not None:
        raise _damaged(place, "zstd", "it ends too early")


def _damaged(place: Place, packing: str, reason: str) -> Rejected:
    return Rejected(place, f"damaged {packing} ({reason}); expected a whole file; copy it again")


def missing(what: str, package: str) -> WusumError:
    """Return the fault of an optional package that is not installed.

    Example:
        >>> str(missing("a.parquet: is Parquet", "pyarrow"))
        "a.parquet: is Parquet, which needs the package pyarrow; install it: pip install 'wusum[files]'"
    """
    return WusumError(f"{what}, which needs the package {package}; install it: pip install 'wusum[files]'")


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head, chunks = _start(chunks, lambda head: len(head) >= 2)
    if not head.startswith(_UTF16_MARKS):
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder("utf-16")()
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return what comes up to the first character that is no white space, and the whole stream again."""
    head = bytearray()
    for chunk in chunks:
        head += chunk
        # The whole head is looked at only behind a chunk that is not blank: there may be millions of blank ones.
        if len(head) > MAX_BYTES or (chunk.strip() and head.removeprefix(codecs.BOM_UTF8).strip()):
            break
    return bytes(head), itertools.chain([bytes(head)], chunks) if head else chunks


def read_whole(chunks: Iterable[bytes], place: Place) -> bytes:
    """Return the content of a file that holds one article; raises Rejected where it is over 2 MB, or empty."""
    data = bytearray()
    for chunk in chunks:
        if len(data) + len(chunk) > MAX_BYTES:
            raise Rejected(place, "over 2 MB; expected one article; put many into a .jsonl file, one a line")
        data += chunk
    if not data:
        raise Rejected(place, "empty; expected the text of an article; drop it or fill it")
    return bytes(data)


def lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield the lines; None in the place of one that is over 2 MB, which is never held in memory.

    Example:
        >>> list(lines([b"a", b"b", bytes([10]), b"c"]))
        [b'ab', b'c']
    """
    line = bytearray()
    over = False
    for chunk in chunks:
        for index, piece in enumerate(chunk.split(b"\n")):
            if index:
                yield None if over else bytes(line)
                line.clear()
                over = False
            over = over or len(line) + len(piece) > MAX_BYTES
            if over:
                line.clear()
            else:
                line += piece
    if over or line:
        yield None if over else bytes(line)


def decode(data: bytes, place: Place, unit: str) -> str:
    """Return bytes as text; raises Rejected for what is binary or no UTF-8, with the position in ``unit``."""
    if is_binary(data):
        raise binary(place)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as fault:
        windows = _looks_like_windows_1256(data)
        guess = "looks like Windows-1256; convert it" if windows else "convert it; if it is Windows-1256"
        reason = f"not UTF-8 at {unit} {fault.start}; expected UTF-8; {guess}: iconv -f WINDOWS-1256 -t UTF-8"
        raise Rejected(place, reason) from None


def is_binary(data: bytes) -> bool:
    """Whether this is no text: a NUL stands in it, or one byte in ten is a control character."""
    controls = len(data) - len(data.translate(None, _CONTROLS))
    return b"\0" in data or controls > _MAX_CONTROL_SHARE * len(data)


def binary(place: Place) -> Rejected:
    """Return the fault of binary data where text was expected."""
    return Rejected(place, "binary data; expected text; convert it to UTF-8 text or leave it out")


def _looks_like_windows_1256(data: bytes) -> bool:
    high = [c for c in data[:_CHUNK].decode("cp1256", "replace") if c > "\x7f"]
    return len(high) >= 4 and sum("\u0621" <= c <= "\u064a" for c in high) > 0.7 * len(high)


def is_blank(text: str) -> bool:
    """Whether nothing can be seen: white space, direction marks and control characters only."""
    return not any(c.isprintable() and not c.isspace() for c in text)
