"""``wusum labels split``: split labelled articles into train and dev and show how each label falls."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..labels.command_base import Command
from .column_option import add_column_option, read_columns

if TYPE_CHECKING:
    from ..labels import Taxonomy
    from .config import DataConfig
    from .data import LabelledArticle

_ABOUT = """Splits whole clusters of near-duplicates, each label in equal shares, and writes the split file that a
recipe names in data.split. A split file that exists is kept, and its counts are shown."""


class Count(NamedTuple):
    """How many articles with a label are in each part."""

    label: str
    train: int
    dev: int

    @property
    def share(self) -> float | None:
        """The share of dev; None where there is no article."""
        return self.dev / (self.train + self.dev) if self.train + self.dev else None


def _add_arguments(parser: ArgumentParser) -> None:
    parser.description = _ABOUT
    add = parser.add_argument
    add("articles", type=Path, metavar="ARTICLES", help="labelled .jsonl, .csv, .tsv, .parquet or dataset folder")
    add("-o", "--out", required=True, type=Path, metavar="SPLIT", help="the split file (.jsonl)")
    add("--taxonomy", type=Path, metavar="T", help="label scheme (YAML); default: the packaged one")
    add("--dev-share", type=float, metavar="S", help="share of the articles that go to dev (default: 0.15)")
    add("--dev-from", metavar="DAY", help="ISO date: dev is what is dated that day or later, instead of a draw")
    add("--seed", type=int, metavar="N", help="seed of the draw (default: 0)")
    add_column_option(parser)
    add("--force", action="store_true", help="make the split anew where the file exists")


def _run(arguments: Namespace) -> int:
    from ..labels import load_taxonomy
    from .data import read_labelled
    from .split import make_split, read_split, select_part, write_split

    data = _config(arguments)
    taxonomy = load_taxonomy(arguments.taxonomy)
    exists = arguments.out.exists()
    split = read_split(arguments.out) if exists and not arguments.force else None  # its faults come before long work
    articles = read_labelled(arguments.articles, taxonomy, data.columns)
    if split is None:
        split = make_split(articles, data, taxonomy)
        write_split(split, arguments.out)
    else:
        sys.stderr.write(f"{arguments.out}: exists already and is shown as it is; --force makes it anew\n")
    parts = [select_part(articles, split, part, arguments.out) for part in ("train", "dev")]
    _show(count_labels(parts[0], parts[1], taxonomy))
    return 0


def _config(arguments: Namespace) -> DataConfig:
    from .config import DataConfig

    given = {"dev_share": arguments.dev_share, "dev_from": arguments.dev_from, "split_seed": arguments.seed}
    chosen = {name: value for name, value in given.items() if value is not None}
    columns = read_columns(arguments.column, dated=arguments.dev_from is not None)
    return DataConfig(str(arguments.articles), str(arguments.out), columns=columns, **chosen)


def count_labels(train: list[LabelledArticle], dev: list[LabelledArticle], taxonomy: Taxonomy) -> list[Count]:
    """Return the counts of all articles, and then of each label in the taxonomy's order.

    Example:
        >>> count_labels(train, dev, load_taxonomy())[0]  # doctest: +SKIP
        Count(label='articles', train=5813, dev=656)
    """
    from .targets import label_matrix

    sums = [label_matrix(part, taxonomy).sum(0).tolist() for part in (train, dev)]
    return [Count("articles", len(train), len(dev)), *map(Count, taxonomy.ids, sums[0], sums[1])]


def _show(counts: list[Count]) -> None:
    header = ("label", "train", "dev", "share in dev")
    rows = [
        (count.label, str(count.train), str(count.dev), "" if count.share is None else f"{count.share:.3f}")
        for count in counts
    ]
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(row) + "\n" for row in (header, *rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(header[0], box=None, pad_edge=False)
    for name in header[1:]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


COMMAND = Command("split labelled articles into train and dev and show the counts of the labels", _add_arguments, _run)
