"""One run at a time on one output, and no lock that outlives its process."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from wusum.inference import lock
from wusum.inference.lock import OutputLock
from wusum.labels.errors import WusumError

from .tag_runs import Capture, driver, refused, rows_of, run

pytestmark = pytest.mark.usefixtures("stub")


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert path.exists()


def test_a_second_run_is_refused_until_the_first_is_dead(tmp_path: Path, capsys: Capture) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out" / "tags.jsonl"
    target.parent.mkdir()
    source.write_text("".join(f'{{"id": {i}, "text": "t{i}"}}\n' for i in range(2000)), encoding="utf-8")
    argv = [*driver(seconds=0.02, items=10, every=5), str(source), "-o", str(target)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as first:
        wait_for(target.with_name("tags.jsonl.journal"))
        told = f"wusum: {target}: another run writes it (process {first.pid} on {socket.gethostname()}); expected none"
        for option in ("--resume", "--force", "--all-scores"):
            second = subprocess.run([*argv, option], capture_output=True, text=True, check=False)
            assert (second.returncode, second.stderr.startswith(told)) == (2, True), second.stderr
            assert second.stderr.count("\n") == 1
        assert refused(capsys, source, "-o", target).startswith(told)
        assert first.poll() is None
        first.kill()
    assert first.returncode == -signal.SIGKILL
    assert target.with_name("tags.jsonl.lock").exists()
    quick = [*driver(items=10, every=5), *argv[4:], "--resume"]
    end = subprocess.run(quick, capture_output=True, text=True, check=False)
    assert (end.returncode, end.stderr) == (0, "wusum: 0 of 2000 inputs rejected, 2000 tagged\n")
    assert [row["id"] for row in rows_of(target)] == list(range(2000))
    assert list(target.parent.iterdir()) == [target]


def test_a_run_takes_its_lock_file_along(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    target = tmp_path / "out" / "tags.jsonl"
    target.parent.mkdir()
    target.with_name("tags.jsonl.lock").write_text("process 1 on elsewhere", encoding="utf-8")  # of a killed run
    assert run(tmp_path / "in.jsonl", "-o", target) == 0
    assert "exists already" in refused(capsys, tmp_path / "in.jsonl", "-o", target)
    assert list(target.parent.iterdir()) == [target]


def test_the_owner_is_named_and_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(2):
        with OutputLock(path, "tags.jsonl"):
            assert path.read_text() == f"process {os.getpid()} on {socket.gethostname()}"
            with pytest.raises(WusumError, match=rf"another run writes it \(process {os.getpid()} on "):
                OutputLock(path, "tags.jsonl").__enter__()
        assert not path.exists()


def test_a_file_that_its_owner_removed_meanwhile_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    take, calls = lock._lock, []

    def after_removal(handle: int) -> None:
        if not calls:
            path.unlink()
        calls.append(handle)
        take(handle)

    monkeypatch.setattr(lock, "_lock", after_removal)
    with OutputLock(path, "tags.jsonl"):
        assert len(calls) == 2
        assert re.match("process [0-9]+ on ", path.read_text())


def test_a_disk_without_locks_is_told_and_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(lock, "_lock", refuse)
    (tmp_path / "in.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    target = tmp_path / "tags.jsonl"
    assert run(tmp_path / "in.jsonl", "-o", target) == 0
    told = f"wusum: {target}: cannot be locked (Operation not supported); take care that no other run writes it"
    assert capsys.readouterr().err.splitlines()[0] == told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "tags.jsonl"]


def test_a_folder_that_takes_no_file_is_one_sentence_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "in.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    monkeypatch.setattr(os, "open", full)
    told = refused(capsys, tmp_path / "in.jsonl", "-o", tmp_path / "tags.jsonl")
    assert told.endswith("cannot be written (Read-only file system); free some space or write elsewhere")
