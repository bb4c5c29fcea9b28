"""Labelled articles: every fault of a file in one message, four formats, what was judged."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wusum.labels import WusumError, load_taxonomy
from wusum.labels.check import check_file
from wusum.training.config import ColumnConfig
from wusum.training.data import LabelledArticle, read_labelled, require_single
from wusum.training.targets import data_sha256, judged_matrix, label_matrix, target_matrix

from .table_files import WRITERS, write_csv, write_jsonl, write_parquet

TAXONOMY = load_taxonomy()
GOOD = {"id": "a", "title": "عنوان", "text": "نص", "topics": ["diplomacy"], "actors": ["russia"], "extra": 1}
ONE = LabelledArticle("a", "عنوان", "نص", ("diplomacy", "russia"))


def read(path: Path, **columns: str | None) -> list[LabelledArticle]:
    return read_labelled(path, TAXONOMY, ColumnConfig(**columns))  # type: ignore[arg-type]


def faults_of(path: Path, **columns: str | None) -> list[str]:
    with pytest.raises(WusumError) as caught:
        read(path, **columns)
    count, *faults = str(caught.value).split("\n")
    assert count.startswith(f"{len(faults)} fault")
    return [fault.removeprefix(str(path)) for fault in faults]


def test_reads_rows(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [GOOD, "", GOOD | {"id": "b", "title": None, "topics": []}])
    articles = read(path)
    assert articles == [ONE, LabelledArticle("b", None, "نص", ("russia",))]
    matrix = label_matrix(articles, TAXONOMY)
    assert matrix.shape == (2, len(TAXONOMY))
    assert [TAXONOMY.ids[column] for column in matrix[0].nonzero()[0]] == ["diplomacy", "russia"]


def test_the_hash_of_plain_articles_is_the_one_that_bundles_hold() -> None:
    articles = [ONE, LabelledArticle("b", None, "نص آخر", ())]
    assert data_sha256(articles) == "5c68982c797e4599d47b07af4804017bb8ba2163359fb2a6ae70634c61777d18"
    assert data_sha256([replace(ONE, date="2016-03-31")]) == data_sha256([ONE])
    assert data_sha256([replace(ONE, judged=("diplomacy", "russia"))]) != data_sha256([ONE])


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    rows = [
        GOOD,
        "{",
        "[]",
        GOOD | {"id": "b", "text": " "},
        GOOD | {"id": "c", "topics": ["diplomcy", "usa", "terrorism", "terrorism"]},
        GOOD,
        GOOD | {"id": "d", "title": 5, "topics": None, "actors": None},
        GOOD | {"id": "e", "topics": {"diplomacy": 1}},
        '{"id": "f", "text": "\\ud800", "topics": []}',
    ]
    faults = faults_of(write_jsonl(tmp_path / "a.jsonl", rows))
    starts = [
        ":2:json: ",
        ":3:json: expected an object",
        ":4:text: empty",
        ":5:topics: 'diplomcy' is not in scheme wusum-political-news 1.0; did you mean 'diplomacy'?",
        ":5:topics: 'usa' is of kind actor",
        ":5:topics: 'terrorism' given twice",
        ":6:id: 'a' stands in line 1 already",
        ":7:title: expected text, got a number",
        ":7:topics: missing, and actors too",
        ":8:topics: expected a list of label ids, got an object",
        ":9:text: half a surrogate pair",
    ]
    assert len(faults) == len(starts)
    for fault, start in zip(faults, starts, strict=True):
        assert fault.startswith(start)


def test_twenty_faults_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [GOOD | {"id": str(number), "text": ""} for number in range(33)])
    with pytest.raises(WusumError) as caught:
        read(path)
    lines = str(caught.value).split("\n")
    assert lines[0] == f"33 faults in {path}:"
    assert len(lines) == 22
    assert lines[-1] == "... and 13 more"


@pytest.mark.parametrize("rows", [[], ["", ""]])
def test_a_file_without_articles(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(WusumError, match="holds no article"):
        read(write_jsonl(tmp_path / "a.jsonl", rows))


LABELS = st.lists(st.sampled_from(TAXONOMY.ids), unique=True, max_size=4)
# Half surrogates cannot stand in UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))


@st.composite
def rows_of_articles(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for identity in draw(st.lists(TEXT, min_size=1, max_size=4, unique=True)):
        topics, actors = TAXONOMY.split(draw(LABELS))
        row: dict[str, Any] = {"id": identity, "text": draw(TEXT), "topics": [*topics], "actors": [*actors]}
        unsure = draw(st.lists(st.sampled_from(TAXONOMY.ids), unique=True, max_size=3))
        judged = [label for label in TAXONOMY if label not in unsure or label in (*topics, *actors)]
        rows.append(row | {"title": draw(st.none() | TEXT), "judged": draw(st.sampled_from([None, judged]))})
    return rows


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_articles())
def test_every_format_gives_the_same_articles(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    expected = [
        LabelledArticle(
            row["id"],
            row["title"],
            row["text"],
            (*row["topics"], *row["actors"]),
            None if row["judged"] is None or len(row["judged"]) == len(TAXONOMY) else tuple(row["judged"]),
        )
        for row in rows
    ]
    for name, write in WRITERS.items():
        assert read(write(tmp_path / name, rows)) == expected, name


def test_what_nobody_judged_is_neither_positive_nor_negative(tmp_path: Path) -> None:
    rows = [
        GOOD | {"topics": None},
        {"id": "b", "text": "نص", "topics": ["diplomacy"]},
        GOOD | {"id": "c", "judged": ["russia", "terrorism", "diplomacy"]},
        GOOD | {"id": "d", "judged": list(reversed(TAXONOMY.ids))},
    ]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    articles = read(path)
    assert [article.judged for article in articles] == [
        TAXONOMY.actors,
        TAXONOMY.topics,
        tuple(label for label in TAXONOMY if label in ("russia", "terrorism", "diplomacy")),
        None,
    ]
    judged, targets = judged_matrix(articles, TAXONOMY), target_matrix(articles, TAXONOMY)
    assert targets.dtype == np.float32
    assert (np.isnan(targets) == ~judged).all()
    assert (targets[judged] == label_matrix(articles, TAXONOMY)[judged]).all()
    assert judged.sum(1).tolist() == [len(TAXONOMY.actors), len(TAXONOMY.topics), 3, len(TAXONOMY)]
    assert list(check_file(path, TAXONOMY)) == []


def test_a_judged_column_with_faults(tmp_path: Path) -> None:
    rows = [GOOD | {"judged": judged} for judged in (["diplomacy"], [], ["rusia"], 3)]
    faults = faults_of(write_jsonl(tmp_path / "a.jsonl", [row | {"id": str(n)} for n, row in enumerate(rows)]))
    assert [fault.partition(";")[0] for fault in faults] == [
        ":1:judged: 'russia' is not in it, but the article has that label",
        ":2:judged: empty, expected ids of labels",
        ":3:judged: 'rusia' is not in scheme wusum-political-news 1.0",
        ":4:judged: expected a list of label ids, got a number",
    ]


def test_columns_of_other_names(tmp_path: Path) -> None:
    row = {"nr": 7, "body": "نص", "tags": "russia | diplomacy", "day": "2016-03-31T23:00:00Z", "title": "لا"}
    columns = {"id": "nr", "text": "body", "labels": "tags", "date": "day", "title": None, "separator": "|"}
    expected = [LabelledArticle("7", None, "نص", ("diplomacy", "russia"), date="2016-03-31")]
    assert read(write_jsonl(tmp_path / "a.jsonl", [row]), **columns) == expected
    assert read(write_csv(tmp_path / "a.csv", [row]), **columns) == expected
    days = [date(2016, 3, 31), datetime(2016, 3, 31, 12, tzinfo=UTC)]
    for number, day in enumerate(days):
        assert read(write_parquet(tmp_path / f"{number}.parquet", [row | {"day": day}]), **columns) == expected


def test_a_file_of_actors_alone(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": "a", "text": "نص", "actors": ["russia"]}])
    assert read(path, topics=None) == [LabelledArticle("a", None, "نص", ("russia",), TAXONOMY.actors)]
    with pytest.raises(WusumError, match="no column of labels is named"):
        read(path, topics=None, actors=None)


@pytest.mark.parametrize("name", WRITERS)
def test_a_column_that_is_not_there_is_told_once(tmp_path: Path, name: str) -> None:
    rows = [{"id": str(number), "texts": "نص", "topics": [], "actors": []} for number in range(3)]
    path = WRITERS[name](tmp_path / name, rows)
    (fault,) = faults_of(path)
    assert fault.startswith(":text: no such column, found ")
    assert "did you mean 'texts'?" in fault
    faults = faults_of(path, text="texts", title="headline", date="day", actors="acters")
    assert [fault.split(":")[1] for fault in faults] == ["headline", "acters", "day"]
    assert "name it with data.columns.date" in faults[2]
    assert "did you mean 'actors'?, or set it to null if the file has none" in faults[1]


def test_an_absent_column_does_not_hide_other_faults(tmp_path: Path) -> None:
    rows = [{"id": "a", "body": "نص", "topics": ["diplomcy"], "actors": []}, "{"]
    faults = faults_of(write_jsonl(tmp_path / "a.jsonl", rows))
    assert [fault.split(" ")[0] for fault in faults] == [":text:", ":1:topics:", ":2:json:"]


@pytest.mark.parametrize("day", [None, "", "31.3.2016", 2016])
def test_a_date_that_is_none(tmp_path: Path, day: object) -> None:
    (fault,) = faults_of(write_jsonl(tmp_path / "a.jsonl", [GOOD | {"day": day}]), date="day")
    assert fault == f":1:day: {day!r}, expected an ISO date such as 2016-03-31; mend it or fill it in"


def test_single_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    require_single([replace(ONE, labels=("russia",))], path)
    with pytest.raises(WusumError) as caught:
        require_single([ONE, replace(ONE, id="b", labels=())], path)
    assert str(caught.value).split("\n") == [
        f"2 faults in {path}:",
        f"{path}:a: diplomacy, russia, expected exactly one label",
        f"{path}:b: no label, expected exactly one label",
    ]


def test_a_single_label_with_others_not_judged_is_refused(tmp_path: Path) -> None:
    """The loss would pass such an article over without a word."""
    with pytest.raises(WusumError, match="a: 1 labels are judged, expected all of them"):
        require_single([replace(ONE, labels=("russia",), judged=("russia",))], tmp_path / "a.csv")


def test_the_same_rows_are_faulty_for_check(tmp_path: Path) -> None:
    """`wusum labels check` and training say the same about the same row."""
    rows = [GOOD | {"topics": ["diplomcy"]}, GOOD | {"id": None}, GOOD | {"id": "c", "topics": None, "actors": None}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    assert [f"{path}{fault}" for fault in faults_of(path)] == list(check_file(path, TAXONOMY))


def test_a_scheme_of_topics_only_needs_no_actors(tmp_path: Path) -> None:
    scheme = replace(TAXONOMY, labels=tuple(label for label in TAXONOMY.labels if label.kind == "topic"))
    path = write_jsonl(tmp_path / "a.jsonl", [json.dumps({"id": "a", "text": "نص", "topics": ["diplomacy"]})])
    assert read_labelled(path, scheme) == [LabelledArticle("a", None, "نص", ("diplomacy",))]
