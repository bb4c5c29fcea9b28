"""``wusum tag``: tags articles from files, folders and standard input."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..labels.command_base import Command
from ..labels.errors import WusumError
from .checkpoint import survey
from .choice import Choice
from .columns import Columns, ReadOptions
from .formats import output_form
from .formats_output import open_form
from .html_page import PageReader
from .job import FileJob, predictions, safe_after
from .progress import Show, Tally, say
from .readers import Walk
from .rejected import STDIN, Rejected, shown
from .sources import REJECTED_SUFFIX, Source, find_sources
from .tag_options import add_arguments, refuse_ray_only, tell_never_given
from .writers import JsonLinesWriter, Writer, check_output, standard_output, to_row

if TYPE_CHECKING:
    from ..labels import Taxonomy
    from .article import Article
    from .bundle import Bundle
    from .prediction import Prediction
    from .tagger import Tagger

_INTERRUPTED = 130
_DECISIVE = (  # options that decide about the output
    *("clean", "id_column", "title_column", "text_column", "input_format", "engine"),
    *("keep_columns", "labels", "top", "all_scores", "min_precision", "evidence"),
)


class _Explaining:
    """A tagger that tells the evidence too."""

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger

    @property
    def taxonomy(self) -> Taxonomy:
        return self._tagger.taxonomy

    @property
    def bundle(self) -> Bundle:
        return self._tagger.bundle

    def predict(self, article: str | Article) -> Prediction:
        return self._tagger.predict(article, evidence=True)

    def stream(self, articles: Iterable[str | Article]) -> Iterator[Prediction]:
        return self._tagger.stream(articles, evidence=True)


Loaded: TypeAlias = "Tagger | _Explaining"


def _run(arguments: Namespace) -> int:
    if arguments.engine == "ray":
        from .ray_command import run_on_ray

        return run_on_ray(arguments)
    output = None if arguments.output in (None, STDIN) else Path(arguments.output)
    _check(arguments, output)
    columns = Columns(arguments.text_column, arguments.title_column, arguments.id_column)
    choice = Choice(arguments.labels, arguments.top, arguments.all_scores)

    @functools.cache
    def load() -> Loaded:
        tagger = _load_tagger(arguments, side_by_side=output is not None)
        choice.check(tagger.taxonomy)
        return _Explaining(tagger) if arguments.evidence else tagger

    with PageReader() as pages:
        options = ReadOptions(columns, arguments.clean, arguments.keep_columns, pages)
        if output is None:
            return _to_screen(arguments, options, choice, load)
        return _to_file(output, arguments, options, choice, load)


def _to_screen(arguments: Namespace, options: ReadOptions, choice: Choice, load: Callable[[], Loaded]) -> int:
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
    output: Path, arguments: Namespace, options: ReadOptions, choice: Choice, load: Callable[[], Loaded]
) -> int:
    job = FileJob(output, open_form(output))
    with job.alone(), Tally(_show()) as tally:
        try:
            if not (arguments.resume or arguments.force):
                job.refuse_to_overwrite()
            digest, size = survey(_finder(arguments)(), lambda count: tally.prepare(count, "inputs found"))
            identity = _identity(arguments, load) | {"input": digest}
            if not job.begin(identity, resume=arguments.resume, force=arguments.force):
                say(f"{job.where}: complete already; nothing to resume")
                return 0
            passed = functools.partial(tally.prepare, what="articles passed over that are done already")
            walk = Walk(_finder(arguments), options, job.state.position, passed)
            tally.begin(job.state.tagged, job.state.rejected, lambda: walk.taken, size)
            if not job.state.finished:
                _tag_all(job, walk, choice, load, tally)
            tally.note(f"putting {job.where} together")
            job.finish()
        except KeyboardInterrupt:
            say(f"interrupted; {safe_after(job)}")
            return _INTERRUPTED
        return tally.exit_code(f"{job.where}{REJECTED_SUFFIX}", always=True)


def _tag_all(job: FileJob, walk: Walk, choice: Choice, load: Callable[[], Loaded], tally: Tally) -> None:
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


def _identity(arguments: Namespace, load: Callable[[], Loaded]) -> dict[str, Any]:
    """Return all that decides about the output, besides the input, by the names under which messages tell of it."""
    from .bundle import embedded_bundle
    from .manifest import MANIFEST, file_sha256

    try:
        version = importlib.metadata.version("wusum")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    try:
        bundle = file_sha256(Path(arguments.bundle or embedded_bundle()) / MANIFEST)
    except OSError:  # no folder: a name that loading resolves, or tells what is wrong with
        bundle = file_sha256(load().bundle.folder / MANIFEST)
    named = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in _DECISIVE}
    # As the journal gives it back: a tuple becomes a list.
    identity: dict[str, Any] = json.loads(json.dumps({"version of wusum": version, "bundle": bundle, **named}))
    return identity


def _show() -> Show:
    return "bar" if _is_terminal(sys.stderr) else "log"


def _wants_table(arguments: Namespace) -> bool:
    if arguments.output is None and arguments.format == "auto":
        return _is_terminal(sys.stdout) and not arguments.evidence
    return bool(arguments.format == "table")


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())


def _check(arguments: Namespace, output: Path | None) -> None:
    refuse_ray_only(arguments)
    if arguments.paths.count(STDIN) > 1:
        raise WusumError("tag: - stands more than once; standard input can be read only once; name it once")
    if arguments.output is not None and arguments.format == "table":
        raise WusumError("tag: --format table goes to the screen only; leave out -o or the format")
    if arguments.evidence and arguments.format == "table":
        raise WusumError("tag: --format table has no room for --evidence; expected one of them; leave one out")
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


def _load_tagger(arguments: Namespace, *, side_by_side: bool) -> Tagger:
    """Load the tagger: for a file as many articles at once as threads, for the screen each as fast as possible."""
    from .engine import available_cores
    from .tagger import Tagger

    threads = arguments.threads or available_cores()
    each, workers = (1, threads) if side_by_side else (threads, 1)
    tagger = Tagger.load(arguments.bundle, threads=each, workers=workers, engine=arguments.engine)
    if arguments.min_precision is not None:
        try:
            never = tagger.require_precision(arguments.min_precision)
        except WusumError as fault:
            raise WusumError(f"tag: --min-precision: {fault}") from None
        tell_never_given(arguments, never)
    return tagger


def _open_writer(load: Callable[[], Loaded], as_table: bool) -> Writer:
    if as_table:
        from .table import TableWriter

        return TableWriter(load().taxonomy)
    return JsonLinesWriter(standard_output(), "standard output")


COMMAND = Command("tag articles with their topics and actors", add_arguments, _run)
