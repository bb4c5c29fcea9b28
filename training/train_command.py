"""``wusum train``: from a recipe to a bundle."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..inference.progress import say
from ..labels.command_base import Command
from ..labels.errors import WusumError

INTERRUPTED = 130


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("recipe", type=Path, help="training recipe, for example configs/default.yaml")
    parser.add_argument("override", nargs="*", help="section.key=value, for example optimisation.epochs=1")


def run(arguments: Namespace) -> int:
    """Train and say where the bundle lies and how it does on dev; interrupted, say how to go on."""
    try:
        from .checkpoints import last_complete_checkpoint
        from .config import load_config
        from .device import is_main_process
        from .pipeline import train
    except ImportError as fault:
        raise WusumError(f"training needs the package {fault.name!r}: pip install 'wusum[train]'") from fault
    config = load_config(arguments.recipe, arguments.override)
    try:
        folder = train(config)
    except KeyboardInterrupt:
        last = last_complete_checkpoint(Path(config.output) / "checkpoints")
        onward = f"goes on from {last}" if last else "begins anew, nothing was saved yet"
        say(f"interrupted; the same command {onward}")
        return INTERRUPTED
    if is_main_process():
        tell(folder)
    return 0


def tell(folder: Path) -> None:
    """Print how the finished bundle does on dev, and where it lies."""
    from ..inference.bundle import open_bundle

    bundle = open_bundle(folder)
    for name in ("micro_f1", "macro_f1"):
        interval = bundle.training["dev"]["served"][name]
        value, low, high = (interval[key] for key in ("value", "low", "high"))
        sys.stdout.write(f"dev {name} {value:.3f} (95 % interval {low:.3f} to {high:.3f})\n")
    sys.stdout.write(f"bundle: {bundle.folder}\n")


COMMAND = Command("fine-tune an encoder on labelled articles and write a bundle", add_arguments, run)
