"""How faithful the evidence is, and what it costs.

``python -m wusum.training.evidence_benchmark ARTICLES --split SPLIT [--articles N] [--bundle FOLDER] [--threads N]``

Faithful: without the evidence an article loses the label, or at least some of its score (comprehensiveness, DeYoung et
al. 2020, ERASER). For each label that an article of dev is given, its evidence is taken out of the text; beside it, of
the same article, as many other sentences, drawn at random: of 50 draws the one nearest in length. Both are read again,
and what they take off the label's calibrated log-odds is compared in pairs, as is how often the label goes. Labels with
fewer other sentences than evidence have no such pair, nor has one that goes already when the article is put together
from its sentences; they are counted and left out. Intervals are of 95 %, from drawing whole articles again (2,000
times).

Cost: tokens that go through the network with evidence, as a multiple of those without, and the same for wall time; both
ways take turns article by article. An article without a label needs no evidence and does not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..inference.article import Article
from ..inference.bundle import Bundle, embedded_bundle, open_bundle
from ..inference.bundle_engine import open_bundle_engine
from ..inference.evidence import EvidenceFinder, Sentence, field_passages, read_sentences
from ..inference.features import Features, Featuriser, read_tokenizer
from ..inference.prediction import Evidence
from ..inference.tagger import Tagger
from ..labels.errors import WusumError
from .bootstrap import Interval, by_cluster, draw_counts, interval
from .data import read_labelled
from .metrics import Floats
from .progress import watched
from .script import run_script
from .split import read_split, select_part

DRAWS = 50
_COLUMNS = ("drop", "flip", "random drop", "random flip", "sentences", "characters", "random characters", "alone")


@dataclass(frozen=True)
class Measured:
    """What came out.

    Attributes:
        pairs: one row per label of an article that has a pair, columns as in ``_COLUMNS``.
        clusters: the article of each row.
        unpaired: labels without a pair.
        tokens: of each article, without and with evidence, shape (articles, 2).
        seconds: the same in wall time.
    """

    pairs: Floats
    clusters: npt.NDArray[np.int64]
    unpaired: int
    tokens: Floats
    seconds: Floats


class Reader:
    """Reads sentences as one article and counts the tokens that go through the network."""

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        """Open the bundle's model."""
        self.scoring = bundle.scoring
        self.featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
        self.tokens = 0
        self._engine = open_bundle_engine(bundle, threads=threads)

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return the logits of an article, shape (labels,)."""
        self.tokens += features.ids.size
        return self._engine.logits(features)

    def probabilities(self, sentences: Sequence[Sentence]) -> npt.NDArray[np.float64]:
        """Return the labels' probabilities for these sentences, headline first, shape (labels,)."""
        title = " ".join(one.read_text for one in sentences if one.passage.headline)
        body = "\n".join(one.read_text for one in sentences if not one.passage.headline)
        return self.scoring.probabilities(self.logits(self.featurise(Article(body, title or None))))


def measure(articles: Sequence[Article], tagger: Tagger, reader: Reader, seed: int) -> Measured:
    """Tag the articles with and without evidence and take sentences out of them."""
    rng = np.random.default_rng(seed)
    rows: list[list[float]] = []
    clusters: list[int] = []
    tokens, seconds, unpaired = [], [], 0
    for number, article in enumerate(watched(articles, len(articles), "weighing evidence")):
        taken, evidence = _race(tagger, article, number % 2 == 0)
        if not evidence:
            continue
        seconds.append(taken)
        tokens.append(_count(reader, article, tagger.taxonomy.ids))
        columns = {tagger.taxonomy.ids.index(label): found for label, found in evidence.items()}
        pairs = _pairs(reader, article, columns, rng)
        unpaired += len(evidence) - len(pairs)
        rows += pairs
        clusters += [number] * len(pairs)
    if not rows:
        raise WusumError("no article got a label and has sentences beside its evidence; give more with --articles")
    return Measured(np.array(rows), np.array(clusters), unpaired, np.array(tokens), np.array(seconds))


def _race(
    tagger: Tagger, article: Article, plain_first: bool
) -> tuple[tuple[float, float], Mapping[str, tuple[Evidence, ...]]]:
    """Return the seconds without and with evidence, and the evidence."""
    taken: dict[bool, float] = {}
    found: Mapping[str, tuple[Evidence, ...]] = {}
    for evidence in (False, True) if plain_first else (True, False):
        start = time.perf_counter()
        prediction = tagger.predict(article, evidence=evidence)
        taken[evidence] = time.perf_counter() - start
        found = prediction.evidence or found
    return (taken[False], taken[True]), found


def _count(reader: Reader, article: Article, ids: Sequence[str]) -> tuple[int, int]:
    plain = reader.featurise(article)
    before = reader.tokens
    given = reader.scoring.decide(reader.scoring.probabilities(reader.logits(plain)))
    finder = EvidenceFinder(reader.featurise, reader.logits, reader.scoring)
    columns = {ids[column]: column for column in np.flatnonzero(given).tolist()}
    finder.find(field_passages(article, reader.featurise.config), columns, plain.ids.size)
    return plain.ids.size, reader.tokens - before


def _pairs(
    reader: Reader, article: Article, evidence: Mapping[int, tuple[Evidence, ...]], rng: np.random.Generator
) -> list[list[float]]:
    """Return a row for each label, known by its column, that has a pair."""
    sentences = read_sentences(field_passages(article, reader.featurise.config))
    whole = reader.probabilities(sentences)
    rows: list[list[float]] = []
    for column, found in evidence.items():
        places = {(one.field, one.start) for one in found}
        chosen = [place for place, one in enumerate(sentences) if (one.passage.field, one.start) in places]
        drawn = draw_others([one.end - one.start for one in sentences], chosen, rng)
        if drawn is None or not reader.scoring.decide(whole)[column]:
            continue
        sizes = [
            float(sum(sentences[place].end - sentences[place].start for place in some)) for some in (chosen, drawn)
        ]
        without = [
            reader.probabilities([one for place, one in enumerate(sentences) if place not in some])
            for some in (chosen, drawn)
        ]
        alone = reader.scoring.decide(reader.probabilities([sentences[place] for place in chosen]))[column]
        (lost, gone), (lost_beside, gone_beside) = (_loss(reader, whole, rest, column) for rest in without)
        rows.append([lost, gone, lost_beside, gone_beside, float(len(chosen)), *sizes, float(alone)])
    return rows


def _loss(
    reader: Reader, whole: npt.NDArray[np.float64], rest: npt.NDArray[np.float64], column: int
) -> tuple[float, float]:
    """Return what a label's log-odds lost, and 1 where the label itself is gone."""
    shares = np.clip([whole[column], rest[column]], 1e-12, 1 - 1e-12)  # the log-odds of 0 and 1 are infinite
    odds = np.log(shares) - np.log1p(-shares)
    return float(odds[0] - odds[1]), float(not reader.scoring.decide(rest)[column])


def draw_others(lengths: Sequence[int], chosen: Sequence[int], rng: np.random.Generator) -> list[int] | None:
    """Return as many places besides the chosen ones, about as long together; None where there are too few.

    Example:
        >>> draw_others([80, 70, 300, 90], [0], np.random.default_rng(0)) in ([1], [3])
        True
        >>> draw_others([80, 70], [0, 1], np.random.default_rng(0)) is None
        True
    """
    others = [place for place in range(len(lengths)) if place not in set(chosen)]
    if not chosen or len(others) < len(chosen):
        return None
    aim = sum(lengths[place] for place in chosen)
    draws = [sorted(rng.choice(others, len(chosen), replace=False).tolist()) for _ in range(DRAWS)]
    return min(draws, key=lambda draw: abs(sum(lengths[place] for place in draw) - aim))


def mean_interval(values: Floats, clusters: npt.ArrayLike) -> Interval:
    """Return the mean over all rows, with its interval from drawing whole clusters again.

    Example:
        >>> mean_interval(np.array([1.0, 1.0, 1.0]), [0, 0, 1])
        Interval(value=1.0, low=1.0, high=1.0, level=0.95)
    """
    return _ratio_interval(values, np.ones_like(values), clusters)


def _ratio_interval(above: Floats, below: Floats, clusters: npt.ArrayLike | None = None) -> Interval:
    table = by_cluster(np.stack([above, below], axis=1), clusters)
    drawn = np.concatenate([times @ table for times in draw_counts(len(table), 2000, seed=0)])
    return interval(float(above.sum() / below.sum()), drawn[:, 0] / drawn[:, 1])


def report(found: Measured, tell: Callable[[str], object]) -> None:
    """Tell the numbers, a line each."""
    column = dict(zip(_COLUMNS, found.pairs.T, strict=True))

    def mean(values: Floats, form: str = ".2f") -> str:
        one = mean_interval(values, found.clusters)
        return f"{one.value:{form}} (95 % {one.low:{form}} to {one.high:{form}})"

    tell(f"{len(found.tokens)} articles with {len(found.pairs)} labels; {found.unpaired} more labels have no pair\n")
    tell(
        f"evidence: {column['sentences'].mean():.2f} sentences, {column['characters'].mean():.0f} characters a label\n"
    )
    tell(f"random others: as many, {column['random characters'].mean():.0f} characters\n")
    tell(f"log-odds lost without the evidence: {mean(column['drop'])}\n")
    tell(f"log-odds lost without the others: {mean(column['random drop'])}\n")
    tell(f"difference: {mean(column['drop'] - column['random drop'])}\n")
    tell(f"labels gone without the evidence: {mean(column['flip'], '.1%')}\n")
    tell(f"labels gone without the others: {mean(column['random flip'], '.1%')}\n")
    tell(f"difference: {mean(column['flip'] - column['random flip'], '.1%')}\n")
    tell(f"labels given to the evidence alone: {mean(column['alone'], '.1%')}\n")
    most = (found.tokens[:, 1] / found.tokens[:, 0]).max()
    for what, table, more in (("tokens", found.tokens, f"; {most:.2f} at most"), ("wall time", found.seconds, "")):
        one = _ratio_interval(table[:, 1], table[:, 0])
        tell(f"cost in {what}: {one.value:.2f} plain predictions (95 % {one.low:.2f} to {one.high:.2f}){more}\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.evidence_benchmark")
    parser.add_argument("data", type=Path, help="labelled articles with their texts")
    parser.add_argument("--split", type=Path, required=True, help="the split file: only articles of dev are used")
    parser.add_argument("--articles", type=int, default=200, help="how many, drawn at random (default: 200)")
    parser.add_argument("--bundle", type=Path, help="a bundle folder instead of the embedded one")
    parser.add_argument("--threads", type=int, help="of both sides (default: all cores)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    arguments = parser.parse_args(argv)
    try:
        bundle = open_bundle(arguments.bundle or embedded_bundle())
        every = read_labelled(arguments.data, bundle.taxonomy)
        dev = select_part(every, read_split(arguments.split), "dev", arguments.split)
        order = np.random.default_rng(arguments.seed).permutation(len(dev))[: arguments.articles]
        articles = [dev[place].article for place in order.tolist()]
        tagger = Tagger(bundle, arguments.threads)
        found = measure(articles, tagger, Reader(bundle, arguments.threads), arguments.seed)
    except WusumError as fault:
        parser.exit(2, f"{fault}\n")
    report(found, sys.stdout.write)


if __name__ == "__main__":
    run_script(main)
