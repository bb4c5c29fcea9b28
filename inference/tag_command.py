"""``wusum tag``: tags articles from files, folders and standard input."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..labels.command_base import Command
from ..labels.errors import WusumError
from .checkpoint import survey
from .choice import Choice
from .columns import Columns, ReadOptions
from .formats import INPUT_FORMS, output_form
from .formats_output import open_form
from .html_page import PageReader
from .job import FileJob, predictions, safe_after
from .progress import Show, Tally, say
from .readers import Walk
from .rejected import STDIN, Rejected, shown
from .sources import REJECTED_SUFFIX, Source, find_sources
from .writers import JsonLinesWriter, Writer, check_output, standard_output, to_row

if TYPE_CHECKING:
    from .tagger import Tagger

_INTERRUPTED = 130
_DECISIVE = (  # options that decide about the output
    *("clean", "id_column", "title_column", "text_column", "input_format", "threads"),
    *("keep_columns", "labels", "top", "all_scores"),
)
_DESCRIPTION = """\
Tag Arabic news articles with their topics and actors.

PATH is one of
  .txt                  one article, as copied from a site: headline and body are found, page furniture is dropped
  .html, .htm           one page of a site; its title, date and author stand in the output
  .jsonl, .csv, .tsv    one article a line or row, in the columns text, title and id; only text is needed
  .parquet              the same
  a folder              every .txt and .html file below it, in the order of names; if there is none, every .jsonl,
                        .csv, .tsv and .parquet file
  a pattern in quotes   'archive/2016-*.jsonl.gz'; ** stands for any folders
  -                     standard input: one article, a page of HTML, or JSON lines if it begins with {
All but Parquet may be packed (.gz, .zst). Text is UTF-8, or UTF-16 with a byte-order mark; an article has 2 MB at most.
HTML, Parquet and .zst need more packages: pip install 'wusum[files]'"""
_EPILOG = """\
Without -o the tags go to standard output, in the order of the input: on a terminal as a table, else as JSON lines.
With -o the suffix of OUT tells the form: .jsonl, .csv, .tsv (each also .gz, .zst) or .parquet. OUT appears when it is
complete; inputs that cannot be tagged are listed with the reasons in OUT.rejected.jsonl. A run that was ended, by
whatever, goes on with --resume, and its output is the same as if nothing had happened.
Exit code: 0 all tagged; 1 some inputs rejected (told on standard error), others tagged; 2 nothing tagged;
130 interrupted.

examples:
  wusum tag article.txt
  wusum tag articles.jsonl -o tags.jsonl
  wusum tag archive.csv.gz --text-column body --keep-columns -o tagged.parquet
  cat article.txt | wusum tag -"""


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ArgumentTypeError(f"{text!r} is no number of threads; expected 1 to 1024")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ArgumentTypeError(f"{text!r} is no number of labels; expected 1 to 1000")
    return int(text)


def _labels(text: str) -> tuple[str, ...]:
    return tuple(label.strip() for label in text.split(","))


def _add_arguments(parser: ArgumentParser) -> None:
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = RawDescriptionHelpFormatter
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="file, folder, pattern or -")
    add("-o", "--output", metavar="OUT", help="write to this file, in place when complete")
    add("--force", action="store_true", help="overwrite OUT, or an unfinished run of it, if it exists")
    add("--resume", action="store_true", help="go on with an unfinished run of the same command; else begin")
    add("--keep-columns", action="store_true", help="write the input's own columns before the tags, not only the id")
    add("--labels", metavar="A,B", type=_labels, help="tell these labels only")
    add("--top", metavar="N", type=_number, help="tell at most N of the labels that an article gets, the surest")
    add("--all-scores", action="store_true", help="write the scores of all labels, not only of those that are given")
    add("--bundle", metavar="DIR", type=Path, help="use this model bundle instead of the embedded one")
    add("--format", choices=("auto", "table", "jsonl"), default="auto", help="form of the tags on standard output")
    add("--input-format", choices=INPUT_FORMS, help="what - and files whose name does not tell hold")
    for column in ("text", "title", "id"):
        add(f"--{column}-column", metavar="NAME", default=column, help=f"column of the {column} (default: {column})")
        add(f"--{column}-field", dest=f"{column}_column", default=SUPPRESS, help=SUPPRESS)
    add(
        "--clean",
        choices=("auto", "always", "never"),
        default="auto",
        help="drop page furniture: auto: of .txt and .html, columns are clean; always: of columns too; never: of none",
    )
    add("--threads", metavar="N", type=_count, help="threads to compute with (default: all cores)")


def _run(arguments: Namespace) -> int:
    output = None if arguments.output in (None, STDIN) else Path(arguments.output)
    _check(arguments, output)
    columns = Columns(arguments.text_column, arguments.title_column, arguments.id_column)
    choice = Choice(arguments.labels, arguments.top, arguments.all_scores)

    @functools.cache
    def load() -> Tagger:
        tagger = _load_tagger(arguments.bundle, arguments.threads)
        choice.check(tagger.taxonomy)
        return tagger

    with PageReader() as pages:
        options = ReadOptions(columns, arguments.clean, arguments.keep_columns, pages)
        if output is None:
            return _to_screen(arguments, options, choice, load)
        return _to_file(output, arguments, options, choice, load)


def _to_screen(arguments: Namespace, options: ReadOptions, choice: Choice, load: Callable[[], Tagger]) -> int:
    as_table = _wants_table(arguments)
    with Tally("nothing" if as_table else _show()) as tally:
        writer: Writer | None = None
        for tagged, _ in predictions(load, Walk(_finder(arguments), options)):
            if isinstance(tagged, Rejected):
                tally.reject(tagged)
                continue
            writer = writer or _open_writer(load, as_table)
            writer.write(tagged.record, choice.apply(tagged.prediction))
            tally.add_tagged()
        return tally.exit_code()


def _to_file(
    output: Path, arguments: Namespace, options: ReadOptions, choice: Choice, load: Callable[[], Tagger]
) -> int:
    job = FileJob(output, open_form(output))
    if not (arguments.resume or arguments.force):
        job.refuse_to_overwrite()
    with Tally(_show()) as tally:
        try:
            digest, size = survey(_finder(arguments)(), tally.found)
            identity = _identity(arguments, load) | {"input": digest}
            if not job.begin(identity, resume=arguments.resume, force=arguments.force):
                say(f"{job.where}: complete already; nothing to resume")
                return 0
            walk = Walk(_finder(arguments), options, job.state.position)
            tally.begin(job.state.tagged, job.state.rejected, lambda: walk.taken, size)
            if not job.state.finished:
                _tag_all(job, walk, choice, load, tally)
            tally.note(f"putting {job.where} together")
            job.finish()
        except KeyboardInterrupt:
            say(f"interrupted; {safe_after(job)}")
            return _INTERRUPTED
        return tally.exit_code(f"{job.where}{REJECTED_SUFFIX}", always=True)


def _tag_all(job: FileJob, walk: Walk, choice: Choice, load: Callable[[], Tagger], tally: Tally) -> None:
    before = job.state
    try:
        for tagged, position in predictions(load, walk):
            if isinstance(tagged, Rejected):
                job.reject(tagged, position)
                tally.reject(tagged)
            else:
                job.add(to_row(tagged.record, choice.apply(tagged.prediction)), position)
                tally.add_tagged()
    except WusumError:
        words = safe_after(job)
        if job.state != before:
            say(words)
        raise


def _finder(arguments: Namespace) -> Callable[[], Iterator[Source | Rejected]]:
    return lambda: find_sources(arguments.paths, arguments.output, arguments.input_format)


def _identity(arguments: Namespace, load: Callable[[], Tagger]) -> dict[str, Any]:
    """Return all that decides about the output, besides the input, by the names under which messages tell of it."""
    from .bundle import MANIFEST, embedded_bundle, file_sha256

    try:
        version = importlib.metadata.version("wusum")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    try:
        bundle = file_sha256((arguments.bundle or embedded_bundle()) / MANIFEST)
    except OSError:
        load()  # tells what is wrong with it
        raise
    named = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in _DECISIVE}
    # As the journal gives it back: a tuple becomes a list.
    identity: dict[str, Any] = json.loads(json.dumps({"version of wusum": version, "bundle": bundle, **named}))
    return identity


def _show() -> Show:
    return "bar" if _is_terminal(sys.stderr) else "log"


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
    if arguments.resume and arguments.force:
        raise WusumError("tag: --resume goes on and --force starts anew; expected one of them; leave one out")
    if output is None:
        if arguments.resume:
            raise WusumError("tag: --resume goes on with a file; expected its name; add -o")
        standard_output()
        return
    check_output(output)
    if arguments.format == "jsonl" and output_form(output.name) not in ("jsonl", None):
        raise WusumError("tag: --format jsonl, and another form by the suffix of -o; expected one; leave --format out")
    for path in arguments.paths:
        if path != STDIN and os.path.realpath(path) == os.path.realpath(output):
            raise WusumError(f"{shown(path)}: is input and output at once; choose another name for -o")


def _load_tagger(bundle: Path | None, threads: int | None) -> Tagger:
    from .tagger import Tagger

    return Tagger.load(bundle, threads=threads)


def _open_writer(load: Callable[[], Tagger], as_table: bool) -> Writer:
    if as_table:
        from .table import TableWriter

        return TableWriter(load().taxonomy)
    return JsonLinesWriter(standard_output(), "standard output")


COMMAND = Command("tag articles with their topics and actors", _add_arguments, _run)
