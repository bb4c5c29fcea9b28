"""What the programs of this package that are called by ``python -m`` share."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from ..inference.progress import say
from ..labels.errors import WusumError

Item = TypeVar("Item")
_FAULT, _INTERRUPTED = 2, 130


def run_script(main: Callable[[], int | None]) -> NoReturn:
    """Run a program and end the process: a fault that its user can mend is one line and exit code 2, Ctrl-C is 130.

    Example:
        >>> run_script(lambda: 0)
        Traceback (most recent call last):
        SystemExit: 0
    """
    try:
        code = main() or 0
    except WusumError as fault:
        say(str(fault))
        code = _FAULT
    except OSError as fault:
        say(f"{fault.filename or 'standard output'}: {fault.strerror or fault}; check the path, or free some space")
        code = _FAULT
    except KeyboardInterrupt:
        say("interrupted")
        code = _INTERRUPTED
    sys.exit(code)


def require_at_least(parser: ArgumentParser, given: Namespace, **least: int) -> None:
    """End with the parser's message where a number that was given is too small.

    Example:
        >>> require_at_least(ArgumentParser(), Namespace(rounds=3), rounds=1)
    """
    for name, smallest in least.items():
        if getattr(given, name) < smallest:
            parser.error(f"--{name.replace('_', '-')}: expected {smallest} or more")


def rotated(items: Sequence[Item], number: int) -> list[Item]:
    """Return the items beginning with another one in every round, so that none always runs behind the same.

    Example:
        >>> rotated(["a", "b", "c"], 4)
        ['b', 'c', 'a']
    """
    first = number % len(items)
    return [*items[first:], *items[:first]]
