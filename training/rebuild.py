"""Builds the embedded model from the labels of today: ``python -m wusum.training.rebuild SANAD/Khaleej ANT-corpus``.

From the repository's root, with both corpora, as folders or as JSON lines. All results lie in ``runs/rebuild``, the
bundle in ``runs/rebuild/model/bundle``. A stage whose result is there is passed over, and one that was stopped goes on
from its last checkpoint, so the same command is called again until all is done. Version 0.8.0 was built so.
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

_FOLDER = "runs/rebuild"
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
        'runs/rebuild/model/bundle'
    """
    # A folder of its own: what other trainings left in theirs must not be taken for a stage's result.
    gold, news, pieces = (f"{_FOLDER}/{name}" for name in ("gold", "news.jsonl", "excerpts.jsonl"))
    articles, spelling = f"{gold}/train.jsonl", "input.recipe=e5-ar-2"
    folded, adapted, model = (Path(_FOLDER, name) for name in ("folded/encoder", "pretrain/encoder", "model/bundle"))
    pretraining = (
        *_WUSUM,
        "pretrain",
        "configs/pretrain.yaml",
        spelling,
        f"data.articles=[{news}]",
        f"model.encoder={folded.as_posix()}",
        "optimisation.steps=1400",
        f"output={adapted.parent.as_posix()}",
    )
    given = (spelling, f"data.articles={articles}", f"output={model.parent.as_posix()}")
    encoder = (f"model.encoder={adapted.as_posix()}", "model.keep_layers=null")
    excerpts = (f"data.soft={pieces}", "data.soft_weight=0.5", "ngrams.weight=1.0", "optimisation.epochs=2")
    return [
        Stage(Path(articles), (*_WUSUM, "labels", "join", *corpora, "-o", gold, "--split", "train")),
        Stage(Path(news), ("-m", "wusum.training.news_draw", *corpora, "-o", news)),
        Stage(folded, ("-m", "wusum.training.fold_vocabulary", "me5-small-ar", folded.as_posix())),
        Stage(adapted, pretraining),
        Stage(Path(pieces), ("-m", "wusum.training.excerpts", articles, "--other-years", "-o", pieces)),
        Stage(model, (*_WUSUM, "train", "configs/default.yaml", *given, *encoder, *excerpts)),
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
            if stage.result.is_file():  # of a join that found only a part of the articles
                stage.result.unlink()
            say(f"stage {number} ended with exit code {code}; mend what it said and call the same command again")
            return code
    return 0


if __name__ == "__main__":
    run_script(main)
