"""How many off-topic articles get a label: ``python -m wusum.training.off_topic_benchmark khaleej.jsonl.xz``.

Articles of sections that are not about politics are tagged; the share of each section that got a label is printed with
its 95 % interval (Wilson 1927), and which labels. ``-o`` writes the articles that got one, to be read: some deserve it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..inference.article import Article
from ..inference.tagger import Tagger
from ..labels.errors import WusumError
from .evaluate import VIEW_CHARS
from .progress import watched
from .raw import RawArticle, read_raw
from .script import run_script

SECTIONS = ("Sports", "Medical", "Technology", "Culture", "Religion")


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of a share.

    Example:
        >>> [round(bound, 3) for bound in wilson(2, 100)]
        [0.006, 0.07]
    """
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def section(article: RawArticle) -> str:
    """Return the section that an id names.

    Example:
        >>> section(RawArticle("sanad_khaleej:Sports/1.txt", None, "نص"))
        'Sports'
    """
    return article.id.partition(":")[2].split("/")[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, tag, print the shares."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.off_topic_benchmark")
    parser.add_argument("corpus", type=Path, help="raw articles: JSON lines, also .gz and .xz")
    parser.add_argument("--bundle", type=Path, help="default: the embedded model")
    parser.add_argument("--sections", nargs="+", default=SECTIONS, help="default: %(default)s")
    parser.add_argument("--count", type=int, help="so many articles, drawn at random (default: all)")
    parser.add_argument("-o", "--output", type=Path, help="write the articles that got a label (JSON lines)")
    arguments = parser.parse_args(argv)
    articles = [article for article in read_raw([arguments.corpus]) if section(article) in arguments.sections]
    if not articles:
        raise WusumError(f"{arguments.corpus}: no article of {', '.join(arguments.sections)}; check --sections")
    if arguments.count is not None:
        articles = random.Random(0).sample(articles, min(arguments.count, len(articles)))
    tagger = Tagger.load(arguments.bundle)
    cut = (Article(article.text[:VIEW_CHARS], article.title, article.id) for article in articles)
    tagged = watched(tagger.stream(cut), len(articles), "tagging")
    found = [(article, [*tags.topics, *tags.actors]) for article, tags in zip(articles, tagged, strict=True)]
    flagged = [(article, labels) for article, labels in found if labels]
    totals, hits = (Counter(section(article) for article, _ in pairs) for pairs in (found, flagged))
    for name, total in [*sorted(totals.items()), ("all", len(found))]:
        hit = len(flagged) if name == "all" else hits[name]
        low, high = wilson(hit, total)
        sys.stdout.write(f"{name}\t{hit} of {total}\t{hit / total:.4f} ({low:.4f}-{high:.4f})\n")
    labels = Counter(label for _, given in flagged for label in given)
    sys.stdout.write("".join(f"{label}\t{count}\n" for label, count in labels.most_common()))
    if arguments.output is not None:
        rows = ({"id": article.id, "labels": given, "text": article.text} for article, given in flagged)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
