"""Draws the raw articles of pre-training: ``python -m wusum.training.news_draw SANAD/Khaleej ANT-corpus``.

Mostly political news, so that the encoder's short training is spent on what it will tag: of SANAD's Khaleej folder all
of Politics, 23 % of Finance and 4 % of the other sections; of the ANT corpus all but sport, culture and technology.
Articles whose text is one of the test or dev split's are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from ..labels.errors import WusumError
from ..labels.fingerprint import text_hash
from ..labels.sources import SourceText, read_source
from ..labels.standoff import GOLD_FOLDER, read_gold
from .progress import counted
from .raw import RawArticle
from .script import run_script
from .split import read_split

FINANCE, OTHERS = 0.2, 0.04
LEFT_OUT = {"sport", "culture", "technology"}
# The corpora as published are folders of sections, whose names tell which corpus they are of.
_KHALEEJ = {"Culture", "Finance", "Medical", "Politics", "Religion", "Sports", "Technology"}
_ANT = {"localNews", "internationalNews", "politic", "economy", "society", "diverse", *LEFT_OUT}
_OTHER_NAMES = {"Tech": "Technology"}


def draw(texts: Iterator[SourceText], seed: int = 0) -> Iterator[RawArticle]:
    """Yield the drawn articles in their order, which the draw depends on.

    Raises:
        WusumError: a name that is neither ``corpus:section/file`` nor ``section/file`` of one of the two corpora, or
            one that comes twice.

    Example:
        >>> [article.id for article in draw(iter([SourceText("sport/1.txt", None, "نص")]))]
        []
    """
    generator, seen = random.Random(seed), set[str]()
    for text in texts:
        corpus, section, file = _place(text.name)
        name = f"{corpus}:{section}/{file}"
        if name in seen:
            told = "comes twice; expected one copy of each corpus, of SANAD its folder Khaleej alone"
            raise WusumError(f"{text.name}: {told}")
        seen.add(name)
        if corpus == "antcorpus":
            kept = section not in LEFT_OUT
        else:
            kept = section == "Politics" or (section == "Finance" and generator.random() < FINANCE)
            kept = kept or generator.random() <= OTHERS
        if kept:
            yield RawArticle(name, text.title, text.text)


def _place(name: str) -> tuple[str, str, str]:
    corpus, _, path = name.rpartition(":")
    section, _, file = path.partition("/")
    section = _OTHER_NAMES.get(section, section)
    for known, sections in (("sanad_khaleej", _KHALEEJ), ("antcorpus", _ANT)):
        if section in sections and corpus in (known, ""):
            return known, section, file
    raise WusumError(f"{name}: of neither corpus; expected a section of SANAD's Khaleej or of the ANT corpus")


def unseen_texts() -> frozenset[str]:
    """The :func:`~wusum.labels.text_hash` of every test and dev article, which no encoder may have read."""
    split = read_split(GOLD_FOLDER / "split.jsonl")
    test, train = (read_gold(GOLD_FOLDER / f"{name}.jsonl") for name in ("test", "train"))
    dev = [record for record in train if split[record.id][0] == "dev"]
    return frozenset(record.sha256 for record in (*test, *dev))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, write the articles, print how many."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.news_draw", description=__doc__)
    parser.add_argument("corpora", nargs="+", type=Path, metavar="CORPUS", help="folder or JSON lines (.gz, .xz)")
    parser.add_argument("-o", "--output", type=Path, default=Path("data/news.jsonl"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    part, count, unseen = arguments.output.with_name(arguments.output.name + ".part"), 0, unseen_texts()
    texts = chain.from_iterable(read_source(corpus) for corpus in arguments.corpora)
    try:
        with part.open("w", encoding="utf-8") as lines:
            for article in draw(counted(texts, "articles read")):
                if text_hash(article.text) in unseen:
                    continue
                row = {"id": article.id, "title": article.title, "text": article.text}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        os.replace(part, arguments.output)
    finally:
        part.unlink(missing_ok=True)
    sys.stdout.write(f"{arguments.output}: {count:,} articles\n")


if __name__ == "__main__":
    run_script(main)
