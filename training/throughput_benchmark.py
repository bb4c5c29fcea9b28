"""How fast an archive is tagged, beside others: ``python -m wusum.training.throughput_benchmark``.

======== =============================================================================================================
onnx     ``wusum tag --clean always`` on ONNX Runtime: pages of plain text in JSON lines, tags in JSON lines
openvino the same on OpenVINO
pipeline the transformers pipeline ``text-classification``, fp32, over a random network of the shape of AraBERT base
         (12 layers of 768, 64,000 tokens), at the best of three batch sizes
fasttext :class:`~wusum.training.baseline.FastTextBaseline`, one thread
tfidf    :class:`~wusum.training.baseline.TfidfBaseline`, one thread
======== =============================================================================================================

All read and write JSON lines. Ours clean pages; the others are given the clean text. Ours and the pipeline read the
same tokens by the same tokenizer, at most 512 of an article: longer articles are cut before. The pipeline gets fewer
articles, of lengths spread alike; rates are compared. Models are opened, and everything has run once, before the
rounds; the order changes from round to round. Printed is the median of the rounds with the lowest and the highest.

In the same rounds run the cleaner alone, normalising and tokenising alone, our network alone on features that lie
ready, and int8 products of matrices with sides of 2,048 (``torch._int_mm``), whose rate is the machine's int8 limit.
The share of it is what our encoder computes, counted from its shape without padding, over the time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from ..inference.bundle_source import load_bundle
from ..inference.engine import ENGINES, available_cores
from ..labels.errors import WusumError
from .baseline import FastTextBaseline, TfidfBaseline
from .progress import watched
from .script import require_at_least, rotated, run_script
from .throughput_material import make_pages
from .throughput_sides import (
    PlainPipeline,
    Setting,
    Side,
    baseline,
    cleaning,
    featurising,
    int8_limit,
    network_alone,
    tagging,
)

SIDES = (*ENGINES, "pipeline", "fasttext", "tfidf")
_OPTIONAL = ("openvino", "fasttext", "tfidf")  # their packages may be missing
_LIMIT, _CLEANING, _FEATURES, _ALONE = "int8 limit", "cleaning", "normalising and tokenising", ", network alone"


def start(setting: Setting, names: Sequence[str]) -> dict[str, Side]:
    """Open, fit and warm up the sides that are asked for and what is measured beside them; tell about each."""
    sides: dict[str, Side] = {}
    for name in names:
        begin = time.perf_counter()
        try:
            sides |= _start_one(name, setting)
        except WusumError as fault:
            if name not in _OPTIONAL:
                raise
            sys.stdout.write(f"{name}: left out; {fault}\n")
        else:
            sys.stdout.write(f"{name}: {time.perf_counter() - begin:.1f} s to start\n")
    sides |= {_CLEANING: cleaning(setting), _FEATURES: featurising(setting), _LIMIT: int8_limit(setting.threads)}
    for side in watched(sides.values(), len(sides), "warming up"):
        side.run()
    return sides


def _start_one(name: str, setting: Setting) -> dict[str, Side]:
    for engine in ENGINES:
        if name == engine:
            return {name: tagging(setting, engine), name + _ALONE: network_alone(setting, engine)}
    if name != "pipeline":
        return {name: baseline(setting, FastTextBaseline(epochs=1) if name == "fasttext" else TfidfBaseline())}
    plain = PlainPipeline(setting)
    rates = plain.best_batch()
    best = max(rates, key=rates.__getitem__)
    tried = ", ".join(f"{batch}: {rate:.2f}" for batch, rate in rates.items())
    lengths = [
        len(plain.tokenizer(setting.spelled[place], truncation=True, max_length=512).input_ids)
        for place in plain.chosen
    ]
    sys.stdout.write(f"pipeline: articles/s by batch size {tried}; {best} is taken\n")
    sys.stdout.write(f"pipeline: {len(plain.chosen)} articles a round, {mean(lengths):.0f} tokens on average\n")
    return {name: Side(lambda: plain.run(best), len(plain.chosen))}


def race(sides: Mapping[str, Side], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every side in every round; each round begins with another side."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in watched(range(rounds), rounds, "rounds"):
        for name in rotated(names, number):
            begin = time.perf_counter()
            sides[name].run()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def summarise(sides: Mapping[str, Side], seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, list[float]]]:
    """Return, for each kind of figure, the value of every round by side.

    Returns:
        ``rate``: articles a second. ``ratio``: the rate over that of the pipeline. ``limit``: int8 operations a second
        of the machine. ``share``: of this limit. ``text``: cleaning, and the features, over the time of each engine.

    Example:
        >>> sides = {"onnx": Side(print, 100, 80.0), "pipeline": Side(print, 10), "int8 limit": Side(print, 0, 50.0)}
        >>> found = summarise(sides, {"onnx": [4.0, 5.0], "pipeline": [4.0, 4.0], "int8 limit": [1.0, 0.5]})
        >>> found["rate"]["onnx"], found["ratio"]["onnx"], found["share"]["onnx"]
        ([25.0, 20.0], [10.0, 8.0], [0.4, 0.16])
    """
    found: dict[str, dict[str, list[float]]] = {"rate": {}, "ratio": {}, "limit": {}, "share": {}, "text": {}}
    for name, taken in seconds.items():
        if name in SIDES:
            found["rate"][name] = [sides[name].articles / one for one in taken]
    limit = [sides[_LIMIT].operations / one for one in seconds[_LIMIT]]
    found["limit"][_LIMIT] = limit
    for name, rates in found["rate"].items():
        if name != "pipeline" and "pipeline" in found["rate"]:
            found["ratio"][name] = _divide(rates, found["rate"]["pipeline"])
    for name, side in sides.items():
        if side.operations and name != _LIMIT:
            found["share"][name] = _divide([side.operations / one for one in seconds[name]], limit)
    for engine in ENGINES:
        for part in (_CLEANING, _FEATURES):
            if engine in seconds and part in seconds:
                found["text"][f"{part}, of {engine}"] = _divide(seconds[part], seconds[engine])
    return found


def _divide(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True)]


def report(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the figures as lines: the median of the rounds, with the lowest and the highest."""
    lines = []
    for name, rates in found["rate"].items():
        line = f"{name}: {_told(rates, '.2f')} articles/s"
        if name in found["ratio"]:
            line += f", {_told(found['ratio'][name], '.2f')} times the pipeline"
        lines.append(line)
    for name, limit in found["limit"].items():
        lines.append(f"{name}: {_told([one / 1e9 for one in limit], '.0f')} G operations/s")
    lines += [f"{name}: {_told(shares, '.1%')} of the int8 limit" for name, shares in found["share"].items()]
    lines += [f"{name}: {_told(shares, '.1%')} of the time" for name, shares in found["text"].items()]
    return "\n".join(lines) + "\n"


def _told(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, race, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.throughput_benchmark")
    parser.add_argument("--engines", nargs="+", choices=SIDES, default=list(SIDES), help="sides of the race")
    parser.add_argument("--bundle", help="model to tag with (default: the embedded one)")
    parser.add_argument("--articles", type=Path, help="table of articles instead of made-up ones")
    parser.add_argument("--count", type=int, default=400, help="articles a round")
    parser.add_argument("--pipeline-count", type=int, default=24, help="articles a round of the pipeline")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=available_cores(), help="of the engines and of torch")
    parser.add_argument("--json", type=Path, help="write seconds and figures of every round into this file")
    given = parser.parse_args(argv)
    require_at_least(parser, given, count=2, pipeline_count=1, rounds=1, threads=1)
    bundle = load_bundle(given.bundle)
    pages = make_pages(given.articles, given.count, bundle)
    if len(pages) < 2:
        raise WusumError(
            f"{len(pages)} of {given.count} articles are Arabic text; expected more; give other --articles"
        )
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(bundle, pages, given.threads, Path(folder), given.pipeline_count)
        told = _describe(setting, given.rounds)
        sides = start(setting, given.engines)
        seconds = race(sides, given.rounds)
    found = summarise(sides, seconds)
    sys.stdout.write(told + report(found))
    if given.json:
        settings: dict[str, Any] = {"threads": given.threads, "rounds": given.rounds, "tokens": mean(setting.tokens)}
        counts = {name: side.articles for name, side in sides.items()}
        record = {"settings": settings, "articles": counts, "seconds": seconds, "figures": found}
        given.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _describe(setting: Setting, rounds: int) -> str:
    tenths = quantiles(setting.tokens, n=10, method="inclusive")
    return (
        f"{len(setting.pages)} articles, tokens read: median {median(setting.tokens):.0f}, one in ten over "
        f"{tenths[-1]:.0f}, mean {mean(setting.tokens):.0f}; {rounds} rounds, {setting.threads} threads\n"
    )


if __name__ == "__main__":
    run_script(main)
