"""How steady the tags are when an article comes as a page: ``python -m wusum.training.page_tags_benchmark FILE``.

Every dev article of the half that the cleaner was not fitted on is wrapped in furniture of one family after the other
(see :mod:`~wusum.training.page_benchmark`), with headlines and teasers of other articles around it. Printed is the
micro-F1 between the tags of the page, as pasted text, and of its own headline and body alone, and that of both against
gold. The bundle's own thresholds are used.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..inference.article import Article
from ..inference.tagger import Tagger
from .bootstrap import bootstrap_interval
from .data import read_labelled
from .page_benchmark import Page, PageMaker, families, fitting_half, read_rows
from .script import run_script
from .spelling_benchmark import decide
from .split import read_split, select_part
from .targets import label_matrix


def own_story(page: Page) -> Article:
    """Return the headline and the body of a page, without all else: of its headlines the one without a site's name.

    Example:
        >>> own_story(Page(("أخبار", "عنوان", "نص"), ("furniture", "title", "body"))).title
        'عنوان'
    """
    by_kind = {
        kind: [t for t, k in zip(page.lines, page.truth, strict=True) if k == kind] for kind in ("title", "body")
    }
    return Article("\n".join(by_kind["body"]), min(by_kind["title"], key=len, default=None))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, build the pages, tag both sides, print the table."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.page_tags_benchmark", description=__doc__)
    parser.add_argument("articles", type=Path, metavar="FILE", help="labelled articles, data/gold/train.jsonl")
    parser.add_argument("--split-file", type=Path, default=Path("labels/gold/split.jsonl"), help="default: %(default)s")
    parser.add_argument("--bundle", type=Path, help="default: the embedded model")
    parser.add_argument("--count", type=int, help="of the first dev articles of the half (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    tagger = Tagger.load(given.bundle)
    everything = read_labelled(given.articles, tagger.taxonomy)
    dev = select_part(everything, read_split(given.split_file), "dev", given.split_file)
    dev = [article for article in dev if not fitting_half(article.id)][: given.count]
    truth = label_matrix(dev, tagger.taxonomy)
    rows = {row["id"]: row for row in read_rows(given.articles) if not fitting_half(row["id"])}
    rng = random.Random(given.seed)
    maker = PageMaker(list(rows.values()), rng)
    sys.stdout.write(f"{len(dev)} dev articles\nfamilies\tagreement (95 %)\tpage against gold\tstory against gold\n")
    for group, members in families().items():
        order = [members[place % len(members)] for place in range(len(dev))]
        rng.shuffle(order)
        pages = [maker.make(rows[article.id], family) for article, family in zip(dev, order, strict=True)]
        alone = decide(tagger, [own_story(page) for page in pages], f"{group}: stories")
        whole = decide(tagger, ["\n".join(page.lines) for page in pages], f"{group}: pages")
        same = bootstrap_interval(whole, alone)
        page_gold, alone_gold = (bootstrap_interval(side, truth).value for side in (whole, alone))
        sys.stdout.write(
            f"{group}\t{same.value:.3f} ({same.low:.3f}-{same.high:.3f})\t{page_gold:.3f}\t{alone_gold:.3f}\n"
        )
        differing = int(np.any(whole != alone, axis=1).sum())
        sys.stdout.write(f"{group}: {differing} of {len(dev)} articles have other tags as a page\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run_script(main)
