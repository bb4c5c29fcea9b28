"""What a file holds, by its name: the forms of input and output and the suffixes that stand for them."""

from __future__ import annotations

import os
from typing import Final, Literal, get_args

InputForm = Literal["text", "html", "jsonl", "csv", "tsv", "parquet"]
OutputForm = Literal["jsonl", "csv", "tsv", "parquet"]
Packing = Literal["", ".gz", ".zst"]

INPUT_FORMS: Final[tuple[InputForm, ...]] = get_args(InputForm)
_FORMS: Final[dict[str, InputForm]] = {
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


def split_name(path: str) -> tuple[str, Packing]:
    """Return the suffix that tells the form, in small letters, and the one that tells the packing.

    Example:
        >>> split_name("archive/2016.JSONL.gz")
        ('.jsonl', '.gz')
    """
    stem, suffix = os.path.splitext(os.path.basename(path))
    suffix = suffix.lower()
    if suffix == ".gz" or suffix == ".zst":
        return os.path.splitext(stem)[1].lower(), ".gz" if suffix == ".gz" else ".zst"
    return suffix, ""


def input_form(path: str) -> InputForm | None:
    """Return what a file's name says that it holds; None where it says nothing.

    Example:
        >>> input_form("page.htm"), input_form("README")
        ('html', None)
    """
    return _FORMS.get(split_name(path)[0])


def output_form(path: str) -> OutputForm | None:
    """Return the form in which a file of this name is written; None for a suffix that stands for none.

    Example:
        >>> output_form("tags.csv.gz"), output_form("tags"), output_form("tags.xlsx"), output_form("tags.parquet.gz")
        ('csv', 'jsonl', None, None)
    """
    suffix, packing = split_name(path)
    form = _FORMS.get(suffix) if suffix else "jsonl"
    if form == "text" or form == "html" or (form == "parquet" and packing):
        return None
    return form
