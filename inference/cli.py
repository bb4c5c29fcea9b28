"""The command ``wusum``: finds the subcommand, runs it, and turns faults into one line and an exit code."""

from __future__ import annotations

import difflib
import importlib.metadata
import io
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from typing import NoReturn

from ..labels.command_base import Command
from ..labels.errors import WusumError
from .progress import say

GROUP = "wusum.commands"
_INTERRUPTED, _BROKEN_PIPE, _FAULT = 130, 141, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``wusum`` with ``argv`` (``sys.argv`` without the program's name when None) and return its exit code.

    Example:
        >>> main(["--version"])  # doctest: +SKIP
        0
    """
    _speak_utf8()
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()
    except WusumError as fault:
        for line in str(fault).split("\n"):
            say(line)
        code = _FAULT
    except KeyboardInterrupt:
        say("interrupted")
        code = _INTERRUPTED
    except BrokenPipeError:
        code = _BROKEN_PIPE
    except OSError as fault:
        say(f"{fault.filename or 'standard output'}: {fault.strerror or fault}; free some space or check the path")
        code = _FAULT
    _drop_unwritten()
    return code


def _speak_utf8() -> None:
    """Make text go out as UTF-8 under every locale; what cannot be encoded is escaped instead of raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _drop_unwritten() -> None:
    """Point a stream that takes no more at nothing, so that Python's own flush at exit does not complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Parser(ArgumentParser):
    """Tells a usage fault in one line, as every other fault is told."""

    def error(self, message: str) -> NoReturn:
        raise WusumError(f"{self.prog.removeprefix('wusum').strip()}: {message}; see: {self.prog} --help".lstrip(": "))


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if argv[0] == "--version":
        sys.stdout.write(f"wusum {_version()}\n")
        return 0
    entry = _find(argv[0])
    parser = _Parser(prog=f"wusum {entry.name}", allow_abbrev=False)
    command = _load(entry)
    try:
        command.add_arguments(parser)
        return command.run(_parse(parser, argv[1:]))
    except ModuleNotFoundError as fault:
        raise _missing(entry, fault) from fault
    except SystemExit as stop:  # argparse leaves like this after --help
        return stop.code if isinstance(stop.code, int) else 0


def _parse(parser: ArgumentParser, argv: list[str]) -> Namespace:
    """Parse options and paths in any order; a command that has commands of its own takes options first."""
    try:
        return parser.parse_intermixed_args(argv)
    except TypeError:  # what argparse documents for parsers that cannot be intermixed
        return parser.parse_args(argv)


def _entries() -> EntryPoints:
    return importlib.metadata.entry_points(group=GROUP)


def _find(name: str) -> EntryPoint:
    entries = {entry.name: entry for entry in _entries()}
    if name in entries:
        return entries[name]
    if not entries:
        raise WusumError("no commands are installed; expected the package wusum; install it: pip install wusum")
    if name.startswith("-"):
        raise WusumError(f"unknown option {name!r}; expected one of {', '.join(sorted(entries))}; see: wusum --help")
    near = difflib.get_close_matches(name, entries, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "see: wusum --help"
    raise WusumError(f"unknown command {name!r}; expected one of {', '.join(sorted(entries))}; {advice}")


def _load(entry: EntryPoint) -> Command:
    try:
        command = entry.load()
    except ModuleNotFoundError as fault:
        raise _missing(entry, fault) from fault
    if not isinstance(command, Command):
        raise WusumError(f"{entry.value}: is no Command; expected a command of wusum; remove the package that adds it")
    return command


def _missing(entry: EntryPoint, fault: ModuleNotFoundError) -> WusumError:
    module = fault.name or str(fault)
    if module.split(".")[0] == "wusum":
        return WusumError(f"{entry.name}: the module {module} is missing; install wusum again: pip install wusum")
    extra = _extra_with(module.split(".")[0]) or next(iter(entry.extras), None)
    needed = f"wusum[{extra}]" if extra else module.split(".")[0]
    return WusumError(f"{entry.name}: the module {module} is not installed; needs the extra: pip install '{needed}'")


def _extra_with(module: str) -> str | None:
    """Return the extra of wusum that brings ``module``, by the name of its distribution."""
    try:
        requirements = importlib.metadata.requires("wusum") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
        if name and extra and re.sub("[-.]", "_", name[0]).lower() == module.lower():
            return extra[1]
    return None


def _version() -> str:
    try:
        return importlib.metadata.version("wusum")
    except importlib.metadata.PackageNotFoundError:
        raise WusumError("the package is not installed, so it has no version; install it: pip install wusum") from None


def _help() -> str:
    lines = ["usage: wusum COMMAND ...", "", "Topics and actors of Arabic political news.", "", "commands:"]
    for entry in sorted(_entries(), key=lambda entry: entry.name):
        try:
            summary = _load(entry).help
        except WusumError as fault:
            summary = f"(not available: {fault})"
        lines.append(f"  {entry.name:<10} {summary}")
    lines += ["", "options:", "  -h, --help  this help; wusum COMMAND --help tells more", "  --version   the version"]
    return "\n".join(lines) + "\n"
