"""Whether the evidence is what a reader would have marked: ``python -m wusum.training.rationale_benchmark ARTICLES``.

For the dev articles whose sentences a reader has marked (``labels/gold/rationales-dev.jsonl``; nothing learns from
them), every label that is rightly given is looked at: how many of its sentences of evidence carry it by the reader's
marks (plausibility, DeYoung et al. 2020, ERASER). Beside it stands what sentences drawn at random would reach: the
share of the article's sentences that carry the label. Labels that every sentence carries decide nothing and are counted
apart. Intervals are of 95 %, from drawing whole articles again (2,000 times).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..inference.article import Article
from ..inference.evidence import field_passages, read_sentences
from ..inference.tagger import Tagger
from ..labels.errors import WusumError
from ..labels.rationales import RATIONALES, Rationale, one_spaced, read_rationales
from .data import LabelledArticle, read_labelled
from .evidence_benchmark import mean_interval
from .progress import watched
from .script import run_script

DEV_RATIONALES = RATIONALES.with_name("rationales-dev.jsonl")


def marked_sentences(article: LabelledArticle, rationale: Rationale, label: str) -> set[str]:
    """Return the sentences that a reader marked for a label, with one space for every run of white space.

    Raises:
        WusumError: the article's text is not the one that was read.
    """
    texts = rationale.texts(article.title, article.text)
    numbers = rationale.carried.get(label, frozenset()) | rationale.together.get(label, frozenset())
    return {texts[number] for number in numbers}


def hits(tagger: Tagger, article: LabelledArticle, rationale: Rationale) -> Iterator[tuple[float, float, float, float]]:
    """Yield for each label rightly given: hits among its evidence, their number, whether the first hits, and by chance.

    ``by chance`` is the share of the article's sentences that the reader marked.
    """
    read = Article(article.text, article.title)
    every = [one_spaced(one.read_text) for one in read_sentences(field_passages(read, tagger.bundle.input))]
    for label, evidence in (tagger.predict(read, evidence=True).evidence or {}).items():
        if label not in article.labels or label in rationale.doubtful or not evidence:
            continue
        marked = marked_sentences(article, rationale, label)
        # The end of what is read may lie within the last sentence, so one of two equal sentences may be the shorter.
        found = [any(_same(one_spaced(one.text), sentence) for sentence in marked) for one in evidence]
        chance = np.mean([any(_same(sentence, other) for other in marked) for sentence in every])
        yield float(sum(found)), float(len(found)), float(found[0]), float(chance)


def _same(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.rationale_benchmark", description=__doc__)
    parser.add_argument("articles", type=Path, help="labelled articles with their texts: data/gold/train.jsonl")
    parser.add_argument("--rationales", type=Path, default=DEV_RATIONALES)
    parser.add_argument("--bundle", type=Path, help="default: the embedded model")
    given = parser.parse_args(argv)
    tagger = Tagger.load(given.bundle)
    by_id = {article.id: article for article in read_labelled(given.articles, tagger.taxonomy)}
    rationales = [one for one in read_rationales(given.rationales, tagger.taxonomy) if one.id in by_id]
    rows, clusters = [], []
    for number, rationale in enumerate(watched(rationales, len(rationales), "weighing evidence")):
        found = list(hits(tagger, by_id[rationale.id], rationale))
        rows += found
        clusters += [number] * len(found)
    if not rows:
        raise WusumError(f"{given.rationales}: no label of these articles is rightly given and has evidence")
    table, of = np.array(rows), np.array(clusters)
    told = table[:, 3] < 1  # where every sentence carries the label, any choice is right
    sys.stdout.write(
        f"{len(rationales)} articles, {len(table)} labels rightly given; {len(table) - told.sum()} of them "
    )
    sys.stdout.write("are carried by every sentence and left out\n")
    table, of = table[told], of[told]
    for what, values in (
        ("sentences of evidence that the reader marked", table[:, 0] / table[:, 1]),
        ("labels whose first sentence the reader marked", table[:, 2]),
        ("sentences drawn at random", table[:, 3]),
    ):
        one = mean_interval(values, of)
        sys.stdout.write(f"{what}: {one.value:.1%} (95 % {one.low:.1%} to {one.high:.1%})\n")


if __name__ == "__main__":
    run_script(main)
