"""``wusum average``: the mean of several runs' weights."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..labels.command_base import Command
from ..labels.errors import WusumError
from .train_command import tell


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("recipe", type=Path, help="the runs' recipe, for example configs/default.yaml")
    parser.add_argument("override", nargs="*", help="section.key=value, for example output=runs/mean")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="RUN", help="run folders, or bundles")


def run(arguments: Namespace) -> int:
    """Average and say where the bundle lies and how it does on dev."""
    try:
        from .average import average
        from .config import load_config
    except ImportError as fault:
        raise WusumError(f"averaging needs the package {fault.name!r}: pip install 'wusum[train]'") from fault
    tell(average(load_config(arguments.recipe, arguments.override), arguments.runs))
    return 0


COMMAND = Command("average the weights of several runs into one bundle", add_arguments, run)
