"""How fast the AraBERT recipe is beside its package: ``python -m wusum.training.normalise_benchmark ARTICLES``.

ARTICLES is a JSON-lines file, or one compressed with xz, whose rows have a ``text``. The package ``arabert`` must be
installed. The two take turns, block by block, and processor time is counted: other work then weighs on both alike.
"""

from __future__ import annotations

import argparse
import importlib
import json
import lzma
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from rich.console import Console

from ..inference.arabert import arabert_v02, repair
from ..labels.errors import WusumError
from .script import run_script

_BLOCK = 50


def package_preprocess() -> Callable[[str], str]:
    """Return the package's function for ``bert-base-arabertv02``.

    Raises:
        WusumError: the package is not installed.
    """
    try:
        module = importlib.import_module("arabert.preprocess")
    except ImportError as error:
        raise WusumError(
            f"arabert: cannot be imported ({error}), expected version 1.0.1; pip install arabert==1.0.1"
        ) from error
    preprocess: Callable[[str], str] = module.ArabertPreprocessor("bert-base-arabertv02").preprocess
    return preprocess


def read_texts(path: Path, count: int, length: int) -> list[str]:
    """Return the first texts of a file that have the given length or more, cut to it.

    Raises:
        WusumError: the file cannot be read, or holds no such text.
    """
    opener = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            texts = list(islice(_long_texts(file, length), count))
    except (OSError, ValueError, lzma.LZMAError) as error:
        raise WusumError(f"{path}: cannot be read as JSON lines: {error}; give a .jsonl or .jsonl.xz file") from error
    if not texts:
        raise WusumError(f"{path}: no text of {length} characters, expected one or more; choose a smaller --length")
    return texts


def _long_texts(lines: Iterator[str], length: int) -> Iterator[str]:
    for row in map(json.loads, lines):
        if len(row.get("text") or "") >= length:
            yield row["text"][:length]


def _seconds(function: Callable[[str], str], texts: Sequence[str]) -> float:
    start = time.process_time()
    for text in texts:
        function(text)
    return time.process_time() - start


def compare(package: Callable[[str], str], texts: Sequence[str], rounds: int) -> list[tuple[float, float]]:
    """Return for each round the processor seconds that the package and our recipe take per text."""
    results = []
    for _ in range(rounds):
        blocks = [texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK)]
        pairs = [(_seconds(package, block), _seconds(arabert_v02, block)) for block in blocks]
        theirs, ours = (sum(column) / len(texts) for column in zip(*pairs, strict=True))
        results.append((theirs, ours))
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Print speeds, their ratio, and on how many texts the two outputs differ; return the exit status."""
    parser = argparse.ArgumentParser(prog="normalise_benchmark", description="Time the recipe against its package.")
    parser.add_argument("articles", type=Path, help="JSON lines with a field text, .jsonl or .jsonl.xz")
    parser.add_argument("--count", type=int, default=500, help="texts to use (default: 500)")
    parser.add_argument("--length", type=int, default=2400, help="characters of each (default: 2400)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the medians are printed (default: 5)")
    options = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    try:
        package = package_preprocess()
        texts = read_texts(options.articles, options.count, options.length)
    except WusumError as error:
        Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"normalise_benchmark: {error}")
        return 2
    results = compare(package, texts, options.rounds)
    ratios = [theirs / ours for theirs, ours in results]
    theirs, ours = (median(column) for column in zip(*results, strict=True))
    differing = sum(arabert_v02(text) != package(repair(text)) for text in texts)
    console.print(f"{len(texts)} texts of {options.length} characters, {options.rounds} rounds")
    console.print(f"package  {1 / theirs:8.0f} texts/s")
    console.print(f"recipe   {1 / ours:8.0f} texts/s")
    console.print(f"ratio    {median(ratios):8.1f} (lowest {min(ratios):.1f}, highest {max(ratios):.1f})")
    console.print(f"differing outputs after the pre-pass: {differing}")
    return 0


if __name__ == "__main__":
    run_script(main)
