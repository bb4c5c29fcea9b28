"""JSON lines, the file that appears when complete, and the table."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from rich.cells import cell_len

from wusum.inference.article import Article
from wusum.inference.prediction import Prediction
from wusum.inference.record import Record
from wusum.inference.rejected import Place
from wusum.inference.table import TableWriter
from wusum.inference.writers import JsonLinesWriter, check_output, to_line, to_row
from wusum.labels import load_taxonomy
from wusum.labels.errors import WusumError

RECORD = Record(Article("نص", "عنوان", "7"), {"id": 7}, Place("a.jsonl", 1))
TAGS = Prediction(("diplomacy",), ("russia",), {"diplomacy": 0.97, "russia": 0.99}, ("note",), "7")
ISOLATES = str.maketrans("", "", "\u2068\u2069\u200e")


def test_a_line_begins_with_the_key_of_the_input() -> None:
    line = to_line(to_row(RECORD, TAGS))
    assert line.endswith(b"\n")
    assert list(json.loads(line)) == ["id", "topics", "actors", "scores", "notes"]
    assert json.loads(line)["id"] == 7
    page = Record("نص", {"path": "مقال.txt"}, Place("مقال.txt"))
    assert json.loads(to_line(to_row(page, TAGS)))["path"] == "مقال.txt"
    assert "مقال".encode() in to_line(to_row(page, TAGS))


class _Refusing(io.BytesIO):
    def __init__(self, fault: OSError) -> None:
        super().__init__()
        self._fault = fault

    def flush(self) -> None:
        raise self._fault


def test_a_full_disk_is_told_and_a_closed_pipe_passed_on() -> None:
    with pytest.raises(WusumError, match=r"^standard output: cannot be written \(No space left on device\)"):
        JsonLinesWriter(_Refusing(OSError(28, "No space left on device")), "standard output").write(RECORD, TAGS)
    with pytest.raises(BrokenPipeError):
        JsonLinesWriter(_Refusing(BrokenPipeError()), "standard output").write(RECORD, TAGS)


def test_places_that_take_no_output_are_refused_beforehand(tmp_path: Path) -> None:
    existing = tmp_path / "old.jsonl"
    existing.touch()
    for path, reason in (
        (tmp_path, "is a folder; expected a file name"),
        (Path("/dev/null"), "is no ordinary file"),
        (tmp_path / "none" / "a.jsonl", "does not exist; expected one; create it first"),
    ):
        with pytest.raises(WusumError, match=reason):
            check_output(path)
    check_output(existing)
    check_output(tmp_path / "new.jsonl")


def table(record: Record, prediction: Prediction, width: int = 100) -> list[str]:
    out = io.StringIO()
    with redirect_stdout(out):
        TableWriter(load_taxonomy(), width).write(record, prediction)
    return out.getvalue().splitlines()


def test_the_table_names_labels_in_english_with_their_scores() -> None:
    taxonomy = load_taxonomy()
    heading, row, note = table(RECORD, TAGS)
    assert heading.split() == ["Input", "Topics", "Actors", "Headline"]
    assert f"0.97 {taxonomy['diplomacy'].en}" in row
    assert f"0.99 {taxonomy['russia'].en}" in row
    assert row.rstrip().endswith("\u2068عنوان\u2069")
    assert note.strip() == "note"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_right_to_left_text_does_not_break_the_columns(width: int) -> None:
    title = "أَعلنت موسكو وواشنطن عن جولة جديدة من المحادثات 2016 (S-300) في جنيف " * 5
    record = Record(Article("نص", title), {"path": "مجلد/مقال طويل الاسم جدا.txt"}, Place("x"))
    lines = table(record, TAGS, width)
    start = lines[0].index("Headline")
    for line in lines:
        assert line.count("\u2068") == line.count("\u2069")
        assert cell_len(line) <= max(width, 46)
    for line in lines[1:]:
        before = line.translate(ISOLATES)
        cells = 0
        for position, character in enumerate(before):
            if cells >= start:
                assert before[position - 1] == " "
                break
            cells += cell_len(character)
    assert len(lines) <= 12
    assert any("…" in line for line in lines)
    assert "مجلد" not in lines[1]


def test_articles_cannot_steer_the_terminal() -> None:
    record = Record(Article("نص", "a\x1b[2J\u202eb\r\n[red]c[/red]"), {"id": "\x1b]0;x\x07"}, Place("x"))
    printed = "\n".join(table(record, TAGS))
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "[red]c[/red]" in printed


def test_a_page_shows_its_headline_and_no_label_a_dash() -> None:
    page = "لقاء في جنيف\nاجتمع الوزراء يوم الاثنين في جنيف لبحث الأزمة، وقال الوزير إن المحادثات كانت مفيدة."
    row = table(Record(page, {"path": "a.txt"}, Place("a.txt")), Prediction((), (), {}))[1]
    assert "لقاء في جنيف" in row
    assert row.split().count("-") == 2
