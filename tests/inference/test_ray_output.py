"""The output folder of a job on Ray: two attempts at one block, and what a killed worker leaves."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")

import pyarrow.dataset as ds

from wusum.inference import object_store
from wusum.inference.object_store import OutputFolder, StoreFault
from wusum.inference.ray_output import RayOutput
from wusum.inference.rejected import Place, Rejected

_NAME = "part-000000-000000"
_TAGS: dict[str, Any] = {"topics": ["diplomacy"], "actors": ["russia"], "scores": {"russia": 0.9}, "notes": []}
_ROWS = [{"id": str(number), "date": f"2016-03-0{number % 2 + 1}"} | _TAGS for number in range(50)]
_FAULTS = [Rejected(Place("a.jsonl", 51), "no JSON")]


def _commit(output: RayOutput) -> None:
    output.commit(_NAME, _ROWS, _FAULTS, last=True)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("at", range(4), ids=["first date", "second date", "faults", "mark"])
def test_a_worker_that_was_given_up_and_goes_on_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The first attempt rests in the middle of a file, the second one does the whole block, the first one goes on."""
    alone, both = RayOutput(str(tmp_path / "alone"), "day"), RayOutput(str(tmp_path / "both"), "day")
    _commit(alone)
    plain, calls = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2 * at + 1:  # of each file once, and of its folder once
            monkeypatch.setattr(object_store.os, "fsync", plain)
            _commit(both)
        plain(handle)

    monkeypatch.setattr(object_store.os, "fsync", fsync)
    _commit(both)
    assert object_store.os.fsync is plain, "the second attempt was not made"
    assert _files(tmp_path / "both") == _files(tmp_path / "alone")
    assert len(_files(tmp_path / "both")) == 4
    assert both.finish(1).tagged == 50


def test_what_a_killed_worker_left_is_no_output_and_goes_with_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tags"
    output = RayOutput(str(folder), None)
    assert output.check({}, resume=True)

    class Killed(BaseException):
        """Nothing of a killed process runs any more, not even a `finally`."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(object_store.os, "fsync", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            _commit(output)
    assert len(_files(folder)) == 1
    assert output.check({}, resume=False), "what is not complete does not stand in the way of a new job"
    assert ds.dataset(folder).count_rows() == 0
    output.begin({})
    _commit(output)
    assert ds.dataset(folder).count_rows() == 50
    assert output.finish(1).tagged == 50
    assert {path.name for path in folder.iterdir()} == {
        "_job.json",
        "_done",
        "_rejected",
        "_SUCCESS",
        f"{_NAME}.parquet",
    }


def test_a_disk_that_refuses_is_told_and_nothing_half_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OutputFolder(str(tmp_path / "tags"))
    folder.write("a", b"before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(object_store.os, "fsync", full)
        with pytest.raises(StoreFault, match=r"tags: \[Errno 28\] No space left on device; [^\n]*--resume$"):
            folder.write("a", b"after")
    assert _files(tmp_path / "tags") == {"a": b"before"}


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    OutputFolder(str(tmp_path / "tags")).write("a", b"x")
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("tags/a", "plain")]
    assert modes[0] == modes[1]
