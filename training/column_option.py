"""The option ``--column KEY=NAME`` of commands that read labelled articles."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..labels.errors import WusumError

if TYPE_CHECKING:
    from .config import ColumnConfig


def add_column_option(parser: ArgumentParser) -> None:
    """Add the option, which may be given several times."""
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="KEY=NAME",
        help="what a column is called, as in a recipe's data.columns: --column text=body; may be given again",
    )


def read_columns(pairs: Sequence[str], *, dated: bool = False) -> ColumnConfig:
    """Return the columns that the pairs name; an empty name stands for null.

    Args:
        pairs: ``KEY=NAME``.
        dated: a column of dates is needed, and called ``date`` unless a pair names it.

    Raises:
        WusumError: a pair without ``=``, or an unknown key.

    Example:
        >>> read_columns(["text=body", "title="]).text
        'body'
    """
    from .config import ColumnConfig
    from .config_file import build_config

    values: dict[str, str | None] = {"date": "date"} if dated else {}
    for pair in pairs:
        key, equals, name = pair.partition("=")
        if not equals:
            raise WusumError(f"--column {pair!r}: expected KEY=NAME, for example --column text=body")
        values[key] = name or None
    return build_config(ColumnConfig, values, "--column")
