"""How long one article takes, and the memory of a long run: ``python -m wusum.training.latency_benchmark``.

Latency: ``Tagger.predict`` on made-up articles of 100, 300 and 700 tokens, for every engine that is installed and every
number of threads; they take turns article by article. A bundle reads the beginning of an article only (``max_chars``);
the tokens that are read are printed.

Cold start: ``wusum tag`` on one article of 300 tokens in a fresh process, from its start to its end, and the largest
resident memory that the kernel counted for it.

Memory curve (``--curve N``): one run of ``wusum tag`` over so many short articles, from one file of JSON lines into
another, and its resident memory at every tenth of them, as ``/proc`` tells it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..inference.article import Article
from ..inference.bundle import Bundle
from ..inference.bundle_source import load_bundle
from ..inference.engine import ENGINES, EngineName
from ..inference.features import Featuriser, read_tokenizer
from ..inference.tagger import Tagger
from ..labels.errors import WusumError
from .progress import Bar, watched
from .script import require_at_least, rotated, run_script

LENGTHS = (100, 300, 700)
_ARTICLES = 20  # of each length, one after the other
_STEPS = 10  # of the memory curve
_POLL_SECONDS = 0.05
_COMMAND = (sys.executable, "-c", "from wusum.inference.cli import main; raise SystemExit(main())", "tag")
# Linux counts memory of the process that starts another as that other's own, so a small one has to start it.
_LAUNCHER = """
import json, os, sys, time
begin = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(json.dumps([time.perf_counter() - begin, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]), file=sys.stderr)
"""
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


def made_up(bundle: Bundle, tokens: int, count: int) -> list[str]:
    """Return texts of our samples' sentences, cut to so many tokens by the bundle's tokenizer, framing ones left out.

    Example:
        >>> len(made_up(open_bundle(embedded_bundle()), 100, 3))  # doctest: +SKIP
        3
    """
    from .speed_material import synthesise_articles

    tokenizer = read_tokenizer(bundle.tokenizer_path)
    whole = replace(bundle.input, prefix="", max_chars=10**9, window=10**9, max_windows=1)
    featurise = Featuriser(tokenizer, whole, bundle.tokens)
    sources = itertools.cycle(article.text for article in synthesise_articles(count))
    texts = []
    for _ in range(count):
        words: list[str] = []
        while _tokens(featurise, words) < tokens:
            words += next(sources).split()
        low, high = 1, len(words)
        while low < high:  # the fewest words that have as many tokens
            middle = (low + high) // 2
            low, high = (low, middle) if _tokens(featurise, words[:middle]) >= tokens else (middle + 1, high)
        texts.append(" ".join(words[:low]))
    return texts


def _tokens(featurise: Featuriser, words: Sequence[str]) -> int:
    return int(featurise(Article(" ".join(words))).mask.sum()) - 2


@dataclass(frozen=True)
class Case:
    """What is timed: an engine, its threads, and the tokens of the articles."""

    engine: EngineName
    threads: int
    tokens: int


def latencies(
    bundle: Bundle, texts: Mapping[int, Sequence[str]], threads: Sequence[int], repeats: int
) -> dict[Case, list[float]]:
    """Return the seconds of ``repeats`` predictions for every engine, number of threads and length of articles.

    An engine that cannot be loaded is told and left out.

    Example:
        >>> latencies(bundle, {100: made_up(bundle, 100, 20)}, [1, 2], 100)  # doctest: +SKIP
    """
    taggers = {(name, count): tagger for name in ENGINES for count, tagger in _load(bundle, name, threads)}
    cases = [Case(name, count, tokens) for name, count in taggers for tokens in texts]
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    for case in cases:
        for text in texts[case.tokens]:
            taggers[case.engine, case.threads].predict({"text": text})
    for number in watched(range(repeats), repeats, "predicting"):
        for case in rotated(cases, number):
            articles = texts[case.tokens]
            begin = time.perf_counter()
            taggers[case.engine, case.threads].predict({"text": articles[number % len(articles)]})
            seconds[case].append(time.perf_counter() - begin)
    return seconds


def _load(bundle: Bundle, engine: EngineName, threads: Sequence[int]) -> Iterator[tuple[int, Tagger]]:
    try:
        for count in threads:
            yield count, Tagger(bundle, count, engine)
    except WusumError as fault:
        sys.stdout.write(f"{engine}: left out; {fault}\n")


def cold_starts(text: str, options: Sequence[str], runs: int, folder: Path) -> list[tuple[float, int]]:
    """Return wall seconds and the largest resident bytes of so many processes that tag one article.

    Raises:
        WusumError: one of them failed.

    Example:
        >>> cold_starts("اجتمع الوزراء", [], 1, Path("scratch"))  # doctest: +SKIP
        [(0.52, 142004224)]
    """
    source = folder / "article.jsonl"
    source.write_text(json.dumps({"id": "0", "text": text}, ensure_ascii=False) + "\n", encoding="utf-8")
    found = []
    for _ in watched(range(runs), runs, "cold starts"):
        argv = [sys.executable, "-c", _LAUNCHER, *_COMMAND, str(source), *options]
        done = subprocess.run(argv, capture_output=True, text=True, encoding="utf-8", check=False)
        seconds, peak, code = json.loads(done.stderr.splitlines()[-1])
        if code or len(done.stdout.splitlines()) != 1:
            raise WusumError(f"wusum tag: exit code {code}, expected one article tagged; it said: {done.stderr}")
        found.append((seconds, peak * _MAXRSS_UNIT))
    return found


def memory_curve(texts: Sequence[str], count: int, options: Sequence[str], folder: Path) -> list[tuple[int, int]]:
    """Return resident bytes of one run over ``count`` short articles, each with the number of articles done by then.

    What is done is what stands in the unfinished output, which grows by segments.

    Raises:
        WusumError: the run failed, or this system has no ``/proc``.

    Example:
        >>> memory_curve(["اجتمع الوزراء"], 1000, [], Path("scratch"))[-1]  # doctest: +SKIP
        (1000, 133001216)
    """
    source, output = folder / "articles.jsonl", folder / "tags.jsonl"
    with source.open("w", encoding="utf-8") as stream:
        for number in range(count):
            row = {"id": str(number), "text": f"{texts[number % len(texts)]} {number}"}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    said = folder / "said"
    with said.open("wb") as errors:
        process = subprocess.Popen([*_COMMAND, str(source), "-o", str(output), "--force", *options], stderr=errors)
        try:
            found = list(_watch(process, output, count))
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        told = said.read_text(encoding="utf-8", errors="replace").strip()
        raise WusumError(
            f"wusum tag: exit code {process.returncode}, expected {count} articles tagged; it said: {told}"
        )
    return found


def _watch(process: subprocess.Popen[bytes], output: Path, count: int) -> Iterator[tuple[int, int]]:
    part, done, read = output.with_name(output.name + ".part"), 0, 0
    step = max(1, count // _STEPS)
    due, last = step, 0
    bar = Bar(_STEPS, "tagging short articles")
    while process.poll() is None:
        last = resident(process.pid) or last
        place = part if part.exists() else output
        if place.exists():
            with place.open("rb") as stream:
                stream.seek(read)
                grown = stream.read()
            read, done = read + len(grown), done + grown.count(b"\n")
        while due <= done:
            yield due, last
            bar.advance()
            due += step
        time.sleep(_POLL_SECONDS)
    bar.close()
    yield from ((reached, last) for reached in range(due, count + 1, step))  # written with its last breath


def resident(process: int) -> int:
    """Return the resident bytes of a process, 0 for one that has ended.

    Raises:
        WusumError: this system has no ``/proc``.

    Example:
        >>> resident(os.getpid()) > 10**6  # doctest: +SKIP
        True
    """
    if not Path("/proc/self/statm").exists():
        raise WusumError("/proc: not found, expected Linux; leave --curve out")
    try:
        pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def report_latencies(seconds: Mapping[Case, Sequence[float]], read: Mapping[int, float]) -> str:
    """Return a table of medians and 95 % quantiles in milliseconds.

    Example:
        >>> print(report_latencies({Case("onnx", 1, 100): [0.01, 0.02, 0.03]}, {100: 104.0}), end="")
        engine | threads | tokens | read | p50 ms | p95 ms
        onnx | 1 | 100 | 104 | 20.0 | 29.0
    """
    lines = ["engine | threads | tokens | read | p50 ms | p95 ms"]
    for case, taken in seconds.items():
        middle, high = np.quantile(np.asarray(taken) * 1000, [0.5, 0.95])
        lines.append(
            f"{case.engine} | {case.threads} | {case.tokens} | {read[case.tokens]:.0f} | {middle:.1f} | {high:.1f}"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.latency_benchmark")
    parser.add_argument("--bundle", help="model to tag with (default: the embedded one)")
    parser.add_argument("--repeats", type=int, default=100, help="predictions of each length, engine and threads")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--starts", type=int, default=11, help="fresh processes of each engine")
    parser.add_argument("--curve", type=int, default=0, metavar="N", help="short articles of the memory curve")
    parser.add_argument("--curve-tokens", type=int, default=3, help="tokens of a short article")
    parser.add_argument("--json", type=Path, help="write what was measured into this file")
    given = parser.parse_args(argv)
    require_at_least(parser, given, repeats=1, starts=1, curve=0, curve_tokens=1)
    bundle = load_bundle(given.bundle)
    texts = {tokens: made_up(bundle, tokens, _ARTICLES) for tokens in LENGTHS}
    found = _measure(given, bundle, texts)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _measure(given: argparse.Namespace, bundle: Bundle, texts: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
    read = {tokens: np.mean([featurise(Article(text)).mask.sum() for text in some]) for tokens, some in texts.items()}
    seconds = latencies(bundle, texts, given.threads, given.repeats)
    sys.stdout.write(report_latencies(seconds, {tokens: float(count) for tokens, count in read.items()}))
    options = [] if given.bundle is None else ["--bundle", given.bundle]
    found: dict[str, Any] = {"latency": [vars(case) | {"seconds": taken} for case, taken in seconds.items()]}
    found["cold"], found["curve"] = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for engine in dict.fromkeys(case.engine for case in seconds):
            named = [*options, "--engine", engine]
            starts = found["cold"][engine] = cold_starts(texts[300][0], named, given.starts, Path(folder))
            walls, peaks = zip(*starts, strict=True)
            sys.stdout.write(
                f"{engine}: cold start {median(walls):.2f} s ({min(walls):.2f} to {max(walls):.2f}), peak memory "
                f"{median(peaks) / 1e6:.0f} MB ({min(peaks) / 1e6:.0f} to {max(peaks) / 1e6:.0f}), {len(starts)} runs\n"
            )
        if given.curve:
            begin = time.perf_counter()
            short = made_up(bundle, given.curve_tokens, _ARTICLES)
            found["curve"] = memory_curve(short, given.curve, options, Path(folder))
            for done, size in found["curve"]:
                sys.stdout.write(f"{done:,} articles: {size / 1e6:.1f} MB\n")
            sys.stdout.write(f"{given.curve / (time.perf_counter() - begin):.0f} short articles/s\n")
    return found


if __name__ == "__main__":
    run_script(main)
