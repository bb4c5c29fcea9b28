"""From inputs to articles: every form read in a stream, every fault told and none fatal to its neighbours."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..labels.errors import WusumError
from .article import Article
from .columns import ReadOptions, kept
from .formats import InputForm
from .formats_bytes import binary, decode, is_binary, is_blank, open_chunks, peek, read_whole
from .formats_csv import read_csv
from .formats_jsonl import read_json_lines
from .record import Record
from .rejected import Rejected
from .sources import Source, cannot_read, file_size

_JSON_LINE = re.compile(rb'^(?:\xef\xbb\xbf)?[ \t]*\{\s*"', re.MULTILINE)  # then only single lines are binary
_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_PARQUET = b"PAR1"


def read_records(source: Source, options: ReadOptions) -> Iterator[Record | Rejected]:
    """Yield the articles of one input in constant memory; a fault stands as a value in the place of its article.

    UTF-8 with or without a byte-order mark, and UTF-16 with one, are read, plain or packed by gzip or zstd. An input
    whose name does not tell is taken for JSON lines when its first character that is no white space is ``{``, for HTML
    when it begins like one, otherwise for the text of a page.

    Raises:
        WusumError: a package that this form needs is not installed.

    Example:
        >>> [str(fault) for fault in read_records(Source("no/such.txt"), ReadOptions())]
        ['no/such.txt: no such file or folder; the folder no does not exist either; check the path']
    """
    try:
        if source.form == "parquet":
            from .formats_parquet import read_parquet

            yield from read_parquet(source, options)
        else:
            yield from _read_stream(source, options)
    except Rejected as fault:
        yield fault.bare()
    except OSError as fault:
        yield cannot_read(source.path, fault)


def _read_stream(source: Source, options: ReadOptions) -> Iterator[Record | Rejected]:
    with source.open() as stream:
        head, chunks = peek(open_chunks(stream, source))
        form = source.form or _form_of(head)
        # Of a table only some lines may be binary; it is one where its first line is text.
        first = head.partition(b"\n")[0] if form in ("csv", "tsv") else head
        if is_binary(first) and not _JSON_LINE.search(head):
            raise _not_text(head, source)
        if form == "jsonl":
            yield from read_json_lines(chunks, source, options)
        elif form in ("csv", "tsv"):
            yield from read_csv(chunks, source, options)
        elif form == "html":
            yield _read_html(read_whole(chunks, source.place), source, options)
        else:
            yield _read_text(read_whole(chunks, source.place), source, options)


def _form_of(head: bytes) -> InputForm:
    begin = head.removeprefix(codecs.BOM_UTF8)
    return "jsonl" if begin.lstrip().startswith(b"{") else "html" if _HTML.match(begin) else "text"


def _not_text(head: bytes, source: Source) -> Rejected:
    if head.startswith(_PARQUET):
        reason = "is Parquet; expected text; save it in a file whose name ends in .parquet and name that"
        return Rejected(source.place, reason)
    return binary(source.place)


def _read_text(data: bytes, source: Source, options: ReadOptions) -> Record:
    text = decode(data, source.place, "byte")
    if is_blank(text):
        raise Rejected(source.place, "only white space; expected the text of an article; drop it or fill it")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    article = Article(text) if options.clean == "never" else text
    return Record(article, {"path": source.place.key}, source.place)


def _read_html(data: bytes, source: Source, options: ReadOptions) -> Record:
    page = options.pages.read(data, source.place, whole=options.clean == "never")
    key = {"path": source.place.key}
    article: str | Article = Article(page.text, page.title)
    if options.clean == "always" or (options.clean == "auto" and not page.is_clean):
        article = page.text if page.title is None else f"{page.title}\n{page.text}"
    return Record(article, key, source.place, {**key, **kept(page.facts, source.place)})


@dataclass(frozen=True)
class Position:
    """How far a walk over the inputs has come.

    Attributes:
        source: the number of the input, from 0.
        items: how many of its articles and faults are done.
        digest: a hash over these, by which a later walk knows that it reads the same again.
    """

    source: int = 0
    items: int = 0
    digest: str = ""


class Walk:
    """All articles and faults of all inputs, in order, each with the position after it; begins at any such position.

    Example:
        >>> walk = Walk(lambda: [Source("no-such-file-at-all")], ReadOptions())
        >>> [position.items for item, position in walk]
        [1]
    """

    def __init__(
        self,
        find: Callable[[], Iterable[Source | Rejected]],
        options: ReadOptions,
        start: Position = Position(),
        watch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``find`` gives the inputs; ``watch`` is told how many items of the last input are passed over so far."""
        self._find = find
        self._options = options
        self._start = start
        self._watch = watch
        self._finished = 0
        self._current: Source | None = None

    @property
    def taken(self) -> int:
        """How many bytes of input were read, or passed over as done."""
        return self._finished + (self._current.taken if self._current else 0)

    def __iter__(self) -> Iterator[tuple[Record | Rejected, Position]]:
        """Yield what is left.

        Raises:
            WusumError: what was done before is not what the inputs hold now.
        """
        for number, source in enumerate(self._find()):
            if number > self._start.source or not self._is_done(number, source):
                yield from self._read(number, source)
            if isinstance(source, Source):
                self._finished += file_size(source.path)
                self._current = None

    def _is_done(self, number: int, source: Source | Rejected) -> bool:
        if number < self._start.source:
            return True
        single = isinstance(source, Rejected) or source.form in ("text", "html")
        return single and self._start.items > 0

    def _read(self, number: int, source: Source | Rejected) -> Iterator[tuple[Record | Rejected, Position]]:
        if isinstance(source, Source):
            self._current = source
        done = self._start.items if number == self._start.source else 0
        count, digest = 0, b""
        for item in [source] if isinstance(source, Rejected) else read_records(source, self._options):
            count += 1
            digest = _chain(digest, item)
            if count > done:
                yield item, Position(number, count, digest.hex())
                continue
            self._watch(count)
            if count == done and digest.hex() != self._start.digest:
                break
        if count < done or (count == done > 0 and digest.hex() != self._start.digest):
            place = source.place
            raise WusumError(f"{place}: changed since the run began; expected what was read then; start anew: --force")


def _chain(digest: bytes, item: Record | Rejected) -> bytes:
    if isinstance(item, Rejected):
        content = str(item)
    else:
        article = item.article
        text = article if isinstance(article, str) else f"{article.title}\0{article.text}"
        content = f"{item.place}\0{item.key}\0{item.columns}\0{text}"
    return hashlib.blake2b(digest + content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
