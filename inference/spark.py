"""Tagging on Spark: a function for ``DataFrame.mapInPandas``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..labels.errors import WusumError
from .choice import Choice
from .columns import Clean, Columns, ReadOptions, to_record
from .job import Tagged, predictions
from .readers import Position
from .record import Record
from .rejected import Place, Rejected, shown
from .tagger import Tagger

if TYPE_CHECKING:
    import pandas

    Frames = Iterator[pandas.DataFrame]

_TYPES = {
    "id": "string",
    "topics": "array<string>",
    "actors": "array<string>",
    "scores": "map<string, double>",
    "notes": "array<string>",
    "error": "string",
}
SCHEMA = ", ".join(f"{name} {kind}" for name, kind in _TYPES.items())


@dataclass(frozen=True)
class _Job:
    """What each worker is told; it is pickled, so the model is named by its path."""

    bundle: str | Path | None
    columns: Columns
    clean: Clean
    choice: Choice
    min_precision: float | None
    threads: int
    keep: tuple[str, ...]


def tag_batches(
    bundle: str | Path | None = None,
    *,
    columns: Columns | None = None,
    clean: Clean = "auto",
    choice: Choice | None = None,
    min_precision: float | None = None,
    threads: int = 1,
    keep: Sequence[str] = (),
) -> Callable[[Frames], Frames]:
    """Return a function that tags data frame after data frame: the tags of ``wusum tag``.

    A worker process of Spark loads the model once, at its first article, and holds one frame at a time. Every row of
    input gives one of output, in order, with the columns of ``SCHEMA``. A row that cannot be tagged costs no other: it
    has its ``id`` and, in ``error``, what is wrong; its other columns are null. Of a tagged row ``error`` is null.

    Args:
        bundle: the model's folder, under a path that every worker sees; the embedded model where None.
        columns: names of the columns with text, title and id; these names where None. Ids come out as text. Spark
            hands over a column of numbers with gaps as fractions, so make text of ids above 2^53 before.
        clean: ``always`` drops page furniture from the columns' text too.
        choice: which tags are told; all that are given where None.
        min_precision: as of :meth:`Tagger.require_precision`.
        threads: of a worker, as many as ``spark.task.cpus``.
        keep: columns of the input to put, unchanged, before those of ``SCHEMA``; the schema must declare them too.

    Raises:
        WusumError: a column of ``keep`` is named like one of ``SCHEMA``. The returned function, and so the job, raises
            it where the bundle cannot be opened or cannot promise that precision, a label is none of the model's, or a
            column is missing or there twice.

    Example:
        >>> news = spark.read.parquet("s3a://news/2016")  # doctest: +SKIP
        >>> news.mapInPandas(tag_batches(keep=["date"]), f"date date, {SCHEMA}")  # doctest: +SKIP
        DataFrame[date: date, id: string, topics: array<string>, ...]
    """
    for name in keep:
        if name in _TYPES:
            raise WusumError(f"keep: {name}: named like a column of the tags; expected another name; rename it before")
    job = _Job(bundle, columns or Columns(), clean, choice or Choice(), min_precision, threads, tuple(keep))
    return functools.partial(_tag_frames, job)


@functools.lru_cache(maxsize=1)
def _load(bundle: str | Path | None, threads: int, min_precision: float | None) -> Tagger:
    """Load the tagger of this process, to which Spark hands partition after partition."""
    tagger = Tagger.load(bundle, threads=threads)
    if min_precision is not None:
        tagger.require_precision(min_precision)
    return tagger


def _tag_frames(job: _Job, frames: Frames) -> Frames:
    def load() -> Tagger:
        tagger = _load(job.bundle, job.threads, job.min_precision)
        job.choice.check(tagger.taxonomy)
        return tagger

    for frame in frames:
        yield _tag_frame(job, frame, load)


def _tag_frame(job: _Job, frame: pandas.DataFrame, load: Callable[[], Tagger]) -> pandas.DataFrame:
    import pandas

    names = _present(job, list(frame.columns))
    cells = frame[names].astype(object)
    rows = [
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in cells.where(cells.notna(), None).itertuples(index=False, name=None)
    ]
    items = ((_read(row, job), Position()) for row in rows)
    tags = [_told(tagged, job.choice) for tagged, _ in predictions(load, items)]
    told = [tag | {"id": _as_text(row.get(job.columns.id))} for row, tag in zip(rows, tags, strict=True)]
    result = pandas.DataFrame(told, index=frame.index, columns=list(_TYPES), dtype=object)
    return pandas.concat([frame[list(job.keep)], result], axis=1)


def _present(job: _Job, given: list[Any]) -> list[str]:
    """Return the names of the columns to read; refuse a frame that lacks one that is needed, or has one twice."""
    standard, asked = Columns(), job.columns
    needed = {asked.text, *job.keep, *({asked.title, asked.id} - {standard.title, standard.id})}
    for name in (asked.text, asked.title, asked.id, *job.keep):
        count = given.count(name)
        if count > 1 or (count == 0 and name in needed):
            listed = ", ".join(shown(str(each))[:30] for each in given[:6]) or "none"
            told = f"there {count} times among the columns ({listed}); expected once"
            raise WusumError(f"{name}: {told}; rename it, or name others: tag_batches(columns=Columns(text=...))")
    return [name for name in dict.fromkeys((asked.text, asked.title, asked.id)) if name in given]


def _read(row: dict[str, Any], job: _Job) -> Record | Rejected:
    try:
        return to_record(row, {}, Place("row"), ReadOptions(job.columns, job.clean))
    except Rejected as fault:
        return fault.bare()


def _told(tagged: Tagged | Rejected, choice: Choice) -> dict[str, Any]:
    nothing = dict.fromkeys(_TYPES)
    if isinstance(tagged, Rejected):
        return nothing | {"error": tagged.reason}
    prediction = choice.apply(tagged.prediction)
    return nothing | {
        "topics": list(prediction.topics),
        "actors": list(prediction.actors),
        "scores": dict(prediction.scores),
        "notes": list(prediction.notes),
    }


def _as_text(identity: Any) -> str | None:
    """Return an id as text, also of a row whose id is what is wrong with it."""
    if isinstance(identity, float) and identity.is_integer():  # a column of numbers with gaps
        identity = int(identity)
    return None if identity is None else str(identity).encode("utf-8", "replace").decode() or None
