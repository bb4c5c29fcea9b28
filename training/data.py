"""Labelled articles with their text, read strictly: every fault of a file is reported together."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from ..inference.article import Article
from ..labels import Taxonomy
from ..labels.check import as_label_list, unjudged_fault, with_text_id
from ..labels.errors import WusumError
from ..labels.jsonl import label_faults, text_faults
from ..labels.taxonomy import KINDS, Kind
from .config import ColumnConfig
from .progress import watched
from .tables import open_table

DEFAULT_COLUMNS = ColumnConfig()
JUDGED = "judged"  # the optional column that says exactly which labels were judged
MAX_FAULTS_SHOWN = 20
_MANY_COLUMNS = 1000  # names of fields that are remembered for messages, where every row names its own
_COLUMNS_SHOWN = 20


@dataclass(frozen=True)
class LabelledArticle:
    """One article and the ids of its labels, topics first.

    Attributes:
        id: its name.
        title: headline, if known.
        text: body.
        labels: ids of its labels.
        judged: ids of the labels that somebody judged, in the taxonomy's order; None where all were. A label that was
            not judged is neither positive nor negative.
        date: ISO date, where the file's column of dates was asked for.
    """

    id: str
    title: str | None
    text: str
    labels: tuple[str, ...]
    judged: tuple[str, ...] | None = None
    date: str | None = None

    @property
    def article(self) -> Article:
        """The article without its labels."""
        return Article(self.text, self.title, self.id)


def read_labelled(path: Path, taxonomy: Taxonomy, columns: ColumnConfig = DEFAULT_COLUMNS) -> list[LabelledArticle]:
    """Read JSON lines, CSV, Parquet or the folder of a Hugging Face dataset (see :mod:`~wusum.training.tables`).

    A row has an id, a text, perhaps a title, and ids of labels: lists, or text with ``columns.separator`` between them.
    Where the topics of a row are null or absent, nobody judged them, and the same with actors; an empty list, or an
    empty cell of a CSV, means judged and none found. A column ``judged`` with ids of labels says it for each label.

    Raises:
        WusumError: the file is missing, damaged or holds no article, or rows have faults: all of them in one message,
            each with file, line (or row) and field, an unknown label with the nearest valid one.

    Example:
        >>> read_labelled(Path("data/gold/train.jsonl"), load_taxonomy())[0].labels  # doctest: +SKIP
        ('diplomacy', 'russia')
    """
    table = open_table(path)
    reader = _RowReader(taxonomy, columns)
    found = set(table.columns or ())
    if table.columns is not None:
        _refuse_absent(path, reader.needed, found)
    articles: list[LabelledArticle] = []
    faults: list[tuple[str, str]] = []  # where, what
    first: dict[str, int] = {}
    place = "" if table.unit == "line" else f"{table.unit} "
    for number, values in watched(table.read(reader.needed | reader.optional), table.size, "reading the articles"):
        if isinstance(values, str):
            faults.append((f"{path}:{place}{number}", values))
            continue
        found.update(values if len(found) < _MANY_COLUMNS else reader.needed.keys() & values.keys())
        article, problems = reader.read(values)
        if article is not None and first.setdefault(article.id, number) != number:
            earlier = f"{article.id!r} stands in {table.unit} {first[article.id]} already"
            problems.append(f"{columns.id}: {earlier}, expected once; remove one")
        faults.extend((f"{path}:{place}{number}", problem) for problem in problems)
        if article is not None and not problems:
            articles.append(article)
    if found:
        _refuse_absent(path, reader.needed, found, faults)
    if faults:
        refuse(path, [f"{where}:{what}" for where, what in faults])
    if not articles:
        raise WusumError(f"{path}: holds no article; expected rows with id, text, topics and actors")
    return articles


def require_single(articles: Iterable[LabelledArticle], path: Path) -> None:
    """Check that every article has exactly one label, as ``task: single_label`` needs it, and that all were judged.

    Raises:
        WusumError: some have none or several, or a part of their labels was not judged; all of them in one message.
    """
    faults = []
    for article in articles:
        if len(article.labels) != 1:
            faults.append(f"{path}:{article.id}: {', '.join(article.labels) or 'no label'}, expected exactly one label")
        elif article.judged is not None:
            found = f"{len(article.judged)} labels are judged, expected all of them with one label an article"
            faults.append(f"{path}:{article.id}: {found}; fill in its empty columns")
    if faults:
        refuse(path, faults)


def refuse(where: Path | str, faults: Sequence[str]) -> NoReturn:
    """Raise a WusumError that counts the faults of a file and shows the first twenty."""
    more = [f"... and {len(faults) - MAX_FAULTS_SHOWN} more"] if len(faults) > MAX_FAULTS_SHOWN else []
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise WusumError("\n".join([f"{count} in {where}:", *faults[:MAX_FAULTS_SHOWN], *more]))


def _refuse_absent(
    path: Path,
    needed: Mapping[str, str],
    found: Collection[str],
    faults: Iterable[tuple[str, str]] = (),
) -> None:
    """Tell once about a column that no row has, and what else is wrong besides it."""
    absent = {column: key for column, key in needed.items() if column not in found}
    if not absent:
        return
    names = [name if len(name) <= 60 else f"{name[:60]}…" for name in sorted(found)[:_COLUMNS_SHOWN]]
    told = []
    for column, key in absent.items():
        near = difflib.get_close_matches(column, list(found), n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"name it with data.columns.{key}"
        null = ", or set it to null if the file has none" if key in ("title", "topics", "actors") else ""
        told.append(f"{path}:{column}: no such column, found {', '.join(names)}; {advice}{null}")
    refuse(path, told + [f"{where}:{what}" for where, what in faults if what.partition(":")[0] not in absent])


@dataclass(frozen=True)
class _RowReader:
    """Turns the values of a row into an article, or says what is wrong with them."""

    taxonomy: Taxonomy
    columns: ColumnConfig

    @cached_property
    def label_columns(self) -> dict[str, Kind | None]:
        """The columns that hold ids, with the kind of label (None: either)."""
        if self.columns.labels is not None:
            return {self.columns.labels: None}
        pairs: tuple[tuple[str | None, Kind], ...] = ((self.columns.topics, "topic"), (self.columns.actors, "actor"))
        return {column: kind for column, kind in pairs if column is not None}

    @cached_property
    def label_keys(self) -> dict[str, str]:
        """Those of them that the scheme has labels for, with their keys in ``data.columns``."""
        kinds = {label.kind for label in self.taxonomy.labels}
        pairs = self.label_columns.items()
        keys = {column: f"{kind}s" if kind else "labels" for column, kind in pairs if kind is None or kind in kinds}
        if not keys:
            raise WusumError("data.columns: no column of labels is named; set topics, actors or labels")
        return keys

    @cached_property
    def needed(self) -> dict[str, str]:
        """The columns that the file must have, with their keys in ``data.columns``."""
        columns = self.columns
        needed = {columns.id: "id", columns.text: "text"}
        if columns.title is not None and columns.title != DEFAULT_COLUMNS.title:
            needed[columns.title] = "title"
        return needed | self.label_keys | ({columns.date: "date"} if columns.date is not None else {})

    @cached_property
    def optional(self) -> dict[str, str]:
        """The columns that are read where the file has them."""
        title = {self.columns.title: "title"} if self.columns.title is not None else {}
        return title | {column: "" for column in self.label_columns} | {JUDGED: JUDGED}

    def read(self, values: Mapping[str, object]) -> tuple[LabelledArticle | None, list[str]]:
        """Return the article, or None and every fault, ``column: ...``."""
        columns = self.columns
        values = with_text_id(values, columns.id)
        problems = [*text_faults(values, columns.id), *text_faults(values, columns.text)]
        if columns.title is not None:
            problems.extend(text_faults(values, columns.title, optional=True))
        texts = [values.get(column) if column else None for column in (columns.id, columns.title, columns.text)]
        identity, title, text = (value if isinstance(value, str) else None for value in texts)
        for column, value in ((columns.id, identity), (columns.title, title), (columns.text, text)):
            if value is not None and not _is_whole(value):
                problems.append(f"{column}: half a surrogate pair, expected whole characters; mend the \\u escape")
        labels, judged = self._labels(values, problems)
        day = self._date(values, problems)
        if problems or identity is None or text is None:
            return None, problems
        return LabelledArticle(identity, title or None, text, labels, judged, day), problems

    def _labels(
        self, values: Mapping[str, object], problems: list[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
        cells = {column: as_label_list(values.get(column), self.columns.separator) for column in self.label_columns}
        given = {column: cell for column, cell in cells.items() if cell is not None}
        faults = [
            fault
            for column in given
            for fault in label_faults(given, column, self.taxonomy, self.label_columns[column])
        ]
        told = None if values.get(JUDGED) == "" else as_label_list(values.get(JUDGED), self.columns.separator)
        if told is not None:
            faults.extend(label_faults({JUDGED: told}, JUDGED, self.taxonomy, None))
            if told == []:
                faults.append(f"{JUDGED}: empty, expected ids of labels; drop the row")
        elif not given.keys() & self.label_keys.keys():
            faults.append(unjudged_fault(list(self.label_keys)))
        problems.extend(faults)
        if faults:
            return (), None
        topics, actors = self.taxonomy.split(label for cell in given.values() for label in _ids(cell))
        judged = self._judged(given) if told is None else set(_ids(told))
        for label in (*topics, *actors):
            if label not in judged:
                problems.append(f"{JUDGED}: {label!r} is not in it, but the article has that label; add it")
        everything = judged.issuperset(self.taxonomy.ids)
        return (*topics, *actors), None if everything else tuple(label for label in self.taxonomy if label in judged)

    def _judged(self, given: Collection[str]) -> set[str]:
        """Return the labels of the kinds whose columns hold something."""
        kinds: set[str] = set()
        for column in given:
            kind = self.label_columns[column]
            kinds |= {kind} if kind else set(KINDS)
        return {label.id for label in self.taxonomy.labels if label.kind in kinds}

    def _date(self, values: Mapping[str, object], problems: list[str]) -> str | None:
        column = self.columns.date
        if column is None:
            return None
        value = values.get(column)
        try:
            day = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        except ValueError:
            day = None
        if isinstance(day, datetime):
            return day.date().isoformat()
        if isinstance(day, date):
            return day.isoformat()
        problems.append(f"{column}: {value!r}, expected an ISO date such as 2016-03-31; mend it or fill it in")
        return None


def _ids(cell: object) -> list[str]:
    return [label for label in cell if isinstance(label, str)] if isinstance(cell, list) else []


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
