"""ONNX Runtime with and without the rewriting we switch off: ``python -m wusum.training.rewriting_benchmark``.

One process opens the bundle's model twice, as :class:`~wusum.inference.engine.OnnxEngine` serves it and with all of
ONNX Runtime's own rewritings. Both compute the same made-up articles of 100, 300 and 700 tokens on one thread and take
turns article by article; computing is counted, not the clock. Run it again when ONNX Runtime's version changes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from ..inference.article import Article
from ..inference.bundle import Bundle
from ..inference.bundle_source import load_bundle
from ..inference.engine import OnnxEngine
from ..inference.features import Featuriser, read_tokenizer
from .latency_benchmark import LENGTHS, made_up
from .progress import watched
from .script import require_at_least, rotated, run_script

_ARTICLES = 10  # of each length
_SERVED, _ALL = "as served", "with all rewritings"


def race(bundle: Bundle, lengths: Sequence[int], rounds: int) -> dict[int, dict[str, list[float]]]:
    """Return the seconds of computing by length and side, one for every article and round.

    Example:
        >>> race(load_bundle(None), [100], 3)[100]["as served"]  # doctest: +SKIP
        [0.0121, 0.0119, ...]
    """
    sides = {_SERVED: OnnxEngine(bundle.model_path, 1), _ALL: OnnxEngine(bundle.model_path, 1, disabled=())}
    featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
    articles = {tokens: [featurise(Article(t)) for t in made_up(bundle, tokens, _ARTICLES)] for tokens in lengths}
    seconds: dict[int, dict[str, list[float]]] = {tokens: {name: [] for name in sides} for tokens in lengths}
    for number in watched(range(rounds + 1), rounds + 1, "rounds"):
        for tokens, given in articles.items():
            for features in given:
                for name in rotated(list(sides), number):
                    begin = time.process_time()
                    sides[name].logits(features)
                    taken = time.process_time() - begin
                    if number:  # the first round warms up
                        seconds[tokens][name].append(taken)
    return seconds


def report(seconds: Mapping[int, Mapping[str, Sequence[float]]]) -> str:
    """Return a line for each length: milliseconds of both sides, and how much longer all rewritings take.

    Example:
        >>> print(report({100: {"as served": [0.01, 0.01], "with all rewritings": [0.012, 0.014]}}), end="")
        100 tokens: 10.0 ms as served, 13.0 ms with all rewritings, 1.30 times as long (quartiles 1.25 to 1.35)
    """
    lines = []
    for tokens, sides in seconds.items():
        ratios = np.divide(sides[_ALL], sides[_SERVED])
        low, high = np.quantile(ratios, [0.25, 0.75])
        times = ", ".join(f"{1000 * median(taken):.1f} ms {name}" for name, taken in sides.items())
        lines.append(
            f"{tokens} tokens: {times}, {np.median(ratios):.2f} times as long (quartiles {low:.2f} to {high:.2f})\n"
        )
    return "".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, race, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.rewriting_benchmark")
    parser.add_argument("--bundle", type=Path, help="whose model (default: the embedded one)")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args(argv)
    require_at_least(parser, given, rounds=1)
    sys.stdout.write(report(race(load_bundle(given.bundle), LENGTHS, given.rounds)))


if __name__ == "__main__":
    run_script(main)
