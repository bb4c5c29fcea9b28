"""``wusum pretrain``: go on training an encoder on raw articles."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..labels.command_base import Command
from ..labels.errors import WusumError


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("recipe", type=Path, help="pre-training recipe, for example configs/pretrain.yaml")
    parser.add_argument("override", nargs="*", help="section.key=value, for example optimisation.steps=500")


def run(arguments: Namespace) -> int:
    """Train and say where the encoder lies and what the held-out loss became."""
    try:
        from .pretrain import pretrain
        from .pretrain_config import load_pretrain_config
    except ImportError as fault:
        raise WusumError(f"pre-training needs the package {fault.name!r}: pip install 'wusum[train]'") from fault

    outcome = pretrain(load_pretrain_config(arguments.recipe, arguments.override))
    for step, loss in (outcome.curve[0], outcome.curve[-1]):
        sys.stdout.write(f"held-out loss after {step} steps: {loss:.3f}\n")
    sys.stdout.write(f"encoder: {outcome.encoder}\n")
    return 0


COMMAND = Command("go on training an encoder on raw articles, by masked words", add_arguments, run)
