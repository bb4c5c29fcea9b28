"""Excerpts of labelled articles, labelled by what their sentences carry: ``python -m wusum.training.excerpts``.

An article says that somewhere in it something earns a label, and not where. Where a reader marked the sentences
(:mod:`wusum.labels.rationales`), any choice of them has known labels, and two kinds teach what whole articles do not:
runs of one to three sentences, in which each label is plain, and articles that have lost all sentences that carry one
of their labels, in which what is left of its words no longer counts (contrast sets, Gardner et al. 2020; learning from
annotator rationales, Zaidan et al. 2007).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..inference.progress import say
from ..labels import Taxonomy, load_taxonomy
from ..labels.errors import WusumError
from ..labels.rationales import RATIONALES, Rationale, read_rationales
from .data import LabelledArticle, read_labelled
from .office_holders import OfficeHolders
from .raw import RawArticle
from .script import run_script
from .soft import soft_line
from .split import read_split, select_part

_LONGEST_RUN = 3
_LEAST_SHARE = 0.2  # of its sentences that must carry a topic: less of it may be background, and decides nothing
_OTHER_NAMES = 2  # of each sentence that names an office holder
_MOST_REMOVED = 0.6  # of the sentences: what is left of an article must still be one


def excerpts(
    articles: Iterable[LabelledArticle],
    rationales: Iterable[Rationale],
    taxonomy: Taxonomy,
    seed: int = 0,
    holders: OfficeHolders | None = None,
) -> Iterator[tuple[RawArticle, dict[str, float]]]:
    """Yield excerpts with 1 and 0 for the labels that their sentences decide.

    Of each article with a rationale: every second one of its runs of one to three sentences, and the article without
    the sentences of one label, where that leaves enough of it. With ``holders`` also, twice, each sentence that
    names one, alone and with others who held the office.

    Raises:
        WusumError: an article's text is not the one that was read.

    Example:
        >>> next(excerpts(articles, read_rationales(), load_taxonomy()))[0].id  # doctest: +SKIP
        'sanad_khaleej:Politics/1650.txt#2-3'
    """
    by_id = {article.id: article for article in articles}
    for rationale in rationales:
        article = by_id.get(rationale.id)
        if article is None:
            continue
        texts = rationale.texts(article.title, article.text)
        draw = random.Random(f"{seed} {rationale.id}")
        count = len(rationale.sentences)
        several = {tuple(chosen) for chosen in (*_runs(count, draw), *_without_one_label(rationale, draw))}
        for chosen in sorted(several - {tuple(range(count))}):  # the whole article is learned from as it is
            scores = _scores(rationale, chosen, taxonomy)
            name = f"{rationale.id}#{','.join(map(str, chosen))}"
            yield RawArticle(name, *_title_and_body(rationale, texts, chosen)), scores
        if holders:
            yield from _renamed(rationale, texts, holders, taxonomy, draw)


def _runs(count: int, draw: random.Random) -> list[list[int]]:
    runs, start = [], 0
    while start < count:
        end = min(count, start + draw.randint(1, _LONGEST_RUN))
        runs.append(list(range(start, end)))
        start = end
    return runs[draw.randrange(2) :: 2]


def _without_one_label(rationale: Rationale, draw: random.Random) -> list[list[int]]:
    count = len(rationale.sentences)
    few = [label for label, carrying in rationale.carried.items() if 0 < len(carrying) <= _MOST_REMOVED * count]
    if not few:
        return []
    lost = rationale.carried[draw.choice(sorted(few))]
    return [[number for number in range(count) if number not in lost]]


def _renamed(
    rationale: Rationale, texts: Sequence[str], holders: OfficeHolders, taxonomy: Taxonomy, draw: random.Random
) -> Iterator[tuple[RawArticle, dict[str, float]]]:
    named = holders.named(" ".join(texts))
    for time in range(_OTHER_NAMES):
        told = holders.exchange(texts, named, draw)
        for number, (before, after) in enumerate(zip(texts, told, strict=True)):
            if after != before:
                name = f"{rationale.id}#{number}~{time}"
                yield (
                    RawArticle(name, *_title_and_body(rationale, told, [number])),
                    _scores(rationale, [number], taxonomy),
                )


def _scores(rationale: Rationale, chosen: Sequence[int], taxonomy: Taxonomy) -> dict[str, float]:
    found = set(chosen)
    scores: dict[str, float] = {}
    for label in taxonomy.labels:
        carrying = len(rationale.carried.get(label.id, frozenset()) & found)
        joint = rationale.together.get(label.id, frozenset())
        background = label.kind == "topic" and 0 < carrying < _LEAST_SHARE * len(found)
        partly = not carrying and joint & found and not joint <= found
        if label.id in rationale.doubtful or background or partly:
            continue
        scores[label.id] = float(carrying > 0 or (bool(joint) and joint <= found))
    return scores


def _title_and_body(rationale: Rationale, texts: Sequence[str], chosen: Sequence[int]) -> tuple[str | None, str]:
    title, body = (
        " ".join(texts[number] for number in chosen if rationale.sentences[number][0] == field)
        for field in ("title", "text")
    )
    return (title or None, body) if body else (None, title)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the excerpts of the training articles as soft labels, for ``data.soft`` of a recipe."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.excerpts", description=__doc__)
    parser.add_argument("articles", type=Path, help="what `wusum labels join` wrote: data/gold/train.jsonl")
    parser.add_argument("--split", type=Path, default=Path("labels/gold/split.jsonl"), help="no dev article is cut up")
    parser.add_argument("--rationales", type=Path, default=RATIONALES)
    parser.add_argument("--other-years", action="store_true", help="name other holders of the offices too")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    given = parser.parse_args(argv)
    if given.output.exists():
        raise WusumError(f"{given.output}: exists already; remove it, or name another file")
    taxonomy = load_taxonomy()
    train = select_part(read_labelled(given.articles, taxonomy), read_split(given.split), "train", given.split)
    rationales = read_rationales(given.rationales, taxonomy)
    holders = OfficeHolders.load() if given.other_years else None
    lines = [soft_line(*pair) for pair in excerpts(train, rationales, taxonomy, holders=holders)]
    if not lines:
        raise WusumError(f"{given.rationales}: marks no training article of {given.articles}")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    part = given.output.with_name(f"{given.output.name}.part")
    part.write_text("".join(lines), encoding="utf-8")
    part.rename(given.output)
    say(f"{given.output}: {len(lines)} excerpts")


if __name__ == "__main__":
    run_script(main)
