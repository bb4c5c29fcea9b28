"""`wusum labels` as its user meets it: output, faults, exit codes."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from wusum.labels import WusumError, text_hash
from wusum.labels.command import ACTION_GROUP, COMMAND
from wusum.labels.join import SplitReport, join

TOPICS_ONLY = """\
name: mine
version: "1"
labels:
  - {id: trade, kind: topic, ar: تجارة, en: Trade, definition: Trade between states.}
"""
ROW = {"id": "1", "title": None, "text": "نص الخبر", "topics": ["diplomacy"], "actors": ["russia"]}


def run(*words: object) -> int:
    parser = ArgumentParser(prog="wusum labels")
    COMMAND.add_arguments(parser)
    return COMMAND.run(parser.parse_args([str(word) for word in words]))


def write(path: Path, *lines: object) -> Path:
    texts = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def test_list_shows_every_label(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 34
    assert ["russia", "actor", "روسيا", "Russia"] in rows


def test_list_takes_another_scheme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--taxonomy", write(tmp_path / "t.yaml", TOPICS_ONLY)) == 0
    assert capsys.readouterr().out == "trade\ttopic\tتجارة\tTrade\n"


def test_list_is_a_table_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    assert run("list") == 0
    shown = capsys.readouterr().out
    assert "English" in shown
    assert "weapons_of_mass_destruction" in shown


def test_check_passes_a_sound_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", ROW, {**ROW, "id": "2", "topics": [], "actors": [], "extra": 1})
    assert run("check", path) == 0
    assert capsys.readouterr().out == f"{path}: no fault\n"


def test_check_reports_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        tmp_path / "a.jsonl",
        ROW,
        {**ROW, "text": " ", "topics": ["diplomcy", "usa"], "actors": ["isis", "isis"]},
        "{broken",
        {"id": 4.5, "text": "نص", "actors": None},
        {**ROW, "id": "5", "title": 5, "confidence": "high"},
    )
    assert run("check", path) == 2
    *faults, total = capsys.readouterr().out.splitlines()
    starts = [
        "2:text: empty",
        "2:topics: 'diplomcy' is not in scheme wusum-political-news 1.0; did you mean 'diplomacy'?",
        "2:topics: 'usa' is of kind actor, expected a topic",
        "2:actors: 'isis' given twice",
        "2:id: '1' stands in line 1 already",
        "3:json: ",
        "4:id: expected text, got a number",
        "4:topics: missing, and actors too",
        "5:title: expected text, got a number",
        "5:confidence: expected a whole number, got text",
    ]
    assert len(faults) == len(starts)
    for fault, start in zip(faults, starts, strict=True):
        assert fault.startswith(f"{path}:{start}")
    assert total == f"{path}: 10 faults"


def test_check_goes_on_to_the_next_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, good = write(tmp_path / "empty.jsonl"), write(tmp_path / "good.jsonl", ROW)
    assert run("check", empty, good) == 2
    shown = capsys.readouterr().out
    assert f"{empty}:1:json: the file is empty" in shown
    assert f"{good}: no fault" in shown


def test_check_under_a_scheme_of_topics_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scheme = write(tmp_path / "t.yaml", TOPICS_ONLY)
    path = write(tmp_path / "a.jsonl", {"id": "1", "text": "نص", "topics": ["trade"]})
    assert run("check", path, "--taxonomy", scheme) == 0
    path = write(tmp_path / "b.jsonl", {"id": "1", "text": "نص", "topics": ["trade"], "actors": ["russia"]})
    assert run("check", path, "--taxonomy", scheme) == 2
    assert "actors: 'russia' is not in scheme mine 1" in capsys.readouterr().out


def test_check_takes_what_training_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not judged topics, ids in one text, a number as id: `wusum train` reads them, so they are no faults."""
    path = write(
        tmp_path / "a.jsonl",
        {"id": 1, "text": "نص", "actors": "russia; usa"},
        {"id": 2, "text": "نص", "topics": ["diplomacy"], "actors": None},
    )
    assert run("check", path) == 0
    path = write(tmp_path / "b.jsonl", {"id": 1, "text": "نص", "topic": ["diplomacy"], "actors": []})
    assert run("check", path) == 2
    assert f"{path}:topics: no row has this field" in capsys.readouterr().out


def test_check_of_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match=r"none\.jsonl: cannot read: No such file or directory"):
        run("check", tmp_path / "none.jsonl")


def plug(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Install an action `added` whose module holds ``code``."""
    (folder / "plugged_action.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "plugged_action", raising=False)
    entry = EntryPoint("added", "plugged_action:COMMAND [train]", ACTION_GROUP)
    monkeypatch.setattr("wusum.labels.command.entry_points", lambda group: [entry] if group == ACTION_GROUP else [])


def test_other_packages_add_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "Command('add', lambda parser: parser.add_argument('--code', type=int), lambda given: given.code)"
    plug(monkeypatch, tmp_path, f"from wusum.labels.command_base import Command\nCOMMAND = {command}")
    assert run("added", "--code", 7) == 7
    assert run("list") == 0


def test_an_action_without_its_extra_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = r"labels added: the module no_such_module is not installed; needs the extra: pip install 'wusum\[train\]'"
    plug(monkeypatch, tmp_path, "import no_such_module")
    with pytest.raises(WusumError, match=told):
        run("added", "-o", "x", "articles", "--help")
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit):
        run("--help")
    assert re.search(rf"\(not available: {told}\)", capsys.readouterr().out)
    assert run("list") == 0
    later = "from wusum.labels.command_base import Command\ndef work(arguments):\n    import no_such_module\n"
    plug(monkeypatch, tmp_path, f"{later}COMMAND = Command('add', lambda parser: None, work)")
    with pytest.raises(WusumError, match=told):
        run("added")


def test_join_takes_one_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def joined(*args: object, wanted: object, **options: object) -> tuple[SplitReport, ...]:
        asked.append(wanted)
        return (SplitReport("test", 1, 1, (), (), ()),)

    monkeypatch.setattr("wusum.labels.join.join", joined)
    assert run("join", "corpus", "-o", tmp_path, "--split", "test") == 0
    assert run("join", "corpus", "-o", tmp_path) == 0
    assert asked == [("test",), ("train", "test")]


@pytest.mark.parametrize(("train_joined", "code"), [(2, 0), (1, 1)])
def test_join_reports_and_exits(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    train_joined: int,
    code: int,
) -> None:
    absent = ("b:2",)[: 2 - train_joined]
    reports = (
        SplitReport("train", 2, train_joined, absent, (), ()),
        SplitReport("test", 7, 7, (), (), tuple(f"t:{number}" for number in range(7))),
    )
    monkeypatch.setattr("wusum.labels.join.join", lambda *args, **options: reports)
    assert run("join", "corpus", "-o", tmp_path) == code
    shown = capsys.readouterr().out
    assert f"{tmp_path / 'train'}.jsonl: {train_joined} of 2 articles joined" in shown
    assert ("missing in the sources: 1 (b:2)" in shown) == bool(absent)
    assert "found more than once (the first counts): 7 (t:0, t:1, t:2, t:3, t:4, ...)" in shown


def test_join_and_check_work_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = tmp_path / "gold"
    gold.mkdir()
    row = {"id": "a:1", "source": "s", "sha256": text_hash("نص الخبر"), "topics": ["diplomacy"], "actors": []}
    write(gold / "train.jsonl", row)
    write(gold / "test.jsonl", {**row, "id": "a:2", "sha256": text_hash("خبر ثان")})
    monkeypatch.setattr(join, "__kwdefaults__", {**(join.__kwdefaults__ or {}), "gold": gold})
    texts = write(tmp_path / "texts.jsonl", {"id": "x", "text": "نص  الخبر"}, {"id": "y", "text": "خبر ثان"})
    out = tmp_path / "out"
    assert run("join", texts, "-o", out) == 0
    assert run("check", out / "train.jsonl", out / "test.jsonl") == 0
    assert "no fault" in capsys.readouterr().out
    with pytest.raises(WusumError, match="--force"):
        run("join", texts, "-o", out)
    assert run("join", texts, "-o", out, "--force") == 0


def test_join_shows_progress_on_a_terminal_when_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("wusum.labels.command._PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(
        "wusum.labels.join.join",
        lambda *args, on_text, **options: on_text(1200, 3) or (SplitReport("train", 1, 1, (), (), ()),),
    )
    assert run("join", "corpus", "-o", tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'train'}.jsonl: 1 of 1 articles joined\n"
