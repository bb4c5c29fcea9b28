"""How tagging grows with the number of workers: ``python -m wusum.training.scaling_benchmark``.

Independent workers of one thread each tag a Parquet file of their own into another, all at once, as the workers of Ray
and Spark do. Every round runs them alone and together, and beside them, as a control, a matrix product: where that
scales no better, the machine is the limit and not this package. Efficiency is the throughput of k workers over k times
that of one; the median of the rounds is printed, with the lowest and the highest.

Without ``--articles`` the texts are sentences of our own samples, put together to lengths as our gold articles have
them. They repeat themselves, so the file sizes are too small then: take these from articles of yours.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from ..inference.article import Article
from ..inference.choice import Choice
from ..inference.columns import ReadOptions
from ..inference.features import Featuriser, read_tokenizer
from ..inference.job import predictions
from ..inference.ray_output import to_table
from ..inference.readers import Position, read_records
from ..inference.record import Record
from ..inference.rejected import Rejected
from ..inference.sources import Source, find_sources
from ..inference.tagger import Tagger
from ..inference.writers import to_row
from ..labels.errors import WusumError
from .progress import watched
from .script import require_at_least, run_script

_SIDE = 768  # of the control's matrices, the width of a base encoder
_workers: list[tuple[Tagger, Featuriser]] = []  # in a worker: what it is


def _begin(bundle: Path | None) -> None:
    tagger = Tagger.load(bundle, threads=1)
    own = tagger.bundle
    _workers.append((tagger, Featuriser(read_tokenizer(own.tokenizer_path), own.input, own.tokens)))


def _records(path: Path) -> Iterator[Record | Rejected]:
    for source in find_sources([str(path)]):
        yield from read_records(source, ReadOptions()) if isinstance(source, Source) else [source]


def _tag(path: Path, _: int) -> int:
    """Tag a file of Parquet into another, as the workers of Ray and Spark do; return how many articles."""
    rows = []
    items = ((record, Position()) for record in _records(path))
    for tagged, _position in predictions(lambda: _workers[0][0], items):
        if isinstance(tagged, Rejected):
            raise tagged
        rows.append(to_row(tagged.record, Choice().apply(tagged.prediction)))
    pq.write_table(to_table(rows), output_of(path), compression="zstd")
    return len(rows)


def _multiply(_path: Path, times: int) -> int:
    """The control: products of matrices of one thread; return how many."""
    left = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    with threadpool_limits(1):
        for _ in range(times):
            np.matmul(left, left)
    return times


def _read(path: Path, _times: int) -> int:
    return sum(1 for _ in _records(path))


def _featurise(path: Path, _times: int) -> int:
    featurise = _workers[0][1]
    articles = (record.article for record in _records(path) if isinstance(record, Record))
    return len([featurise(article) for article in articles if isinstance(article, Article)])


def output_of(path: Path) -> Path:
    """Return where the tags of a file go."""
    return path.with_suffix(".tags")


Work = Callable[[Path, int], int]


class Workers:
    """Processes that each hold a tagger and have a file to tag."""

    def __init__(self, stack: ExitStack, files: Sequence[Path], bundle: Path | None) -> None:
        """Start one for each file; ``stack`` ends them."""
        context = get_context("spawn")
        self._files = files
        self._pools = [
            stack.enter_context(ProcessPoolExecutor(1, context, initializer=_begin, initargs=(bundle,))) for _ in files
        ]
        self.rate(_read, len(files))  # they are up when this is done

    def rate(self, work: Work, workers: int, times: int = 0) -> float:
        """Return how many units a second the first ``workers`` processes do together."""
        begin = time.perf_counter()
        given = zip(self._pools[:workers], self._files, strict=False)
        done = [pool.submit(work, file, times) for pool, file in given]
        units = sum(each.result() for each in done)
        return units / (time.perf_counter() - begin)


def race(workers: Workers, counts: Sequence[int], rounds: int) -> dict[str, dict[int, list[float]]]:
    """Return what was done a second in every round, by work and number of workers; the order changes by round."""
    products = max(1, round(workers.rate(_multiply, 1, 50) * _seconds(workers)))  # as long as tagging takes
    works: dict[str, tuple[Work, int]] = {"tagging": (_tag, 0), "control": (_multiply, products)}
    plan = [(name, count) for count in counts for name in works]
    rates: dict[str, dict[int, list[float]]] = {name: {count: [] for count in counts} for name in works}
    for number in watched(range(rounds), rounds, "rounds"):
        for name, count in plan if number % 2 else plan[::-1]:
            work, times = works[name]
            rates[name][count].append(workers.rate(work, count, times))
    return rates


def _seconds(workers: Workers) -> float:
    begin = time.perf_counter()
    workers.rate(_tag, 1)
    return time.perf_counter() - begin


def efficiencies(rates: dict[int, list[float]], count: int) -> list[float]:
    """Return, for every round, the throughput of ``count`` workers over ``count`` times that of one.

    Example:
        >>> efficiencies({1: [10.0, 20.0], 2: [19.0, 30.0]}, 2)
        [0.95, 0.75]
    """
    return [together / (count * alone) for alone, together in zip(rates[1], rates[count], strict=True)]


def write_articles(rows: Sequence[dict[str, Any]], folder: Path, files: int) -> list[Path]:
    """Write the articles, all of them, into each of so many Parquet files; return their paths."""
    table = pa.Table.from_pylist(list(rows), pa.schema([(name, pa.string()) for name in ("id", "title", "text")]))
    paths = [folder / f"articles-{number}.parquet" for number in range(files)]
    for path in paths:
        pq.write_table(table, path, compression="zstd")
    return paths


def read_articles(path: Path | None, count: int) -> list[dict[str, Any]]:
    """Return so many articles: of a table that ``wusum tag`` reads, or made up.

    Raises:
        WusumError: the file holds fewer.
    """
    if path is None:
        from .speed_material import synthesise_articles

        return [{"id": one.id, "title": one.title, "text": one.text} for one in synthesise_articles(count)]
    articles = (record.article for record in _records(path) if isinstance(record, Record))
    clean = itertools.islice((one for one in articles if isinstance(one, Article)), count)
    rows = [{"id": str(number), "title": one.title, "text": one.text} for number, one in enumerate(clean)]
    if len(rows) < count:
        raise WusumError(f"{path}: {len(rows)} articles, expected {count}; ask for fewer by --count")
    return rows


def report(rates: dict[str, dict[int, list[float]]]) -> str:
    """Return throughput and efficiency in words."""
    lines = []
    for count, tagging in rates["tagging"].items():
        lines.append(f"{count} workers: {median(tagging):.1f} articles/s ({min(tagging):.1f} to {max(tagging):.1f})")
        if count > 1:
            for name, found in rates.items():
                each = efficiencies(found, count)
                lines.append(f"  efficiency, {name}: {median(each):.3f} ({min(each):.3f} to {max(each):.3f})")
    return "\n".join(lines) + "\n"


def measured(workers: Workers, rates: dict[str, dict[int, list[float]]], file: Path, articles: int) -> dict[str, Any]:
    """Return what the plan reckons with; see :class:`~wusum.training.scaling_plan.Measured`."""
    return {
        "docs_per_core_second": median(rates["tagging"][1]),
        "efficiency": median(efficiencies(rates["tagging"], 2)),
        "control_efficiency": median(efficiencies(rates["control"], 2)),
        "bytes_in": file.stat().st_size / articles,
        "bytes_out": output_of(file).stat().st_size / articles,
        "read_docs_per_core_second": workers.rate(_read, 1),
        "features_docs_per_core_second": workers.rate(_featurise, 1),
        "articles": articles,
        "rates": rates,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.scaling_benchmark")
    parser.add_argument("--bundle", type=Path, help="model to tag with (default: the embedded one)")
    parser.add_argument("--articles", type=Path, help="table of articles instead of made-up ones")
    parser.add_argument("--count", type=int, default=500, help="articles for each worker")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=2, help="workers: 1, 2 and so on by doubling up to this number")
    parser.add_argument("--json", type=Path, help="write what the scaling plan reads into this file")
    given = parser.parse_args(argv)
    require_at_least(parser, given, count=1, rounds=1, most=2)
    counts = [2**power for power in range(given.most.bit_length())]
    rows = read_articles(given.articles, given.count)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = write_articles(rows, Path(folder), counts[-1])
        workers = Workers(stack, files, given.bundle)
        rates = race(workers, counts, given.rounds)
        found = measured(workers, rates, files[0], len(rows))
    characters = sum(len(row["text"]) for row in rows) / len(rows)
    sys.stdout.write(f"{len(rows)} articles of {characters:,.0f} characters on average, {given.rounds} rounds\n")
    sys.stdout.write(report(rates))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
