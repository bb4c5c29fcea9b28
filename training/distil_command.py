"""``wusum distil``: a teacher labels raw articles softly."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..labels.command_base import Command
from ..labels.errors import WusumError


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("recipe", type=Path, help="distillation recipe, for example configs/distil.yaml")
    parser.add_argument("override", nargs="*", help="section.key=value, for example teacher.bundles=[runs/a]")


def run(arguments: Namespace) -> int:
    """Label and say where the soft labels lie."""
    try:
        from .distil import distil
        from .distil_config import load_distil_config
    except ImportError as fault:
        raise WusumError(f"distilling needs the package {fault.name!r}: pip install 'wusum[train]'") from fault

    path = distil(load_distil_config(arguments.recipe, arguments.override))
    sys.stdout.write(f"soft labels: {path}\n")
    return 0


COMMAND = Command("label raw articles softly with one or more bundles", add_arguments, run)
