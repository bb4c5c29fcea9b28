"""What a subcommand of ``wusum`` is made of; the entry-point group ``wusum.commands`` names objects of this class."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One subcommand: its help line, its arguments, and what it does.

    ``run`` returns the exit code. A module that holds a command imports heavy libraries inside ``run`` only, because
    ``wusum --help`` loads every command.

    Example:
        >>> Command("say hello", lambda parser: None, lambda arguments: 0).help
        'say hello'
    """

    help: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
