"""``wusum labels``: join the gold labels with their texts, check labelled files, list a label scheme.

Other packages add actions through the entry-point group ``wusum.labels_commands``.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .command_base import Command
from .errors import WusumError
from .standoff import SPLITS

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Callable

    from .join import SplitReport

ACTION_GROUP: Final = "wusum.labels_commands"
_SHOWN_IDS: Final = 5
_PATIENCE_SECONDS: Final = 2.0
_EXIT_INCOMPLETE: Final = 1
_EXIT_FAULTY: Final = 2


def _add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="labels_action", required=True, metavar="ACTION")

    join = actions.add_parser("join", help="join the gold labels with the texts of your copies of the corpora")
    join.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="corpus folder or .jsonl file (.gz, .xz)")
    join.add_argument(
        "-o", "--out", required=True, type=Path, metavar="DIR", help="where to write train and test.jsonl"
    )
    join.add_argument("--split", choices=SPLITS, help="join and write this one only; default: both")
    join.add_argument("--force", action="store_true", help="overwrite what is there")
    join.set_defaults(labels_run=_run_join)

    check = actions.add_parser("check", help="check labelled JSON Lines files and report every fault")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="labelled .jsonl file (.gz, .xz)")
    check.set_defaults(labels_run=_run_check)

    listing = actions.add_parser("list", help="list the labels of a scheme")
    listing.set_defaults(labels_run=_run_list)
    for action in (check, listing):
        action.add_argument("--taxonomy", type=Path, metavar="T", help="label scheme (YAML); default: the packaged one")
    for entry in sorted(entry_points(group=ACTION_GROUP), key=lambda entry: entry.name):
        _add_action(actions, entry)


def _add_action(actions: _SubParsersAction[ArgumentParser], entry: EntryPoint) -> None:
    """Add the action of another package; one that cannot be loaded says so in the help and when it is called."""
    try:
        command = entry.load()
    except ModuleNotFoundError as fault:
        # No prefix character is ever typed, so that whatever follows the name is taken and the fault is told.
        parser = actions.add_parser(entry.name, help=f"(not available: {_missing(entry, fault)})", prefix_chars="\0")
        parser.add_argument("words", nargs="*")
        parser.set_defaults(labels_run=partial(_run_missing, entry, fault))
        return
    parser = actions.add_parser(entry.name, help=command.help)
    command.add_arguments(parser)
    parser.set_defaults(labels_run=partial(_run_action, entry, command))


def _run_action(entry: EntryPoint, command: Command, arguments: Namespace) -> int:
    try:
        return command.run(arguments)
    except ModuleNotFoundError as fault:
        raise _missing(entry, fault) from fault


def _run_missing(entry: EntryPoint, fault: ModuleNotFoundError, arguments: Namespace) -> int:
    raise _missing(entry, fault)


def _missing(entry: EntryPoint, fault: ModuleNotFoundError) -> WusumError:
    package = f"wusum[{entry.extras[0]}]" if entry.extras else entry.module.split(".")[0]
    needed = f"labels {entry.name}: the module {fault.name} is not installed"
    return WusumError(f"{needed}; needs the extra: pip install '{package}'")


def _run(arguments: Namespace) -> int:
    exit_code: int = arguments.labels_run(arguments)
    return exit_code


def _run_join(arguments: Namespace) -> int:
    from .join import join

    wanted = SPLITS if arguments.split is None else (arguments.split,)
    with _progress() as on_text:
        reports = join(arguments.sources, arguments.out, force=arguments.force, wanted=wanted, on_text=on_text)
    for report in reports:
        _write_lines(_report_lines(report, arguments.out))
    return 0 if all(report.joined == report.expected for report in reports) else _EXIT_INCOMPLETE


def _run_check(arguments: Namespace) -> int:
    from .check import check_file
    from .taxonomy import load_taxonomy

    taxonomy = load_taxonomy(arguments.taxonomy)
    faulty = False
    for path in arguments.files:
        count = 0
        for count, fault in enumerate(check_file(path, taxonomy), 1):  # noqa: B007 - the count outlives the loop
            _write_lines([fault])
        _write_lines([f"{path}: {count} faults" if count else f"{path}: no fault"])
        faulty = faulty or count > 0
    return _EXIT_FAULTY if faulty else 0


def _run_list(arguments: Namespace) -> int:
    from .taxonomy import load_taxonomy

    labels = load_taxonomy(arguments.taxonomy).labels
    rows = [(label.id, label.kind, label.ar, label.en) for label in labels]
    if not sys.stdout.isatty():
        _write_lines("\t".join(row) for row in rows)
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "kind", "Arabic", "English")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return 0


def _report_lines(report: SplitReport, out: Path) -> Iterator[str]:
    yield f"{out / report.split}.jsonl: {report.joined} of {report.expected} articles joined"
    for what, ids in (
        ("missing in the sources", report.missing),
        ("same name but other text", report.changed),
        ("found more than once (the first counts)", report.repeated),
    ):
        if ids:
            more = ", ..." if len(ids) > _SHOWN_IDS else ""
            yield f"  {what}: {len(ids)} ({', '.join(ids[:_SHOWN_IDS])}{more})"


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Give a callback that shows counts on a terminal's stderr once the work has taken a while."""
    if not sys.stderr.isatty():
        yield lambda read, joined: None
        return
    from rich.console import Console

    status = Console(stderr=True).status("joining")
    started = time.monotonic()

    def show(read: int, joined: int) -> None:
        if time.monotonic() - started > _PATIENCE_SECONDS:
            status.update(f"{read:,} texts read, {joined:,} joined")
            status.start()

    try:
        yield show
    finally:
        status.stop()


def _write_lines(lines: Iterator[str] | list[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


COMMAND = Command("join, check and list labels and labelled data", _add_arguments, _run)
