"""What a run says on standard error while it goes on."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from wusum.inference import progress, tag_command

from .tag_runs import Capture, run

pytestmark = pytest.mark.usefixtures("stub")


def test_many_rejections_are_told_twenty_times_and_listed_all(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' + "x\n" * 50, encoding="utf-8")
    assert run(tmp_path / "a.jsonl", "-o", tmp_path / "tags.jsonl") == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 22
    assert err[20] == "wusum: more were rejected; from here on they are only counted"
    assert err[21].startswith("wusum: 50 of 51 inputs rejected, 1 tagged; reasons in ")
    listed = [json.loads(line) for line in (tmp_path / "tags.jsonl.rejected.jsonl").read_bytes().splitlines()]
    assert [(row["file"], row["line"]) for row in listed] == [(str(tmp_path / "a.jsonl"), i) for i in range(2, 52)]
    assert listed[0]["reason"].startswith("not JSON")
    (tmp_path / "tags.jsonl").unlink()
    assert run(tmp_path, "-o", tmp_path / "more.jsonl") == 1  # the list itself holds no articles
    assert capsys.readouterr().err.splitlines()[-1].startswith("wusum: 50 of 51 inputs rejected")


def test_a_line_a_minute_where_nobody_watches(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' * 5, encoding="utf-8")
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0)
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))  # type: ignore[attr-defined]
    assert run(tmp_path / "a.jsonl") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["wusum: 3 tagged"]


def test_progress_shows_after_a_while_on_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    page = tmp_path / "a.txt"
    page.write_text("نص", encoding="utf-8")
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0)
    run(page)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(tag_command, "_is_terminal", lambda stream: stream is sys.stderr)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(page, "no-such-file", page) == 1
    err = capsys.readouterr().err
    assert re.search("[12] tagged, 1 rejected", err)
    assert "wusum: no-such-file: no such file" in err
    assert err.endswith("wusum: 1 of 3 inputs rejected, 2 tagged\n")


def test_the_bar_learns_its_length_after_the_inputs_were_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0)
    with progress.Tally("bar") as tally:
        tally.prepare(999, "inputs found")
        assert tally._bar is None
        tally.prepare(1000, "inputs found")
        assert tally._bar is not None
        (task,) = tally._bar[0].tasks
        assert (task.description, task.total) == ("1,000 inputs found", None)
        tally.begin(0, 0, lambda: 5, 10)
        tally.add_tagged()
        assert (task.completed, task.total) == (5, 10)
        tally.note("putting it together")
        assert (task.description, task.completed) == ("putting it together", 5)
