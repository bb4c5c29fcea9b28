"""Tags as a table on a terminal, one row an article, printed as soon as it is known."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..labels import Taxonomy
from .article import Article
from .cleaner import clean_page
from .prediction import Prediction
from .record import Record

_HEADLINE_LINES = 3
_PIPE_WIDTH = 120
_LEAST_WIDTH = 46
_GAPS = 6  # two blanks between each two of the four columns
# Isolates keep a right-to-left run from re-ordering its neighbours on terminals that know bidirectional text; the mark
# in front makes them lay out the line from the left whatever it begins with. None of them takes a cell.
_OPEN, _CLOSE, _LEFT = "\u2068", "\u2069", "\u200e"


class TableWriter:
    """Prints rows of fixed widths, so that a million of them take no more memory than one.

    The headline, the only column whose direction is not ours to choose, stands last: nothing to its right can slip.

    Example:
        >>> TableWriter(load_taxonomy(), width=100).write(record, prediction)  # doctest: +SKIP
    """

    def __init__(self, taxonomy: Taxonomy, width: int | None = None) -> None:
        """Print to standard output, ``width`` cells wide (the terminal's width when None), labels in English."""
        self._taxonomy = taxonomy
        self._console = Console(highlight=False)
        self._console.width = max(_LEAST_WIDTH, width or self._measure())
        room = self._console.width - _GAPS
        fixed = (room * 18 // 100, room * 25 // 100, room * 25 // 100)
        self._widths = (*fixed, room - sum(fixed))
        self._started = False

    def write(self, record: Record, prediction: Prediction) -> None:
        """Print one row; the heading precedes the first."""
        if not self._started:
            self._started = True
            self._row([Text(name, style="bold") for name in ("Input", "Topics", "Actors", "Headline")])
        ((kind, value),) = record.key.items()
        key = os.path.basename(str(value)) if kind == "path" else str(value)
        topics = self._labels(prediction.topics, prediction)
        actors = self._labels(prediction.actors, prediction)
        notes = [Text(note, style="dim") for note in prediction.notes]
        headline = Text("\n").join([self._fold(_headline(record.article), 3), *notes])
        self._row([self._fold(key, 0), topics, actors, headline])

    def _measure(self) -> int:
        return self._console.width if self._console.is_terminal else max(self._console.width, _PIPE_WIDTH)

    def _row(self, cells: list[Text]) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for width in self._widths:
            grid.add_column(width=width, overflow="fold")
        grid.add_row(*cells)
        self._console.print(grid)

    def _labels(self, labels: Iterable[str], prediction: Prediction) -> Text:
        lines = [f"{prediction.scores[label]:.2f} {self._taxonomy[label].en}" for label in labels]
        return Text("\n".join(lines)) if lines else Text("-", style="dim")

    def _fold(self, text: str, column: int) -> Text:
        """Break ``text`` into lines of the column's width, each of which is isolated for itself."""
        lines = Text(_plain(text)).wrap(self._console, self._widths[column], overflow="fold")
        kept = [line.plain.rstrip() for line in lines[:_HEADLINE_LINES]]
        if len(lines) > len(kept):
            kept[-1] = kept[-1][: self._widths[column] - 1] + "…"
        mark = _LEFT if column == 0 else ""
        return Text("\n".join(f"{mark}{_OPEN}{line}{_CLOSE}" for line in kept))


def _headline(article: str | Article) -> str:
    if isinstance(article, str):
        page = clean_page(article)
        return page.title or page.body[:200]
    return article.title or article.text[:200]


def _plain(text: str) -> str:
    """Return ``text`` on one line; without control and direction characters it cannot steer a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in " ".join(text.split()))
