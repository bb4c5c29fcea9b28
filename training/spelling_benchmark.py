"""How steady the tags are where an article is spelt otherwise: ``python -m wusum.training.spelling_benchmark FILE``.

Prints, for each way of spelling, the micro-F1 between the decisions on the text as it is and as it is respelt, and that
of the latter against gold. Dev articles only; the bundle's own thresholds on both sides.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..inference.article import Article
from ..inference.tagger import Tagger
from .bootstrap import bootstrap_interval
from .data import read_labelled
from .evaluate import collect
from .metrics import Bools
from .progress import watched
from .script import run_script
from .spelling import RESPELLINGS, Respell
from .split import read_split, select_part
from .targets import label_matrix


def respell(articles: Iterable[Article], how: Respell, seed: int = 0) -> list[Article]:
    """Return the articles with title and body spelt otherwise.

    Example:
        >>> respell([Article("أبى", None)], RESPELLINGS["alef without hamza"])[0].text
        'ابى'
    """
    draw = random.Random(seed)
    return [
        Article(how(article.text, draw), how(article.title, draw) if article.title else None, article.id)
        for article in articles
    ]


def decide(tagger: Tagger, given: Sequence[str | Article], what: str) -> Bools:
    """Return the tagger's decisions on articles or pages, shape (articles, labels); ``what`` names the progress bar."""
    return collect(watched(tagger.stream(given), len(given), what), tagger.taxonomy).decisions


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, tag every spelling, print the table."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.spelling_benchmark")
    parser.add_argument("articles", type=Path, metavar="FILE", help="labelled articles, data/gold/train.jsonl")
    parser.add_argument("--split-file", type=Path, default=Path("labels/gold/split.jsonl"), help="default: %(default)s")
    parser.add_argument("--bundle", type=Path, help="default: the embedded model")
    parser.add_argument("--count", type=int, help="of the first dev articles (default: all)")
    arguments = parser.parse_args(argv)
    tagger = Tagger.load(arguments.bundle)
    split = read_split(arguments.split_file)
    dev = select_part(read_labelled(arguments.articles, tagger.taxonomy), split, "dev", arguments.split_file)
    dev = dev[: arguments.count]
    truth, clean = label_matrix(dev, tagger.taxonomy), [article.article for article in dev]
    plain = decide(tagger, clean, "tagging")
    sys.stdout.write(
        f"{len(dev)} dev articles; as they are: {bootstrap_interval(plain, truth).value:.3f} against gold\n"
    )
    sys.stdout.write("spelling\tagreement (95 %)\tagainst gold\n")
    for name, how in RESPELLINGS.items():
        other = decide(tagger, respell(clean, how), name)
        same = bootstrap_interval(other, plain)
        against = bootstrap_interval(other, truth).value
        sys.stdout.write(f"{name}\t{same.value:.3f} ({same.low:.3f}-{same.high:.3f})\t{against:.3f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run_script(main)
