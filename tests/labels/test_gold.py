"""The committed gold labels: complete, known, and without a word of the articles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wusum.labels import WusumError, load_taxonomy, text_hash
from wusum.labels.join import WRITTEN
from wusum.labels.standoff import GOLD_FOLDER, GoldRecord, read_gold

TRAIN_KEYS = ["id", "source", "sha256", "topics", "actors", "confidence", "round"]
TEST_KEYS = ["id", "source", "sha256", "annotator_a", "annotator_b", "topics", "actors"]
ROW = {"id": "a:b/1.txt", "source": "s", "sha256": "0" * 64, "topics": ["diplomacy"], "actors": ["russia"]}


@pytest.fixture(scope="module")
def train() -> tuple[GoldRecord, ...]:
    return read_gold(GOLD_FOLDER / "train.jsonl")


@pytest.fixture(scope="module")
def test() -> tuple[GoldRecord, ...]:
    return read_gold(GOLD_FOLDER / "test.jsonl")


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_counts_are_those_of_the_data_card(train: tuple[GoldRecord, ...], test: tuple[GoldRecord, ...]) -> None:
    assert (len(train), len(test)) == (14418, 250)
    assert sum(not record.topics and not record.actors for record in train) == 2954
    card = (GOLD_FOLDER.parent / "DATA_CARD.md").read_text(encoding="utf-8")
    for label_id in load_taxonomy():
        counts = [sum(label_id in (*record.topics, *record.actors) for record in split) for split in (train, test)]
        assert f"| `{label_id}` | {counts[0]:,} | {counts[1]} |" in card


def test_ids_and_texts_are_unique_across_splits(train: tuple[GoldRecord, ...], test: tuple[GoldRecord, ...]) -> None:
    both = (*train, *test)
    assert len({record.id for record in both}) == len(both)
    assert len({record.sha256 for record in both}) == len(both)


def test_every_record_is_complete(train: tuple[GoldRecord, ...], test: tuple[GoldRecord, ...]) -> None:
    assert {record.confidence for record in train} == {1, 2, 3}
    assert {record.round for record in train} == set(range(1, 15))
    assert all(record.annotator_a is None and record.annotator_b is None for record in train)
    assert all(record.annotator_a is not None and record.annotator_b is not None for record in test)
    assert all(record.confidence is None and record.round is None for record in test)


def test_countering_isis_always_brings_isis(train: tuple[GoldRecord, ...], test: tuple[GoldRecord, ...]) -> None:
    assert all("isis" in record.actors for record in (*train, *test) if "counter_isis" in record.topics)


@pytest.mark.parametrize(("split", "keys"), [("train", TRAIN_KEYS), ("test", TEST_KEYS)])
def test_rows_hold_no_text(split: str, keys: list[str]) -> None:
    for line in (GOLD_FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
        assert list(json.loads(line)) == keys
        # Ids, hashes and publishers are plain ASCII; any Arabic would be text of an article.
        assert line.isascii()


def test_corrections_are_in_the_labels_and_hold_no_text(train: tuple[GoldRecord, ...]) -> None:
    labels = {record.id: {*record.topics, *record.actors} for record in train}
    lines = (GOLD_FOLDER / "corrections.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 66 + 215 + 76 + 111
    for line in lines:
        row = json.loads(line)
        assert row["added"] or row["removed"]
        assert labels[row["id"]] >= set(row["added"])
        assert not labels[row["id"]] & set(row["removed"])
        assert line.isascii()


FAULTS = {
    "unknown label": ({**ROW, "actors": ["rusia"]}, "actors: 'rusia' is not in scheme", "did you mean 'russia'?"),
    "wrong kind": ({**ROW, "topics": ["russia"]}, "topics: 'russia' is of kind actor", "expected a topic"),
    "label twice": ({**ROW, "actors": ["usa", "usa"]}, "actors: 'usa' given twice", ""),
    "label is no text": ({**ROW, "actors": [{}]}, "actors: {} is not in scheme", ""),
    "labels are text": ({**ROW, "topics": "diplomacy"}, "topics: expected a list of label ids, got text", ""),
    "labels missing": ({k: v for k, v in ROW.items() if k != "actors"}, "actors: missing", ""),
    "id missing": ({k: v for k, v in ROW.items() if k != "id"}, "id: missing", ""),
    "id is a number": ({**ROW, "id": 3}, "id: expected text, got a number", ""),
    "hash too short": ({**ROW, "sha256": "ab"}, "sha256: expected 64 lower-case hex digits", ""),
    "confidence is text": ({**ROW, "confidence": "3"}, "confidence: expected a whole number, got text", ""),
    "round is true": ({**ROW, "round": True}, "round: expected a whole number, got true or false", ""),
    "reading unknown": ({**ROW, "annotator_a": ["nowhere"]}, "annotator_a: 'nowhere' is not in scheme", ""),
    "id twice": (ROW, "id: 'a:b/1.txt' stands in line 1 already", ""),
    "not an object": ([1], "json: expected an object, got a list", ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refuses_with_line_and_field(tmp_path: Path, name: str) -> None:
    row, expected, hint = FAULTS[name]
    path = write(tmp_path / "gold.jsonl", ROW, row)
    with pytest.raises(WusumError) as caught:
        read_gold(path)
    assert str(caught.value).startswith(f"{path}:2:{expected}")
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_broken_json_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"id": \n', encoding="utf-8")
    with pytest.raises(WusumError, match=r"gold\.jsonl:1:json: "):
        read_gold(path)
    with pytest.raises(WusumError, match="No such file or directory"):
        read_gold(tmp_path / "none.jsonl")


def test_nothing_held_out_is_learned_from(train: tuple[GoldRecord, ...], test: tuple[GoldRecord, ...]) -> None:
    taxonomy = load_taxonomy()
    lines = (WRITTEN.parent / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 348
    assert all(label in taxonomy for row in rows for label in (*row["topics"], *row["actors"]))
    known = (*train, *test)
    assert not {row["id"] for row in rows} & {record.id for record in known}
    assert not {text_hash(row["text"]) for row in rows} & {record.sha256 for record in known}
