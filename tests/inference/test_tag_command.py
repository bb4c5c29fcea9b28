"""`wusum tag` from end to end: a stub for the tagger where the model does not matter, a tiny real one where it does."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wusum.inference import cli, tag_command
from wusum.labels import load_taxonomy

from .tag_runs import LOAD_TAGGER, PAGE, Capture, driver, keys, tag

pytestmark = pytest.mark.usefixtures("stub")


def test_inputs_are_tagged_in_their_order(tmp_path: Path, page: Path, capsys: Capture) -> None:
    lines = tmp_path / "many.jsonl"
    lines.write_text("".join(f'{{"id": "n{i}", "text": "نص"}}\n' for i in range(5)), encoding="utf-8")
    code, rows, err = tag(capsys, lines, page, lines)
    assert (code, err) == (0, [])
    assert keys(rows) == [*(f"n{i}" for i in range(5)), str(page), *(f"n{i}" for i in range(5))]
    assert list(rows[0]) == ["id", "topics", "actors", "scores", "notes"]


def test_good_inputs_are_tagged_beside_every_kind_of_bad_one(tmp_path: Path, page: Path, capsys: Capture) -> None:
    big = tmp_path / "big.txt"
    big.write_bytes(b"a" * 5_000_000)
    empty = tmp_path / "empty.txt"
    empty.touch()
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text('{"text": 1}\n{"id": "good", "text": "نص"}\nnonsense\n', encoding="utf-8")
    hollow = tmp_path / "hollow"
    hollow.mkdir()
    code, rows, err = tag(capsys, big, empty, mixed, tmp_path / "artcle.txt", hollow, page)
    assert code == 1
    assert keys(rows) == ["good", str(page)]
    told = ("big.txt: over 2 MB", "empty.txt: empty", "mixed.jsonl:1:text: is a number", "mixed.jsonl:3: not JSON")
    for line, expected in zip(err, (*told, "did you mean", "hollow: nothing to tag", "6 of 8 inputs"), strict=True):
        assert expected in line
    assert err[-1] == "wusum: 6 of 8 inputs rejected, 2 tagged"


def test_nothing_tagged_is_2_and_loads_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(tag_command, "_load_tagger", lambda *_, **__: pytest.fail("the model was loaded"))
    code, rows, err = tag(capsys, tmp_path / "none.txt", "-o", tmp_path / "tags.jsonl")
    assert (code, rows) == (2, [])
    rejected = tmp_path / "tags.jsonl.rejected.jsonl"
    assert err[-1] == f"wusum: 1 of 1 inputs rejected, 0 tagged; reasons in {rejected}"
    assert list(tmp_path.iterdir()) == [rejected]
    assert json.loads(rejected.read_bytes())["file"] == str(tmp_path / "none.txt")


def test_what_the_tagger_refuses_costs_no_neighbour(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.jsonl"
    texts = ["a", "refuse", "b", "c", "refuse", "d", "refuse"]
    path.write_text(
        "".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate(texts)), encoding="utf-8"
    )
    code, rows, err = tag(capsys, path)
    assert (code, keys(rows)) == (1, ["0", "2", "3", "5"])
    assert err[0] == f"wusum: {path}:2: refused by the tagger"
    assert err[-1] == "wusum: 3 of 7 inputs rejected, 4 tagged"


class _Input:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(PAGE.encode(), ["-"]), (b' \n{"text": "a"}\n{"id": "x", "text": "b"}', ["-:2", "x"])],
)
def test_standard_input_is_an_article_or_json_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, content: bytes, expected: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", _Input(content))
    code, rows, err = tag(capsys, "-")
    assert (code, keys(rows), err) == (0, expected, [])


def test_faults_of_standard_input_are_told(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", _Input(b""))
    assert tag(capsys, "-")[2][0].startswith("wusum: <stdin>: empty; expected")
    monkeypatch.setattr(sys, "stdin", _Input(b'{"a": 1}'))
    assert tag(capsys, "-")[2][0].startswith("wusum: <stdin>:1:text: missing; expected")
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in tag(capsys, "-")[2][0]
    code, _, err = tag(capsys, "-", "-")
    assert code == 2
    assert "stands more than once" in err[0]


def test_the_output_file_is_guarded(tmp_path: Path, page: Path, capsys: Capture) -> None:
    target = tmp_path / "tags.jsonl"
    assert tag(capsys, page, "-o", target)[:2] == (0, [])
    first = target.read_bytes()
    assert json.loads(first)["path"] == str(page)
    code, _, err = tag(capsys, page, "-o", target)
    assert (code, len(err)) == (2, 1)
    assert "exists already" in err[0]
    assert tag(capsys, page, page, "-o", target, "--force")[0] == 0
    assert target.read_bytes() == first * 2
    code, _, err = tag(capsys, "-o", page, "--force", page)
    assert code == 2
    assert "input and output at once" in err[0]
    assert page.read_text(encoding="utf-8") == PAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["article.txt", "tags.jsonl"]


def test_the_output_of_an_earlier_run_is_not_read_again(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "x", "text": "a"}', encoding="utf-8")
    for _ in range(2):
        assert tag(capsys, tmp_path, "-o", tmp_path / "tags.jsonl", "--force")[0] == 0
    assert len((tmp_path / "tags.jsonl").read_bytes().splitlines()) == 1


def test_ctrl_c_is_130_with_one_line_that_says_how_to_go_on(tmp_path: Path, page: Path, capsys: Capture) -> None:
    stop = tmp_path / "stop.txt"
    stop.write_text("interrupt", encoding="utf-8")
    code, _, err = tag(capsys, page, page, page, stop, "-o", tmp_path / "tags.jsonl")
    assert (code, err) == (130, ["wusum: interrupted; 3 inputs are safe; the same command with --resume goes on"])
    left = ["article.txt", "stop.txt", "tags.jsonl.journal", "tags.jsonl.part"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    code, _, err = tag(capsys, page, page, page, stop, "-o", tmp_path / "tags.jsonl")
    assert (code, len(err)) == (2, 1)
    assert "an unfinished run stands here; expected none; add --resume" in err[0]


def test_a_table_is_printed_on_a_terminal_or_on_request(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert cli.main(["tag", "--format", "table", str(page)]) == 0
    requested = capsys.readouterr().out
    assert requested.split()[:4] == ["Input", "Topics", "Actors", "Headline"]
    monkeypatch.setattr(tag_command, "_is_terminal", lambda stream: stream is sys.stdout)
    assert cli.main(["tag", str(page)]) == 0
    assert capsys.readouterr().out == requested
    assert cli.main(["tag", str(page), "-o", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(page)


def test_a_real_bundle_tags_pages_articles_and_other_languages(
    tmp_path: Path, page: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(tag_command, "_load_tagger", LOAD_TAGGER)
    lines = tmp_path / "a.jsonl"
    english = {"id": "en", "text": "The ministers met in Geneva on Monday."}
    lines.write_text(f'{{"id": 1, "title": "لقاء في جنيف", "text": "نص"}}\n{json.dumps(english)}\n', encoding="utf-8")
    code, rows, err = tag(capsys, "--bundle", tiny_bundle, "--threads", "1", "--all-scores", page, lines)
    assert (code, keys(rows), err) == (0, [str(page), 1, "en"], [])
    for row in rows:
        assert list(row["scores"]) == list(load_taxonomy(tiny_bundle / "taxonomy.yaml").ids)  # type: ignore[call-overload]
    assert (rows[2]["topics"], rows[2]["actors"]) == ([], [])
    assert "not Arabic" in str(rows[2]["notes"])


def test_a_folder_that_is_no_bundle_is_told(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(tag_command, "_load_tagger", LOAD_TAGGER)
    code, rows, err = tag(capsys, "--bundle", tmp_path, page, "-o", tmp_path / "tags.jsonl")
    assert (code, rows, len(err)) == (2, [], 1)
    assert "bundle.json: not found" in err[0]
    assert not (tmp_path / "tags.jsonl").exists()


def test_output_is_utf_8_under_the_c_locale(tmp_path: Path) -> None:
    path = tmp_path / "مقال.txt"
    path.write_text(PAGE, encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PATH": os.environ["PATH"]}
    run = subprocess.run([*driver(), path, f"{path}x"], env=plain, capture_output=True, check=False)
    assert run.returncode == 1
    row = json.loads(run.stdout.decode("utf-8"))
    assert row["path"] == str(path)
    assert row["notes"] == [PAGE]
    assert "لقاء".encode() in run.stdout
    assert f"did you mean {path}?" in run.stderr.decode("utf-8")


def test_a_reader_that_leaves_ends_the_run_quietly(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 20_000, encoding="utf-8")
    with subprocess.Popen([*driver(), path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(page: Path) -> None:
    with open("/dev/full", "wb") as full:
        run = subprocess.run([*driver(), page], stdout=full, stderr=subprocess.PIPE, check=False)
    assert run.returncode == 2
    assert re.fullmatch(rb"wusum: standard output: cannot be written \(No space left on device\);.*\n", run.stderr)


def test_a_real_ctrl_c_while_reading_stops_cleanly_and_the_run_goes_on(tmp_path: Path) -> None:
    argv = [*driver(), "-", "-o", str(tmp_path / "tags.jsonl")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdin is not None
        assert run.stderr is not None
        run.stdin.write(b'{"text": "a"}\n')
        run.stdin.flush()
        until = time.monotonic() + 60
        while not (tmp_path / "tags.jsonl.journal").exists() and time.monotonic() < until:
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        told = b"wusum: interrupted; 1 inputs are safe; the same command with --resume goes on\n"
        assert run.stderr.read() == told
    assert run.returncode == 130
    content = b'{"text": "a"}\n{"text": "b"}\n'
    again = subprocess.run([*argv, "--resume"], input=content, stderr=subprocess.PIPE, check=False)
    assert (again.returncode, again.stderr) == (0, b"wusum: 0 of 2 inputs rejected, 2 tagged\n")
    rows = (tmp_path / "tags.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(row)["path"] for row in rows] == ["-:1", "-:2"]
    assert [path.name for path in tmp_path.iterdir()] == ["tags.jsonl"]
