"""What tagging a large archive takes, from measured inputs: ``python -m wusum.training.scaling_plan measured.json``.

The inputs are what ``python -m wusum.training.scaling_benchmark --json measured.json`` writes. The formulas stand in
``docs/scaling.md``; nothing here is a measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..labels.errors import WusumError
from .script import run_script

GIGABIT = 1e9 / 8  # bytes
_ARTICLES_PER_FILE = 10_000  # of output; what docs/scaling.md advises for large archives
_HEADER = (
    "| articles | cores | core-hours | hours | held up by | GB in | GB out | MB/s | output files |\n"
    "|---:|---:|---:|---:|---|---:|---:|---:|---:|\n"
)


@dataclass(frozen=True)
class Measured:
    """What was measured on one machine.

    Attributes:
        docs_per_core_second: articles that one worker of one thread tags in a second, reading and writing included.
        efficiency: of two workers beside one: throughput of both over twice that of one.
        bytes_in: of an article in the input file.
        bytes_out: of an article in the output file.
        read_docs_per_core_second: articles that one core reads from Parquet in a second.
        features_docs_per_core_second: articles that one core reads, normalises and tokenises in a second.
    """

    docs_per_core_second: float
    efficiency: float
    bytes_in: float
    bytes_out: float
    read_docs_per_core_second: float
    features_docs_per_core_second: float


@dataclass(frozen=True)
class Place:
    """Where the job runs.

    Attributes:
        cores: that tag.
        network: gigabits a second between all cores together and the object store.
        readers: cores that read; None where every worker reads its own part, as in Spark.
    """

    cores: int
    network: float
    readers: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What a job takes: core-hours of tagging, hours on the clock, and which of its parts decides about these."""

    core_hours: float
    hours: float
    limit: str
    bytes_in: float
    bytes_out: float
    files: int

    @property
    def bytes_per_second(self) -> float:
        """What goes over the network, in and out together."""
        return (self.bytes_in + self.bytes_out) / (self.hours * 3600)


def estimate(articles: int, place: Place, measured: Measured) -> Estimate:
    """Return what tagging so many articles takes: the slowest of tagging, reading and network decides.

    Example:
        >>> one = Measured(100.0, 0.9, 2000.0, 500.0, 10000.0, 2000.0)
        >>> found = estimate(1_000_000, Place(cores=10, network=10), one)
        >>> round(found.core_hours, 2), round(found.hours, 2), found.limit
        (3.09, 0.31, 'tagging')
    """
    single = place.cores == 1
    rate = measured.docs_per_core_second * (1 if single else measured.efficiency)
    data_in, data_out = articles * measured.bytes_in, articles * measured.bytes_out
    seconds = {
        "tagging": articles / (rate * place.cores),
        "network": max(data_in, data_out) / (place.network * GIGABIT),  # both ways at once
    }
    if place.readers is not None:
        seconds["reading"] = articles / (measured.read_docs_per_core_second * place.readers)
    limit = max(seconds, key=lambda part: seconds[part])
    files = math.ceil(articles / _ARTICLES_PER_FILE)
    return Estimate(articles / rate / 3600, seconds[limit] / 3600, limit, data_in, data_out, files)


def cores_at_network_limit(network: float, measured: Measured) -> float:
    """Return the number of tagging cores that fill a network of so many gigabits a second.

    Example:
        >>> round(cores_at_network_limit(10, Measured(100.0, 1.0, 2000.0, 500.0, 10000.0, 2000.0)))
        6250
    """
    each = measured.docs_per_core_second * measured.efficiency * max(measured.bytes_in, measured.bytes_out)
    return network * GIGABIT / each


def cores_per_reader(measured: Measured) -> float:
    """Return how many tagging cores one core that reads keeps busy.

    Example:
        >>> cores_per_reader(Measured(100.0, 1.0, 2000.0, 500.0, 10000.0, 2000.0))
        100.0
    """
    return measured.read_docs_per_core_second / (measured.docs_per_core_second * measured.efficiency)


def read_measured(path: Path) -> Measured:
    """Read the measured inputs.

    Raises:
        WusumError: no such file, or a value is missing or no positive number.
    """
    advice = "expected what `python -m wusum.training.scaling_benchmark --json FILE` writes"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise WusumError(f"{path}: cannot be read ({fault}); {advice}; run it") from fault
    if not isinstance(values, Mapping):
        raise WusumError(f"{path}: no JSON object; {advice}; run it")
    return Measured(**{field.name: _positive(values, field.name, f"{path}:{field.name}") for field in fields(Measured)})


def _positive(values: Mapping[str, Any], name: str, where: str) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise WusumError(f"{where}: {value!r}, expected a positive number; run the scaling benchmark anew")
    return float(value)


def table(
    measured: Measured, articles: Sequence[int], cores: Sequence[int], network: float, readers: int | None
) -> str:
    """Return the cost table and where the bottleneck moves, as Markdown."""
    rows = []
    for count in articles:
        for number in cores:
            found = estimate(count, Place(number, network, readers), measured)
            sizes = " | ".join(f"{size / 1e9:,.1f}" for size in (found.bytes_in, found.bytes_out))
            rows.append(
                f"| {count:,} | {number:,} | {found.core_hours:,.0f} | {found.hours:,.2f} | {found.limit} | {sizes} "
                f"| {found.bytes_per_second / 1e6:,.1f} | {found.files:,} |\n"
            )
    tokenising = measured.docs_per_core_second / measured.features_docs_per_core_second
    full, fed = cores_at_network_limit(network, measured), cores_per_reader(measured)
    return (
        f"{_HEADER}{''.join(rows)}\n"
        f"The network of {network:g} Gbit/s is full at {full:,.0f} cores. One core that reads Parquet feeds {fed:,.0f} "
        f"cores that tag. Reading, normalising and tokenising take {tokenising:.0%} of a tagging core.\n"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.scaling_plan")
    parser.add_argument("measured", type=Path, help="JSON that the scaling benchmark wrote")
    parser.add_argument("--articles", type=int, nargs="+", default=[10_000_000, 1_000_000_000])
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 16, 64, 256, 1024])
    parser.add_argument("--network", type=float, default=10.0, help="Gbit/s to the object store, all machines together")
    parser.add_argument(
        "--readers", type=int, help="cores that read for all workers (default: workers read themselves)"
    )
    given = parser.parse_args(argv)
    for name in ("articles", "cores", "network", "readers"):
        value = getattr(given, name)
        if value is not None and min(value if isinstance(value, list) else [value]) <= 0:
            parser.error(f"--{name}: expected more than 0")
    sys.stdout.write(table(read_measured(given.measured), given.articles, given.cores, given.network, given.readers))


if __name__ == "__main__":
    run_script(main)
