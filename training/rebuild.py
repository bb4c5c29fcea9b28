"""Builds the embedded model anew from the labels of today: ``python -m wusum.training.rebuild KHALEEJ ANTCORPUS``.

From the repository's root, with the texts of both corpora as JSON lines (also .gz and .xz). A stage whose result is
there is passed over, and one that was stopped goes on from its last checkpoint, so the same command is called again
until all is done.
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
_RECIPE = "configs/default.yaml"
# The second pre-training goes on where the first one ended, and hides other words.
_SECOND = ("optimisation.steps=1600", "optimisation.seed=1", "output=runs/pretrain-2")
# A fine-tuning that begins where another one ended takes short steps.
_SHORT = ("optimisation.epochs=2", "optimisation.learning_rate=6.0e-5", "optimisation.head_learning_rate=3.0e-3")


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
    news, first, second = "data/news.jsonl", Path("runs/pretrain/encoder"), Path("runs/pretrain-2/encoder")
    runs = {
        "runs/tuned-1": (*_going_on_from(first), "optimisation.seed=1"),
        "runs/tuned-2": (*_going_on_from(second), "optimisation.seed=1"),
        "runs/tuned-3": (*_going_on_from(second), "optimisation.seed=2", "optimisation.epochs=3"),
    }
    mean, folded, pieces = "runs/mean", Path("runs/folded/encoder"), "data/excerpts.jsonl"
    onwards = (*_going_on_from(second), f"model.start={mean}", "optimisation.seed=4", *_SHORT)
    spelling = (*_going_on_from(folded), "input.recipe=e5-ar-2", "model.start=runs/onwards", "optimisation.seed=5")
    last = (*spelling, f"data.soft={pieces}", "data.soft_weight=0.5", "ngrams.weight=1.0", *_SHORT)
    averaging = (*_WUSUM, "average", _RECIPE, *_going_on_from(second), f"output={mean}", "--runs", *runs)
    return [
        Stage(Path("data/gold/train.jsonl"), (*_WUSUM, "labels", "join", *corpora, "-o", "data/gold")),
        Stage(Path(news), ("-m", "wusum.training.news_draw", *corpora, "-o", news)),
        Stage(first, (*_WUSUM, "pretrain", "configs/pretrain.yaml")),
        Stage(second, (*_WUSUM, "pretrain", "configs/pretrain.yaml", *_going_on_from(first), *_SECOND)),
        *(_fine_tuning(name, options) for name, options in runs.items()),
        Stage(Path(mean, "bundle"), averaging),
        _fine_tuning("runs/onwards", onwards),
        Stage(folded, ("-m", "wusum.training.fold_vocabulary", second.as_posix(), folded.as_posix())),
        Stage(Path(pieces), ("-m", "wusum.training.excerpts", "data/gold/train.jsonl", "-o", pieces)),
        _fine_tuning("runs/default", last),
    ]


def _fine_tuning(run: str, options: Sequence[str]) -> Stage:
    return Stage(Path(run, "bundle"), (*_WUSUM, "train", _RECIPE, *options, f"output={run}"))


def _going_on_from(encoder: Path) -> tuple[str, str]:
    return f"model.encoder={encoder.as_posix()}", "model.keep_layers=null"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not done yet; return the exit code of the stage that failed, or 0."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.rebuild", description=__doc__)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="JSON lines, also .gz and .xz")
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
