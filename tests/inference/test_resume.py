"""What `--resume` and `--force` go on with, refuse and tell."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from wusum.inference import job
from wusum.inference.columns import ReadOptions
from wusum.inference.readers import Walk
from wusum.inference.sources import Source

from .fates import Fate, Kill
from .tag_runs import Capture, refused, run


@pytest.fixture
def unfinished(tmp_path: Path, fate: Fate) -> tuple[Path, Path]:
    """An input of 30 articles and the output of a run that was killed after 20."""
    source, target = tmp_path / "in.jsonl", tmp_path / "tags.jsonl"
    source.write_text("".join(f'{{"id": {i}, "text": "t{i}"}}\n' for i in range(30)), encoding="utf-8")
    fate.left = 20
    with pytest.raises(Kill):
        run(source, "-o", target)
    assert target.with_name("tags.jsonl.journal").exists()
    return source, target


def test_a_changed_input_option_or_bundle_is_refused(
    tmp_path: Path, unfinished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    source, target = unfinished
    go_on: list[str | Path] = [source, "-o", target, "--resume"]
    assert "began with another --clean; expected the same" in refused(capsys, *go_on, "--clean", "never")
    assert "began with another --labels" in refused(capsys, *go_on, "--labels", "russia,isis")
    assert "began with another --evidence" in refused(capsys, *go_on, "--evidence")
    assert "began with another --min-precision" in refused(capsys, *go_on, "--min-precision", "0.9")
    assert "began with another input" in refused(capsys, *go_on, source)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}", encoding="utf-8")
    assert "began with another bundle" in refused(capsys, *go_on, "--bundle", tmp_path / "bundle")
    assert "an unfinished run stands here" in refused(capsys, source, "-o", target)
    assert "expected one of them" in refused(capsys, *go_on, "--force")
    before = source.read_bytes()
    source.write_bytes(before + b'{"text": "more"}\n')
    assert "began with another input" in refused(capsys, *go_on)
    assert run(source, "-o", target, "--force") == 0
    assert len(target.read_bytes().splitlines()) == 31
    assert run(*go_on) == 0
    assert capsys.readouterr().err.endswith("complete already; nothing to resume\n")


def test_what_was_read_from_a_pipe_is_told_apart_by_its_content(
    tmp_path: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    target = tmp_path / "tags.jsonl"
    lines = [f'{{"id": {i}, "text": "t{i}"}}\n'.encode() for i in range(30)]

    def feed(given: list[bytes]) -> None:
        path = tmp_path / "pipe"
        path.write_bytes(b"".join(given))
        monkeypatch.setattr(Source, "open", lambda _: path.open("rb"))

    feed(lines)
    fate.left = 20
    with pytest.raises(Kill):
        run("-", "-o", target)
    feed(lines[:5])
    assert "<stdin>: changed since the run began" in refused(capsys, "-", "-o", target, "--resume")
    feed([b'{"text": "other"}\n', *lines[1:]])
    assert "<stdin>: changed since the run began" in refused(capsys, "-", "-o", target, "--resume")
    feed(lines)
    assert run("-", "-o", target, "--resume") == 0
    assert [json.loads(line)["id"] for line in target.read_bytes().splitlines()] == list(range(30))


def test_a_damaged_journal_or_part_is_refused(unfinished: tuple[Path, Path], capsys: Capture) -> None:
    source, target = unfinished
    part, journal = (target.with_name(f"tags.jsonl.{name}") for name in ("part", "journal"))
    os.truncate(part, 5)
    assert "tags.jsonl.part: shorter than at the last checkpoint" in refused(capsys, source, "-o", target, "--resume")
    for damaged in (b'{"format": 1', b"[]", b'{"format": 1, "identity": 3, "state": {"position": {}}}'):
        journal.write_bytes(damaged)
        assert "tags.jsonl.journal: cannot be read" in refused(capsys, source, "-o", target, "--resume")
    assert run(source, "-o", target, "--force") == 0


def test_a_fault_of_reading_ends_the_run_but_keeps_what_was_done(
    tmp_path: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl.zst"
    first.write_text('{"text": "a"}\n' * 10, encoding="utf-8")
    second.write_bytes(b"\x28\xb5\x2f\xfd....")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert run(first, second, "-o", tmp_path / "tags.jsonl") == 2
    kept, told = capsys.readouterr().err.splitlines()
    assert kept == "wusum: 10 inputs are safe; the same command with --resume goes on"
    assert told.endswith(
        "is packed with zstd, which needs the package zstandard; install it: pip install 'wusum[files]'"
    )


def test_an_output_behind_a_link_is_replaced_at_its_place(tmp_path: Path, fate: Fate) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "in.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    link = tmp_path / "tags.jsonl"
    link.symlink_to(tmp_path / "deep" / "real.jsonl")
    before = os.umask(0o027)
    try:
        assert run(tmp_path / "in.jsonl", "-o", link) == 0
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert (tmp_path / "deep" / "real.jsonl").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path / "deep") == ["real.jsonl"]


def test_many_faults_before_an_article_do_not_pile_up(
    tmp_path: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_MOST_WAITING", 10)
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n' + "x\n" * 95 + '{"text": "b"}\n', encoding="utf-8")
    seen: list[int] = []
    reach = job.FileJob._reach

    def watched(self: job.FileJob, position: Any) -> None:
        seen.append(position.items)
        reach(self, position)

    monkeypatch.setattr(job.FileJob, "_reach", watched)
    assert run(tmp_path / "in.jsonl", "-o", tmp_path / "tags.jsonl") == 1
    assert seen == list(range(1, 98))


def test_a_pattern_that_takes_in_the_output_goes_on_all_the_same(tmp_path: Path, fate: Fate) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n' * 30, encoding="utf-8")
    argv = [tmp_path / "*", "-o", tmp_path / "tags.csv"]
    fate.left = 20
    with pytest.raises(Kill):
        run(*argv)
    (tmp_path / "tags.csv.lock").touch()  # as a process that is really killed leaves it
    assert run(*argv, "--resume") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "tags.csv"]
    assert len((tmp_path / "tags.csv").read_bytes().splitlines()) == 31


def test_what_is_passed_over_is_counted_for_progress(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n' * 10, encoding="utf-8")
    passed: list[int] = []
    positions = [position for _, position in Walk(lambda: [Source(str(path))], ReadOptions())]
    left = list(Walk(lambda: [Source(str(path))], ReadOptions(), positions[6], passed.append))
    assert len(left) == 3
    assert passed == [1, 2, 3, 4, 5, 6, 7]
