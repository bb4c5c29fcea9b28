"""The output folder of a job on a cluster: a Parquet file a block, its faults beside, and what makes a block done."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ..labels.errors import WusumError
from .object_store import OutputFolder
from .rejected import Rejected
from .writers import Row

Partition = Literal["day", "month", "year"]
_DATE_LENGTH: dict[Partition, int] = {"day": 10, "month": 7, "year": 4}
_NO_DATE = "__HIVE_DEFAULT_PARTITION__"  # what Hive, Spark and pyarrow take for null
_JOB, _DONE, _REJECTED, _SUCCESS = "_job.json", "_done", "_rejected", "_SUCCESS"
_MARK = re.compile(r"part-(\d+)-(\d+)-(\d+)-(\d+)(-last)?")
_LABELS = pa.list_(pa.string())
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("topics", _LABELS),
        ("actors", _LABELS),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("notes", _LABELS),
    ]
)


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows, with or without id and path, as a table of the columns that an output has.

    Example:
        >>> to_table([{"id": "7", "topics": ["war"], "actors": [], "scores": {"war": 0.9}, "notes": []}]).num_columns
        6
    """
    return pa.Table.from_pylist([row | {"scores": list(row["scores"].items())} for row in rows], _SCHEMA)


@dataclass
class Done:
    """What of a job is done.

    Attributes:
        tagged: count of tagged articles.
        rejected: count of rejected ones.
        blocks: the numbers of the blocks that are done, by file.
        ends: the number of the last block of a file, where that is done.
    """

    tagged: int = 0
    rejected: int = 0
    blocks: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    ends: dict[int, int] = field(default_factory=dict)

    def is_complete(self, file: int) -> bool:
        """Whether every block of a file is done.

        Example:
            >>> Done(blocks={0: {0, 2}}, ends={0: 2}).is_complete(0)
            False
        """
        return file in self.ends and len(self.blocks[file]) == self.ends[file] + 1


class RayOutput:
    """Writes blocks so that each may be written twice, even at the same time, and is there once.

    Files of a block are named after it, so a worker that was given up and goes on writes what the one in its place
    does. When all are there, an empty file in ``_done`` that tells its counts makes it done. ``_SUCCESS`` appears when
    all blocks are. Readers of Parquet pass over names with ``_`` in front.

    Example:
        >>> RayOutput("s3://bucket/tags", "day").where
        's3://bucket/tags'
    """

    def __init__(self, address: str, partition_by: Partition | None) -> None:
        """``partition_by`` puts the rows of each date into a folder ``date=...`` of its own."""
        self._folder = OutputFolder(address)
        self._partition_by = partition_by
        self.where = self._folder.where

    def check(self, identity: Mapping[str, Any], *, resume: bool) -> bool:
        """Look at what stands here and return False where the job is complete already.

        Args:
            identity: all that decides about the output.
            resume: go on with what stands here, if anything does.

        Raises:
            WusumError: something stands in the way, or the job that stands here is another one.
        """
        found = self._folder.read(_JOB)
        if found is None:
            if self._folder.names():
                raise WusumError(f"{self.where}: exists already; expected a new or an empty folder; choose another")
            return True
        if not resume:
            if self._is_complete():
                raise WusumError(f"{self.where}: exists already; expected a new folder; choose another")
            told = "an unfinished job stands here; expected none"
            raise WusumError(f"{self.where}: {told}; add --resume to go on with it, or choose another folder")
        self._check_same(found, json.loads(self._job(identity)))
        return not self._is_complete()

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Write what the job is, so that it can be gone on with; raises StoreFault."""
        self._folder.write(_JOB, self._job(identity))

    def _job(self, identity: Mapping[str, Any]) -> bytes:
        version = importlib.metadata.version("wusum")
        told = dict(identity) | {"partition by": self._partition_by, "version of wusum": version}
        return json.dumps(told, ensure_ascii=False, indent=1).encode()

    def commit(self, name: str, rows: Sequence[Row], faults: Sequence[Rejected], *, last: bool) -> None:
        """Write the rows and the faults of a block, then what makes it done; raises StoreFault."""
        for folder, part in self._partitions(rows).items():
            sink = pa.BufferOutputStream()
            pq.write_table(to_table(part), sink, compression="zstd")
            self._folder.write(f"{folder}{name}.parquet", sink.getvalue().to_pybytes())
        if faults:
            lines = "".join(json.dumps(fault.to_dict(), ensure_ascii=False) + "\n" for fault in faults)
            self._folder.write(f"{_REJECTED}/{name}.jsonl", lines.encode())
        self._folder.write(f"{_DONE}/{name}-{len(rows)}-{len(faults)}{'-last' * last}", b"")

    def done(self) -> Done:
        """Return what is done."""
        done = Done()
        for mark in map(_MARK.fullmatch, self._folder.names(_DONE)):
            if mark is not None:
                file, number, tagged, rejected = map(int, mark.groups()[:4])
                done.tagged += tagged
                done.rejected += rejected
                done.blocks[file].add(number)
                if mark[5]:
                    done.ends[file] = number
        return done

    def finish(self, files: int) -> Done:
        """Mark the job as complete; raises WusumError where a block of the ``files`` files is missing."""
        done = self.done()
        for file in range(files):
            if not done.is_complete(file):
                told = f"blocks of input {file + 1} are missing; expected all of them"
                raise WusumError(f"{self.where}: {told}; run the same again with --resume")
        counts = {"tagged": done.tagged, "rejected": done.rejected}
        self._folder.write(_SUCCESS, json.dumps(counts).encode())
        self._folder.tidy()
        return done

    def _is_complete(self) -> bool:
        return self._folder.read(_SUCCESS) is not None

    def _check_same(self, found: bytes, identity: Mapping[str, Any]) -> None:
        try:
            before = json.loads(found)
        except ValueError:
            before = None
        if not isinstance(before, dict):
            raise WusumError(f"{self.where}/{_JOB}: damaged; expected what a job wrote; choose another folder")
        for name in sorted(before.keys() | identity.keys()):
            if before.get(name) != identity.get(name):
                told = f"{name}: not as when the job began; expected {json.dumps(before.get(name), ensure_ascii=False)}"
                raise WusumError(f"{self.where}: {told}; run it as before, or choose another folder")

    def _partitions(self, rows: Sequence[Row]) -> Mapping[str, list[Row]]:
        if self._partition_by is None:
            return {"": list(rows)} if rows else {}
        parts: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            date = row["date"]
            parts[f"date={date[: _DATE_LENGTH[self._partition_by]] if date else _NO_DATE}/"].append(row)
        return parts
