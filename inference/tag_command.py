"""``wusum tag``: tags articles from files, folders and standard input."""

from __future__ import annotations

import itertools
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..labels.command_base import Command
from ..labels.errors import WusumError
from .prediction import Prediction
from .progress import Tally
from .readers import Fields, Record, read_records
from .sources import STDIN, find_sources, shown
from .writers import JsonLinesWriter, OutputFile, Writer, check_output, standard_output

if TYPE_CHECKING:
    from .article import Article
    from .tagger import Tagger

_DESCRIPTION = """\
Tag Arabic news articles with their topics and actors.

PATH is one of
  a text file    one article, as copied from a site: headline and body are found, page furniture is dropped
  a .jsonl file  one article a line: an object with the fields text, title and id; only text is needed
  a folder       every .txt file below it, in the order of names; if there is none, every .jsonl file
  -              standard input: one article, or JSON lines if it begins with {
Text is UTF-8, or UTF-16 with a byte-order mark; an article has 2 MB at most."""
_EPILOG = """\
On a terminal the tags come as a table, into a pipe or a file as JSON lines in the order of the input.
Exit code: 0 all tagged; 1 some inputs rejected (told on standard error), others tagged; 2 nothing tagged.

examples:
  wusum tag article.txt
  wusum tag articles.jsonl -o tags.jsonl
  cat article.txt | wusum tag -"""


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ArgumentTypeError(f"{text!r} is no number of threads; expected 1 to 1024")
    return int(text)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, folder or -")
    parser.add_argument("-o", "--output", metavar="OUT", help="write JSON lines to this file, in place when complete")
    parser.add_argument("--force", action="store_true", help="overwrite OUT if it exists")
    parser.add_argument("--bundle", metavar="DIR", type=Path, help="use this model bundle instead of the embedded one")
    parser.add_argument("--format", choices=("auto", "table", "jsonl"), default="auto", help="form of the output")
    for field in ("text", "title", "id"):
        parser.add_argument(
            f"--{field}-field", metavar="NAME", default=field, help=f"JSON field of the {field} (default: {field})"
        )
    parser.add_argument("--threads", metavar="N", type=_count, help="threads to compute with (default: all cores)")


def _run(arguments: Namespace) -> int:
    output = None if arguments.output in (None, STDIN) else Path(arguments.output)
    as_table = _wants_table(arguments)
    _check(arguments, output)
    with Tally(watched=_is_terminal(sys.stderr) and not as_table) as tally:
        records = tally.accepted(_read(arguments))
        first = next(records, None)
        if first is None:  # then the model, most of the time that a short run takes, is not loaded at all
            return tally.exit_code()
        tagger = _load_tagger(arguments.bundle, arguments.threads)
        with _open_writer(tagger, output, as_table) as writer:
            for record, prediction in _predict(tagger, itertools.chain([first], records), tally.reject):
                writer.write(record, prediction)
                tally.add_tagged()
        return tally.exit_code()


def _wants_table(arguments: Namespace) -> bool:
    if arguments.output is None and arguments.format == "auto":
        return _is_terminal(sys.stdout)
    return bool(arguments.format == "table")


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())


def _check(arguments: Namespace, output: Path | None) -> None:
    if arguments.paths.count(STDIN) > 1:
        raise WusumError("tag: - stands more than once; standard input can be read only once; name it once")
    if arguments.output is not None and arguments.format == "table":
        raise WusumError("tag: --format table goes to the screen only; leave out -o or the format")
    if output is None:
        standard_output()
        return
    check_output(output, arguments.force)
    for path in arguments.paths:
        if path != STDIN and os.path.realpath(path) == os.path.realpath(output):
            raise WusumError(f"{shown(path)}: is input and output at once; choose another name for -o")


def _read(arguments: Namespace) -> Iterator[Record | WusumError]:
    fields = Fields(arguments.text_field, arguments.title_field, arguments.id_field)
    for source in find_sources(arguments.paths, leave_out=arguments.output):
        if isinstance(source, WusumError):
            yield source
        else:
            yield from read_records(source, fields)


def _load_tagger(bundle: Path | None, threads: int | None) -> Tagger:
    from .tagger import Tagger

    return Tagger.load(bundle, threads=threads)


def _open_writer(tagger: Tagger, output: Path | None, as_table: bool) -> AbstractContextManager[Writer]:
    if output is not None:
        return OutputFile(output)
    if as_table:
        from .table import TableWriter

        return nullcontext(TableWriter(tagger.taxonomy))
    return nullcontext(JsonLinesWriter(standard_output(), "standard output"))


def _predict(
    tagger: Tagger, records: Iterable[Record], reject: Callable[[WusumError], None]
) -> Iterator[tuple[Record, Prediction]]:
    """Pair each record with its prediction, in order; one that the tagger refuses costs no other."""
    waiting: deque[Record] = deque()

    def feed() -> Iterator[str | Article]:
        for record in records:
            waiting.append(record)
            yield record.article

    remaining = True
    while remaining:
        remaining = False
        try:
            for prediction in tagger.stream(feed()):
                yield waiting.popleft(), prediction
        except WusumError:
            if not waiting:
                raise
            remaining = True  # the stream is gone, but not what it had not read
        while waiting:
            record = waiting.popleft()
            try:
                prediction = tagger.predict(record.article)
            except WusumError as fault:
                reject(WusumError(f"{record.where}: {fault}"))
                continue
            yield record, prediction


COMMAND = Command("tag articles with their topics and actors", _add_arguments, _run)
