"""Builds the embedded model from the labels of today: ``python -m wusum.training.rebuild SANAD/Khaleej ANT-corpus``.

From the repository's root, with both corpora, as folders or as JSON lines. A stage whose result is there is passed
over, and one that was stopped goes on from its last checkpoint, so the same command is called again until all is done.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..inference.progress import say
from .script import run_script

_WUSUM = ("-c", "from wusum.inference.cli import main; raise SystemExit(main())")


@dataclass(frozen=True)
class Stage:
    """One stage: where its result lies, and the arguments of Python that make it."""

    result: Path
    arguments: Sequence[str]


def stages(corpora: Sequence[str]) -> list[Stage]:
    """Return the stages in their order.

    Example:
        >>> [stage.result.as_posix() for stage in stages(["khaleej.jsonl.xz"])][-1]
        'runs/default/bundle'
    """
    news, pieces = "data/news.jsonl", "data/excerpts.jsonl"
    folded, adapted = Path("runs/folded/encoder"), Path("runs/pretrain/encoder")
    spelling = "input.recipe=e5-ar-2"
    pretraining = (
        *_WUSUM,
        "pretrain",
        "configs/pretrain.yaml",
        spelling,
        f"model.encoder={folded.as_posix()}",
        "optimisation.steps=1400",
    )
    encoder = (f"model.encoder={adapted.as_posix()}", "model.keep_layers=null")
    excerpts = (f"data.soft={pieces}", "data.soft_weight=0.5", "ngrams.weight=1.0", "optimisation.epochs=2")
    return [
        Stage(
            Path("data/gold/train.jsonl"), (*_WUSUM, "labels", "join", *corpora, "-o", "data/gold", "--split", "train")
        ),
        Stage(Path(news), ("-m", "wusum.training.news_draw", *corpora, "-o", news)),
        Stage(folded, ("-m", "wusum.training.fold_vocabulary", "me5-small-ar", folded.as_posix())),
        Stage(adapted, pretraining),
        Stage(Path(pieces), ("-m", "wusum.training.excerpts", "data/gold/train.jsonl", "--other-years", "-o", pieces)),
        Stage(Path("runs/default/bundle"), (*_WUSUM, "train", "configs/default.yaml", spelling, *encoder, *excerpts)),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not done yet; return the exit code of the stage that failed, or 0."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.rebuild", description=__doc__)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="corpus folder or .jsonl file (.gz, .xz)")
    given = parser.parse_args(argv)
    plan = stages(given.corpora)
    for number, stage in enumerate(plan, 1):
        if stage.result.exists():
            say(f"stage {number} of {len(plan)}: {stage.result} is there")
            continue
        say(f"stage {number} of {len(plan)}: {stage.result}")
        code = subprocess.run([sys.executable, *stage.arguments], check=False).returncode
        if code:
            say(f"stage {number} ended with exit code {code}; mend what it said and call the same command again")
            return code
    return 0


if __name__ == "__main__":
    run_script(main)
