"""The same articles through every engine: ``python -m wusum.training.engines_benchmark``.

========== ===========================================================================================================
local      ``wusum tag articles.parquet -o tags.parquet``
ray        :func:`~wusum.inference.ray_job.tag_with_ray` on the cores of this machine
spark      :func:`~wusum.inference.spark.tag_batches` in ``mapInPandas``, master ``local``
pool-base  what one would write by hand: a pool of processes, a core each, with the transformers pipeline
           ``text-classification``, in fp32, over a random network of the shape of AraBERT base
pool-small the same with a network of the shape of our small encoder
========== ===========================================================================================================

The first three read one Parquet file and write Parquet; they give the same tags. The pools read the same file and keep
their scores in memory, and read 512 tokens of an article at most. Cluster, session and pools are started, and tag a few
articles, before the rounds; what an engine starts for every job counts. The order changes from round to round. Printed
is the time beside that of the local engine, round by round: the median, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ..inference.engine import available_cores
from ..labels.errors import WusumError
from .progress import watched
from .scaling_benchmark import read_articles, write_articles
from .script import require_at_least, rotated, run_script

_WARM_UP = 16
_pipelines: list[Any] = []  # of a process of a pool: one


@dataclass(frozen=True)
class Setting:
    """What all engines are given: the model, processes to use, a folder, and texts to train a tokenizer on."""

    bundle: Path | None
    cores: int
    folder: Path
    texts: Sequence[str]


Run = Callable[[Path], int]
Start = Callable[[Setting, ExitStack], Run]


def start_local(setting: Setting, _: ExitStack) -> Run:
    """Return a function that tags a file by the command."""
    from ..inference.cli import main as command

    def run(articles: Path) -> int:
        output = setting.folder / "local.parquet"
        chosen = [] if setting.bundle is None else ["--bundle", str(setting.bundle)]
        if command(["tag", str(articles), "-o", str(output), "--force", *chosen]):
            raise WusumError("local: not every article was tagged; see the lines above")
        return int(pq.read_metadata(output).num_rows)

    return run


def start_ray(setting: Setting, stack: ExitStack) -> Run:
    """Start a cluster and return a function that tags a file on it."""
    ray = _needed("ray")
    from ..inference.ray_job import tag_with_ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init("local", num_cpus=setting.cores, include_dashboard=False)
    stack.callback(ray.shutdown)

    def run(articles: Path) -> int:
        output = setting.folder / "ray"
        shutil.rmtree(output, ignore_errors=True)
        return tag_with_ray(
            [str(articles)], str(output), bundle=setting.bundle, workers=setting.cores, partition_by=None
        ).tagged

    return run


def start_spark(setting: Setting, stack: ExitStack) -> Run:
    """Start a session and return a function that tags a file in it."""
    sql = _needed("pyspark.sql")
    if shutil.which("java") is None:
        raise WusumError("spark: no java on this machine, expected 17 or later; install it or leave spark out")
    from ..inference.spark import SCHEMA, tag_batches

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {"ui.enabled": "false", "driver.host": "127.0.0.1", "sql.execution.arrow.maxRecordsPerBatch": "256"}
    builder = sql.SparkSession.builder.master(f"local[{setting.cores}]")
    for name, value in settings.items():
        builder = builder.config(f"spark.{name}", value)
    session = builder.getOrCreate()
    stack.callback(session.stop)
    session.sparkContext.setLogLevel("ERROR")

    def run(articles: Path) -> int:
        output = setting.folder / "spark"
        news = session.read.parquet(str(articles)).repartition(4 * setting.cores)
        news.mapInPandas(tag_batches(setting.bundle), SCHEMA).write.mode("overwrite").parquet(str(output))
        return int(ds.dataset(output).count_rows(filter=ds.field("error").is_null()))

    return run


def start_pool(setting: Setting, stack: ExitStack, shape: str) -> Run:
    """Start a pool of processes, each with a pipeline, and return a function that classifies a file's articles."""
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    from ..labels import load_taxonomy
    from .speed_material import random_encoder

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its head is new, as it is to be
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = setting.folder / shape
    folder.mkdir()
    random_encoder(folder, shape, setting.texts)
    network = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(load_taxonomy()), problem_type="multi_label_classification"
    )
    network.save_pretrained(folder)
    pool = stack.enter_context(get_context("spawn").Pool(setting.cores, _begin, (folder,)))

    def run(articles: Path) -> int:
        rows = pq.read_table(articles).to_pylist()
        texts = [f"{row['title'] or ''}\n{row['text']}" for row in rows]
        return sum(1 for scores in pool.imap(_classify, texts, chunksize=8) if scores)

    return run


def _begin(folder: Path) -> None:
    import torch
    from transformers import pipeline

    torch.set_num_threads(1)  # processes of more threads than cores would hinder one another
    _pipelines.append(pipeline("text-classification", model=str(folder), tokenizer=str(folder), device="cpu"))


def _classify(text: str) -> Any:
    return _pipelines[0](text, top_k=None, function_to_apply="sigmoid", truncation=True, max_length=512)


def _needed(package: str) -> Any:
    import importlib

    name = package.partition(".")[0].removeprefix("py")
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as fault:
        raise WusumError(f"{name}: needs the package {fault.name}; install it: pip install 'wusum[{name}]'") from fault


ENGINES: dict[str, Start] = {
    "local": start_local,
    "ray": start_ray,
    "spark": start_spark,
    "pool-base": lambda setting, stack: start_pool(setting, stack, "base"),
    "pool-small": lambda setting, stack: start_pool(setting, stack, "small"),
}


def race(runs: dict[str, Run], articles: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every engine in every round.

    Raises:
        WusumError: an engine did not tag every article.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in watched(range(rounds), rounds, "rounds"):
        for name in rotated(names, number):
            begin = time.perf_counter()
            tagged = runs[name](articles)
            seconds[name].append(time.perf_counter() - begin)
            if tagged != count:
                raise WusumError(f"{name}: tagged {tagged} articles of {count}; expected all; see the lines above")
    return seconds


def report(seconds: dict[str, list[float]], count: int) -> str:
    """Return articles a second and, beside the first engine, the ratio of times, as lines.

    Example:
        >>> print(report({"local": [2.0, 2.0, 4.0], "ray": [3.0, 4.0, 4.0]}, 100), end="")
        local: 50.0 articles/s
        ray: 25.0 articles/s, 1.50 times the time of local (1.00 to 2.00)
    """
    base = next(iter(seconds))
    lines = []
    for name, taken in seconds.items():
        line = f"{name}: {count / median(taken):.1f} articles/s"
        if name != base:
            ratios = [one / other for one, other in zip(taken, seconds[base], strict=True)]
            line += f", {median(ratios):.2f} times the time of {base} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(line + "\n")
    return "".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, race, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.engines_benchmark")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="the first is the measure")
    parser.add_argument("--bundle", type=Path, help="model of the first three (default: the embedded one)")
    parser.add_argument("--articles", type=Path, help="table of articles instead of made-up ones")
    parser.add_argument("--count", type=int, default=2000, help="articles")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=available_cores(), help="processes of each engine but the local")
    given = parser.parse_args(argv)
    require_at_least(parser, given, count=1, rounds=1, cores=1)
    rows = read_articles(given.articles, given.count)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        [articles] = write_articles(rows, folder, 1)
        few = folder / "few.parquet"
        pq.write_table(pq.read_table(articles).slice(0, _WARM_UP), few)
        setting = Setting(given.bundle, given.cores, folder, [row["text"] for row in rows[:500]])
        runs: dict[str, Run] = {}
        for engine in given.engines:
            begin = time.perf_counter()
            runs[engine] = ENGINES[engine](setting, stack)
            runs[engine](few)
            sys.stdout.write(f"{engine}: {time.perf_counter() - begin:.1f} s to start\n")
        sys.stdout.write(report(race(runs, articles, len(rows), given.rounds), len(rows)))


if __name__ == "__main__":
    run_script(main)
