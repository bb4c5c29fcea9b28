"""A job that is ended anywhere goes on to the same output: nothing lost, nothing doubled."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from wusum.inference.sources import Source

from .fates import Fate, Kill, break_everywhere
from .tag_runs import Capture, driver, run, use_stub

RUNS = {"tags.jsonl": 60, "tags.jsonl.gz": 60, "tags.jsonl.zst": 30, "tags.csv": 60, "tags.parquet": 15}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder of tables of every kind, with good and bad articles: 87 tagged, 19 rejected."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [
        {"id": f"n{i}", "title": f"عنوان {i}", "text": f"نص {i} " + "كلمة " * (i % 5), "year": i} for i in range(40)
    ]
    lines = [json.dumps(row, ensure_ascii=False) if i % 4 else "nonsense" for i, row in enumerate(rows)]
    lines[7] = '{"id": 7, "text": "refuse"}'
    (folder / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[20:]).encode()))
    table = "id,text,place\n" + "".join(f'{i},"نص, {i}",جنيف\n' for i in range(43)) + "x,y\n" * 3
    (folder / "c.csv").write_text(table, encoding="utf-8")
    return folder


def content(path: Path) -> Any:
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(path)
        return table.schema, table.to_pylist()
    return path.read_bytes()


def outcome(target: Path) -> tuple[Any, bytes]:
    """The output and the list of rejected inputs; nothing else may be left beside them."""
    rejected = target.with_name(f"{target.name}.rejected.jsonl")
    assert sorted(target.parent.iterdir()) == [target, rejected]
    return content(target), rejected.read_bytes()


def lose_power(folder: Path, dice: random.Random) -> None:
    """Leave of what was written after the last checkpoint any part, or garbage of any length."""
    journals = list(folder.glob("*.journal"))
    state = json.loads(journals[0].read_bytes())["state"] if journals else {"written": 0, "listed": 0}
    if state.get("finished"):
        return
    for part in folder.glob("*.part"):
        safe = state["listed" if part.name.endswith(".rejected.jsonl.part") else "written"]
        size = part.stat().st_size
        assert size >= safe
        os.truncate(part, dice.randint(safe, size))
        if dice.random() < 0.3:
            with part.open("ab") as file:
                file.write(dice.randbytes(dice.randint(0, 5000)))


@pytest.mark.parametrize("name", RUNS)
def test_runs_killed_up_to_four_times_each_end_in_the_output_of_one_that_was_not(
    tmp_path: Path, archive: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch, capsys: Capture, name: str
) -> None:
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole, target = tmp_path / "whole" / name, tmp_path / "killed" / name
    break_everywhere(monkeypatch, fate)
    options = ["--keep-columns"] if name in ("tags.csv", "tags.parquet") else []
    fate.left = calls = 1_000_000
    assert run(archive, "-o", whole, *options) == 1
    calls -= fate.left
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("wusum: 19 of 106 inputs rejected, 87 tagged; reasons in ")
    expected = outcome(whole)
    dice = random.Random(name)
    kills = 0
    for _ in range(RUNS[name]):
        for path in target.parent.iterdir():
            path.unlink()
        for _ in range(dice.randint(1, 4)):
            fate.left, fate.fault = dice.randint(1, calls), dice.choice([Kill(), Kill(), KeyboardInterrupt()])
            with contextlib.suppress(Kill):
                run(archive, "-o", target, "--resume", *options)
            kills += fate.left <= 0
            fate.left = sys.maxsize
            lose_power(target.parent, dice)
            assert not target.exists() or content(target) == expected[0]
        run(archive, "-o", target, "--resume", *options)
        assert outcome(target) == expected
    assert kills >= RUNS[name]


@pytest.mark.parametrize("name", ["tags.jsonl", "tags.parquet"])
def test_a_process_that_is_really_killed_goes_on(tmp_path: Path, name: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out" / name
    target.parent.mkdir()
    source.write_text("".join(f'{{"id": {i}, "text": "t{i}"}}\n' for i in range(1000)), encoding="utf-8")
    argv = [*driver(seconds=0.001, items=20, every=5), str(source), "-o", str(target), "--resume"]
    journal = target.with_name(f"{name}.journal")
    for more in (100, 300, 500):
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
            until = time.monotonic() + 60
            while time.monotonic() < until and process.poll() is None:
                done = json.loads(journal.read_bytes())["state"]["tagged"] if journal.exists() else 0
                if done > more:
                    break
                time.sleep(0.005)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not target.exists()
    end = subprocess.run(argv, capture_output=True, check=False)
    assert (end.returncode, end.stderr) == (0, b"wusum: 0 of 1000 inputs rejected, 1000 tagged\n")
    if name == "tags.jsonl":
        rows = [json.loads(line) for line in target.read_bytes().splitlines()]
    else:
        rows = content(target)[1]
    assert [(row["id"], row["notes"]) for row in rows] == [(i, [f"t{i}"]) for i in range(1000)]
    assert list(target.parent.iterdir()) == [target]


def test_a_full_disk_is_one_sentence_and_the_run_goes_on(
    tmp_path: Path, archive: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "tags.jsonl"
    opened = Source.open
    break_everywhere(monkeypatch, fate)
    monkeypatch.setattr(Source, "open", opened)
    use_stub(monkeypatch)
    assert run(archive, "-o", target) == 1
    expected = outcome(target)
    stopped = 0
    for left in range(1, 200, 4):
        for path in target.parent.iterdir():
            path.unlink()
        fate.left, fate.fault = left, OSError(28, "No space left on device")
        capsys.readouterr()
        code = run(archive, "-o", target)
        if fate.left > 0:
            break
        last = capsys.readouterr().err.splitlines()[-1]
        advice = "free some space, then run the same command with --resume"
        if code != 1:  # it was of no use to wait for a folder only
            assert code == 2
            assert last == f"wusum: {target}: cannot be written (No space left on device); {advice}"
            stopped += 1
        run(archive, "-o", target, "--resume")
        assert outcome(target) == expected
    assert fate.left > 0
    assert stopped > 10
