"""Tagging by Ray Data: what the local engine gives, whatever happens to a worker."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

ray = pytest.importorskip("ray")
pa = pytest.importorskip("pyarrow")

import pyarrow.dataset as ds  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from wusum.inference import cli, ray_job, ray_output  # noqa: E402
from wusum.inference.ray_job import RayTally, tag_with_ray  # noqa: E402
from wusum.labels.errors import WusumError  # noqa: E402

_HANG_SECONDS = 600.0
_BLOCK = 15
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two cores, so at most two workers of one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # Ray puts its workers behind everything else on the machine
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=1 << 27)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, samples: list[dict[str, Any]]) -> Path:
    """Three files of 200 articles each, some without id or date, and four lines that are none."""
    folder = tmp_path_factory.mktemp("archive")
    words = " ".join(row["text"] for row in samples).split()
    rows: list[dict[str, Any]] = [
        {
            "id": f"article-{number}",
            "title": " ".join(words[number % 500 : number % 500 + 5]),
            "text": " ".join(words[(number * 37) % 900 : (number * 37) % 900 + 120]),
            "date": f"2016-03-{number % 3 + 1:02d}T10:00:00Z",
        }
        for number in range(600)
    ]
    for number in (7, 250):
        del rows[number]["id"]
    for number in (8, 251, 590):
        rows[number]["date"] = None
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    lines[20:20] = ["no JSON at all", '{"id": "empty", "text": " "}']
    lines[390:390] = ['{"id": "number", "text": 7}', "[]"]
    (folder / "a.jsonl").write_text("\n".join(lines[:202]) + "\n", encoding="utf-8")
    with gzip.open(folder / "b.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines[202:404]) + "\n")
    pq.write_table(pa.Table.from_pylist(rows[400:]), folder / "c.parquet", row_group_size=70)
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, archive: Path, tiny_bundle: Path) -> tuple[dict[str, Any], Any]:
    """What the local engine gives: rows by id or path, and rejected inputs."""
    output = tmp_path_factory.mktemp("local") / "tags.jsonl"
    files = [str(path) for path in sorted(archive.iterdir())]
    code = cli.main(["tag", *files, "-o", str(output), "--bundle", str(tiny_bundle), "--threads", "1"])
    assert code == 1
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    faults = output.with_name("tags.jsonl.rejected.jsonl").read_text(encoding="utf-8").splitlines()
    by_key = {row.get("id") or row["path"]: {name: row[name] for name in _TAGS} for row in rows}
    assert len(by_key) == len(rows) == 600
    return by_key, sorted(faults)


_TAGS = ("topics", "actors", "scores", "notes")


def _within(seconds: float, run: Callable[[], Result]) -> Result:
    """Run in a thread: a hang of the cluster fails the test instead of stopping all."""
    results: list[Result] = []
    faults: list[BaseException] = []

    def target() -> None:
        try:
            results.append(run())
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"no end after {seconds} seconds"
    if faults:
        raise faults[0]
    return results[0]


def _tag(archive: Path, output: Path, bundle: Path, **options: Any) -> RayTally:
    files = [str(path) for path in sorted(archive.iterdir())]
    given = {"workers": 2, "block_articles": _BLOCK} | options
    return _within(_HANG_SECONDS, lambda: tag_with_ray(files, str(output), bundle=bundle, **given))


def _rows(output: Path) -> list[dict[str, Any]]:
    table = ds.dataset(output, partitioning="hive").to_table().to_pylist()
    return [row | {"scores": dict(row["scores"])} for row in table]


def _assert_same(output: Path, local: tuple[dict[str, Any], Any]) -> None:
    rows = _rows(output)
    assert {name: count for name, count in Counter(_key(row) for row in rows).items() if count > 1} == {}
    assert {_key(row): {name: row[name] for name in _TAGS} for row in rows} == local[0]
    faults = [line for path in (output / "_rejected").iterdir() for line in path.read_text("utf-8").splitlines()]
    assert sorted(faults) == local[1]


def _key(row: dict[str, Any]) -> str:
    return str(row["id"] or row["path"])


def _workers() -> list[int]:
    """Process ids of the workers of this process's own cluster."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            pid = int(folder.name)
            names[pid] = (folder / "cmdline").read_bytes()
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return [pid for pid, name in names.items() if b"TagBlocks" in name and parents.get(parents[pid]) == os.getpid()]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the workers in /proc")
def test_a_killed_worker_costs_nothing_and_doubles_nothing(
    cluster: None, archive: Path, local: tuple[dict[str, Any], Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tags"
    marks, killed = output / "_done", []

    def kill() -> None:
        end = time.monotonic() + _HANG_SECONDS
        while time.monotonic() < end:
            found = _workers() if marks.exists() and any(marks.iterdir()) else []
            if len(found) > 1:
                os.kill(found[0], signal.SIGKILL)
                killed.append((found[0], len(list(marks.iterdir()))))
                return
            time.sleep(0.002)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert _tag(archive, output, tiny_bundle) == RayTally(600, 4)
    killer.join(10)
    blocks = len(list(marks.iterdir()))
    assert killed and killed[0][1] < blocks - 2, f"killed too late: {killed} of {blocks}"
    _assert_same(output, local)
    dates = Counter(row["date"] for row in _rows(output))
    assert dates == {"2016-03-01": 200, "2016-03-02": 200, "2016-03-03": 197, None: 3}
    assert json.loads((output / "_SUCCESS").read_text()) == {"tagged": 600, "rejected": 4}


def test_a_block_that_kills_every_worker_ends_the_job_in_one_sentence(
    cluster: None,
    archive: Path,
    local: tuple[dict[str, Any], Any],
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, mark = tmp_path / "tags", "part-000000-000001"

    class Deadly(ray_output.RayOutput):  # within a function, so that workers get it by value
        def commit(self, name: str, *values: Any, **named: Any) -> None:
            if name == mark:
                os.kill(os.getpid(), signal.SIGKILL)
            super().commit(name, *values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(ray_output, "RayOutput", Deadly)
        # Ray's half an hour cut short: what is left is a second for each article of a block.
        patch.setattr(ray_job, "_SLOWEST", 1.0)
        patch.setattr(ray.data.DataContext.get_current(), "execution_no_progress_timeout_s", 1)
        with pytest.raises(WusumError, match=r"tags: nothing went on for too long; expected [^\n]* with --resume$"):
            _tag(archive, output, tiny_bundle)
    assert not list((output / "_done").glob(f"{mark}*"))
    assert not (output / "_SUCCESS").exists()
    assert _tag(archive, output, tiny_bundle, resume=True) == RayTally(600, 4)
    _assert_same(output, local)


def test_a_stopped_job_goes_on_with_the_blocks_that_are_missing(
    cluster: None, archive: Path, local: tuple[dict[str, Any], Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tags"
    _tag(archive, output, tiny_bundle, partition_by=None)
    marks = sorted((output / "_done").iterdir())
    lost = [mark for number, mark in enumerate(marks) if mark.name.startswith("part-000001") or number % 5 == 0]
    for mark in lost:
        name = mark.name[: len("part-000000-000000")]
        mark.unlink()
        if name.endswith("0"):  # of the others everything was written but the mark
            (output / f"{name}.parquet").unlink()
    (output / "_SUCCESS").unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in (output / "_done").iterdir()}

    with pytest.raises(WusumError, match="an unfinished job stands here; expected none; add --resume"):
        _tag(archive, output, tiny_bundle, partition_by=None)
    with pytest.raises(WusumError, match=r"options\.articles: not as when the job began; expected"):
        _tag(archive, output, tiny_bundle, partition_by=None, block_articles=16, resume=True)
    assert _tag(archive, output, tiny_bundle, partition_by=None, resume=True) == RayTally(600, 4)

    assert {name: (output / "_done" / name).stat().st_mtime_ns for name in kept} == kept
    assert sorted((output / "_done").iterdir()) == marks
    _assert_same(output, local)
    # Complete: nothing is left to do.
    assert _tag(archive, output, tiny_bundle, partition_by=None, resume=True) == RayTally(600, 4)


def test_a_file_that_becomes_shorter_ends_the_job_in_one_sentence(
    cluster: None, archive: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    table, output = tmp_path / "a.jsonl", tmp_path / "tags"
    table.write_bytes((archive / "a.jsonl").read_bytes())

    def shorten() -> None:
        while not (output / "_job.json").exists():  # its size is known, readers start in seconds
            time.sleep(0.001)
        os.truncate(table, 5000)

    threading.Thread(target=shorten, daemon=True).start()
    with pytest.raises(WusumError, match=r"a\.jsonl: has 5,000 bytes and had [\d,]+ when the job began; [^\n]*$"):
        _within(_HANG_SECONDS, lambda: tag_with_ray([str(table)], str(output), bundle=tiny_bundle, workers=1))
    assert not (output / "_SUCCESS").exists()


def test_an_output_that_takes_no_more_ends_the_job_in_one_sentence(
    cluster: None, archive: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "tags"

    class Blocked(ray_output.RayOutput):  # within a function, so that workers get it by value
        def commit(self, name: str, *values: Any, **named: Any) -> None:
            (output / f"{name}.parquet").mkdir(exist_ok=True)
            super().commit(name, *values, **named)

    monkeypatch.setattr(ray_output, "RayOutput", Blocked)
    with pytest.raises(WusumError, match=r"tags: \[Errno 21\] Is a directory[^\n]*with --resume$"):
        _tag(archive, output, tiny_bundle, partition_by=None)
    assert not (output / "_SUCCESS").exists()
