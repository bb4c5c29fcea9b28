"""The sample articles and what `expected.jsonl` says of them."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from wusum.labels import Taxonomy, load_taxonomy

FOLDER = Path(__file__).resolve().parents[2] / "labels" / "samples"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (FOLDER / "expected.jsonl").read_text(encoding="utf-8").splitlines()
]
PAGES = [row for row in ROWS if row["path"].startswith("page_")]
CLEAN = [row for row in ROWS if row not in PAGES]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    """The packaged scheme."""
    return load_taxonomy()


def text_of(row: dict[str, Any]) -> str:
    """The text of a sample's file."""
    path: Path = FOLDER / row["path"]
    return path.read_text(encoding="utf-8")


def lines_of(row: dict[str, Any]) -> list[str]:
    """The lines of a sample's file."""
    return text_of(row).splitlines()


def lines_with(row: dict[str, Any], key: str) -> set[int]:
    """Numbers of the lines that hold one of the strings listed under `key`; each string stands in one line only."""
    found: set[int] = set()
    for string in row[key]:
        hits = [number for number, line in enumerate(lines_of(row)) if string in line]
        assert len(hits) == 1, f"{row['path']}: {string!r} stands in {len(hits)} lines"
        found.update(hits)
    return found


def by_path(row: dict[str, Any]) -> str:
    """The test id of a row."""
    return str(row["path"])


def test_every_file_has_its_line_in_name_order() -> None:
    assert [row["path"] for row in ROWS] == sorted(path.name for path in FOLDER.glob("*.txt"))


def test_there_are_enough_of_each_kind() -> None:
    unlabelled = [row for row in ROWS if not row["topics"] and not row["actors"]]
    assert len(ROWS) >= 24
    assert len(PAGES) >= 8
    assert len(unlabelled) >= 4
    assert any(row in PAGES for row in unlabelled)


@pytest.mark.parametrize("row", ROWS, ids=by_path)
def test_labels_exist_in_taxonomy_order(row: dict[str, Any], taxonomy: Taxonomy) -> None:
    assert row["topics"] == [label for label in taxonomy.topics if label in row["topics"]]
    assert row["actors"] == [label for label in taxonomy.actors if label in row["actors"]]


@pytest.mark.parametrize("row", ROWS, ids=by_path)
def test_labels_follow_the_guide(row: dict[str, Any]) -> None:
    if "counter_isis" in row["topics"]:
        assert "isis" in row["actors"]
    if row["actors"]:
        assert row["topics"], "an actor needs a political story"


def test_every_label_occurs_at_least_twice(taxonomy: Taxonomy) -> None:
    counts = Counter(label for row in ROWS for label in (*row["topics"], *row["actors"]))
    assert {label: counts[label] for label in taxonomy.ids if counts[label] < 2} == {}


@pytest.mark.parametrize("row", CLEAN, ids=by_path)
def test_clean_article_is_headline_blank_line_body(row: dict[str, Any]) -> None:
    headline, blank, *body = lines_of(row)
    assert row["body_first"] == headline[:40]
    assert blank == ""
    assert 120 <= len(" ".join(body).split()) <= 350
    assert "furniture" not in row
    assert "body" not in row


@pytest.mark.parametrize("row", PAGES, ids=by_path)
def test_page_holds_its_headline_body_and_furniture(row: dict[str, Any]) -> None:
    assert any(line.strip().startswith(row["body_first"]) for line in lines_of(row))
    for key in ("furniture", "body"):
        assert 3 <= len(row[key]) <= 6
        assert all(15 <= len(string) <= 60 for string in row[key])
    assert not lines_with(row, "furniture") & lines_with(row, "body")


@pytest.mark.parametrize("row", ROWS, ids=by_path)
def test_text_is_composed_unicode_without_stray_characters(row: dict[str, Any]) -> None:
    text = text_of(row)
    assert text == unicodedata.normalize("NFC", text)
    assert text.endswith("\n")
    assert not {"\ufffd", "\r", "\ufeff"} & set(text)
