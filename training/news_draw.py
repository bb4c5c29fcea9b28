"""Draws the raw articles of pre-training: ``python -m wusum.training.news_draw khaleej.jsonl.xz antcorpus.jsonl.xz``.

Mostly political news, so that the encoder's short training is spent on what it will tag: of SANAD's Khaleej folder all
of Politics, 23 % of Finance and 4 % of the other sections; of the ANT corpus all but sport, culture and technology.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..labels.errors import WusumError
from .progress import counted
from .raw import RawArticle, read_raw
from .script import run_script

FINANCE, OTHERS = 0.2, 0.04
LEFT_OUT = {"sport", "culture", "technology"}


def draw(articles: Iterator[RawArticle], seed: int = 0) -> Iterator[RawArticle]:
    """Yield the drawn articles in their order, which the draw depends on.

    Raises:
        WusumError: an id that is not ``corpus:section/...`` of one of the two corpora.

    Example:
        >>> [article.id for article in draw(iter([RawArticle("antcorpus:sport/1", None, "نص")]))]
        []
    """
    generator = random.Random(seed)
    for article in articles:
        corpus, _, path = article.id.partition(":")
        section = path.split("/")[0]
        if corpus == "sanad_khaleej":
            kept = section == "Politics" or (section == "Finance" and generator.random() < FINANCE)
            if kept or generator.random() <= OTHERS:
                yield article
        elif corpus == "antcorpus":
            if section not in LEFT_OUT:
                yield article
        else:
            raise WusumError(f"{article.id}: of neither corpus, expected sanad_khaleej:... or antcorpus:...")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, write the articles, print how many."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.news_draw", description=__doc__)
    parser.add_argument("corpora", nargs="+", type=Path, metavar="CORPUS", help="JSON lines, also .gz and .xz")
    parser.add_argument("-o", "--output", type=Path, default=Path("data/news.jsonl"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    part, count = arguments.output.with_name(arguments.output.name + ".part"), 0
    try:
        with part.open("w", encoding="utf-8") as lines:
            for article in draw(counted(read_raw(arguments.corpora), "articles read")):
                row = {"id": article.id, "title": article.title, "text": article.text}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        os.replace(part, arguments.output)
    finally:
        part.unlink(missing_ok=True)
    sys.stdout.write(f"{arguments.output}: {count:,} articles\n")


if __name__ == "__main__":
    run_script(main)
