"""Writes the same rows in every format that `wusum.training.tables` reads."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any] | str]


def write_jsonl(path: Path, rows: Rows) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Rows, delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict(rows[0])), delimiter=delimiter)
        writer.writeheader()
        for row in rows:
            cells = dict(row).items()
            writer.writerow({name: ";".join(cell) if isinstance(cell, list) else cell for name, cell in cells})
    return path


def write_tsv(path: Path, rows: Rows) -> Path:
    return write_csv(path, rows, "\t")


def write_parquet(path: Path, rows: Rows) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def write_dataset(path: Path, rows: Rows) -> Path:
    from datasets import Dataset

    shutil.rmtree(path, ignore_errors=True)
    Dataset.from_list([dict(row) for row in rows]).save_to_disk(path)
    return path


WRITERS: dict[str, Callable[[Path, Rows], Path]] = {
    "articles.jsonl": write_jsonl,
    "articles.csv": write_csv,
    "articles.tsv": write_tsv,
    "articles.parquet": write_parquet,
    "articles": write_dataset,
}
