"""The options of ``wusum tag`` and its help."""

from __future__ import annotations

import functools
import math
import re
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any

from ..labels.errors import WusumError
from .engine import ENGINES
from .formats import INPUT_FORMS
from .progress import say
from .scoring import PRECISIONS

RAY_ONLY = ("workers", "partition_by", "date_column", "block_articles")
NO_PARTITIONS = "none"
_DESCRIPTION = """\
Tag Arabic news articles with their topics and actors.

PATH is one of
  .txt                  one article, as copied from a site: headline and body are found, page furniture is dropped
  .html, .htm           one page of a site; its title, date and author stand in the output
  .jsonl, .csv, .tsv    one article a line or row, in the columns text, title and id; only text is needed
  .parquet              the same
  a folder              every .txt and .html file below it, in the order of names; if there is none, every .jsonl,
                        .csv, .tsv and .parquet file
  a pattern in quotes   'archive/2016-*.jsonl.gz'; ** stands for any folders
  -                     standard input: one article, a page of HTML, or JSON lines if it begins with {
All but Parquet may be packed (.gz, .zst). Text is UTF-8, or UTF-16 with a byte-order mark; an article has 2 MB at most.
HTML, Parquet and .zst need more packages: pip install 'wusum[files]'"""
_EPILOG = """\
Without -o the tags go to standard output, in the order of the input: on a terminal as a table, else as JSON lines.
With -o the suffix of OUT tells the form: .jsonl, .csv, .tsv (each also .gz, .zst) or .parquet. OUT appears when it is
complete; inputs that cannot be tagged are listed with the reasons in OUT.rejected.jsonl. A run that was ended, by
whatever, goes on with --resume, and its output is the same as if nothing had happened. While a run writes OUT, a second
one is refused.
Exit code: 0 all tagged; 1 some inputs rejected (told on standard error), others tagged; 2 nothing tagged;
130 interrupted.

examples:
  wusum tag article.txt
  wusum tag articles.jsonl -o tags.jsonl
  wusum tag archive.csv.gz --text-column body --keep-columns -o tagged.parquet
  cat article.txt | wusum tag -
  wusum tag --engine ray s3://news/2016/ -o s3://tags/2016 --partition-by month"""
_RAY = """\
On several cores or machines: those of the cluster that RAY_ADDRESS=HOST:PORT names, else the cores of this machine.
PATH is a table, a folder of tables or an address; OUT is a folder or an address. Needs pip install 'wusum[ray]'."""


def _number(what: str, most: int, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ArgumentTypeError(f"{text!r} is no number of {what}; expected 1 to {most}")
    return int(text)


def _numbers(what: str, most: int) -> Callable[[str], int]:
    return functools.partial(_number, what, most)


def _workers(text: str) -> int | tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    fewest, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= fewest <= most:
        raise ArgumentTypeError(f"{text!r} is no number of workers; expected one, or the fewest and the most, 2-8")
    return (fewest, most) if fewest < most else most


def _precision(text: str) -> float:
    least, most = PRECISIONS[0], PRECISIONS[-1]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ArgumentTypeError(f"{text!r} is no precision that can be asked for; expected {least} to {most}")
    return value


def _labels(text: str) -> tuple[str, ...]:
    return tuple(label.strip() for label in text.split(","))


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``wusum tag``.

    Example:
        >>> parser = ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["a.txt", "--min-precision", "0.9"]).min_precision
        0.9
    """
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = RawDescriptionHelpFormatter
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="file, folder, pattern or -")
    add("-o", "--output", metavar="OUT", help="write to this file, in place when complete")
    add("--force", action="store_true", help="overwrite OUT, or an unfinished run of it, if it exists")
    add("--resume", action="store_true", help="go on with an unfinished run of the same command; else begin")
    add("--keep-columns", action="store_true", help="write the input's own columns before the tags, not only the id")
    add("--labels", metavar="A,B", type=_labels, help="tell these labels only")
    add(
        "--top",
        metavar="N",
        type=_numbers("labels", 1000),
        help="tell at most N of the labels that an article gets, the surest",
    )
    add("--all-scores", action="store_true", help="write the scores of all labels, not only of those that are given")
    add(
        "--min-precision",
        metavar="P",
        type=_precision,
        help="give a label only where its precision on dev was P or more, 0.5 to 0.99",
    )
    add(
        "--evidence",
        action="store_true",
        help="also tell the sentences that carry each label, in 2 to 3 times the time",
    )
    add("--bundle", metavar="DIR", help="use this model instead of the embedded one: a folder, or OWNER/NAME@REVISION")
    add(
        "--engine",
        choices=(*ENGINES, "ray"),
        default=ENGINES[0],
        help="what computes (default: %(default)s); ray: on Ray Data, into a folder of Parquet, paths or addresses",
    )
    add("--format", choices=("auto", "table", "jsonl"), default="auto", help="form of the tags on standard output")
    add("--input-format", choices=INPUT_FORMS, help="what - and files whose name does not tell hold")
    for column in ("text", "title", "id"):
        add(f"--{column}-column", metavar="NAME", default=column, help=f"column of the {column} (default: {column})")
        add(f"--{column}-field", dest=f"{column}_column", default=SUPPRESS, help=SUPPRESS)
    add(
        "--clean",
        choices=("auto", "always", "never"),
        default="auto",
        help="drop page furniture: auto: of .txt and .html, columns are clean; always: of columns too; never: of none",
    )
    add(
        "--threads",
        metavar="N",
        type=_numbers("threads", 1024),
        help="threads to compute with (default: all cores; 1 a worker of ray)",
    )
    _add_ray(parser.add_argument_group("with --engine ray", _RAY).add_argument)


def _add_ray(add: Callable[..., Any]) -> None:
    add(
        "--workers",
        metavar="N",
        type=_workers,
        help="how many processes tag; or the fewest and the most, 2-8 (default: as many as the cores allow)",
    )
    add(
        "--partition-by",
        choices=("day", "month", "year", NO_PARTITIONS),
        help="how much of an article's date names its folder, date=...; none: one folder (default: day)",
    )
    add("--date-column", metavar="NAME", help="column of the date, YYYY-MM-DD in front (default: date)")
    add(
        "--block-articles",
        metavar="N",
        type=_numbers("articles", 1_000_000),
        help="articles that are written, and can be lost with a worker, together (default: 256)",
    )


def refuse_ray_only(arguments: Namespace) -> None:
    """Refuse the options of Ray alone where another engine is chosen.

    Raises:
        WusumError: one of them is given.

    Example:
        >>> refuse_ray_only(Namespace(workers=2, partition_by=None, date_column=None, block_articles=None))
        Traceback (most recent call last):
        ...
        wusum.labels.errors.WusumError: tag: --workers goes with --engine ray only; expected none; leave it out
    """
    for name in RAY_ONLY:
        if getattr(arguments, name) is not None:
            option = name.replace("_", "-")
            raise WusumError(f"tag: --{option} goes with --engine ray only; expected none; leave it out")


def tell_never_given(arguments: Namespace, labels: Sequence[str]) -> None:
    """Tell which labels the least precision leaves out altogether, if it does.

    Example:
        >>> tell_never_given(Namespace(min_precision=0.9), ())
    """
    if labels:
        told = f"not given, because they never reached it on dev: {', '.join(labels)}"
        say(f"--min-precision {arguments.min_precision}: {told}")
