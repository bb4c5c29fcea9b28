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
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from wusum.inference import checkpoint, cli, job, tag_command
from wusum.inference.article import Article
from wusum.inference.prediction import Prediction
from wusum.inference.sources import Source
from wusum.labels import load_taxonomy
from wusum.labels.errors import WusumError

Capture = pytest.CaptureFixture[str]
TAG = EntryPoint("tag", "wusum.inference.tag_command:COMMAND", cli.GROUP)
RUNS = {"tags.jsonl": 60, "tags.jsonl.gz": 60, "tags.jsonl.zst": 30, "tags.csv": 60, "tags.parquet": 15}


class Kill(BaseException):
    """The end of the process: no handler of the program sees it."""


class Fate:
    """Ends the process at one of the calls that reach the disk, the input or the tagger."""

    def __init__(self) -> None:
        self.left = sys.maxsize
        self.fault: BaseException = Kill()

    def step(self) -> bool:
        self.left -= 1
        return self.left == 0

    def meet(self) -> None:
        if self.step():
            raise self.fault


class StubTagger:
    """Tags by the text alone, three at a time."""

    taxonomy = load_taxonomy()

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    def predict(self, article: str | Article) -> Prediction:
        self._fate.meet()
        text = article if isinstance(article, str) else article.text
        if "refuse" in text:
            raise WusumError("refused by the tagger")
        score = round(sum(map(ord, text)) % 9973 / 9973, 4)
        topics = ("diplomacy",) if score > 0.5 else ()
        return Prediction(topics, ("russia",), {"diplomacy": score, "russia": 0.75}, (f"{len(text)} characters",))

    def stream(self, articles: Iterable[str | Article]) -> Iterator[Prediction]:
        batch: list[str | Article] = []
        for article in articles:
            batch.append(article)
            if len(batch) == 3:
                yield from [self.predict(each) for each in batch]
                batch.clear()
        yield from [self.predict(each) for each in batch]


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Fate:
    fate = Fate()
    monkeypatch.setattr(tag_command, "_load_tagger", lambda bundle, threads: StubTagger(fate))
    monkeypatch.setattr(cli, "_entries", lambda: EntryPoints([TAG]))
    monkeypatch.setattr(job, "_SEGMENT_ITEMS", 7)
    return fate


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


def break_everywhere(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Let every write, flush to the disk, renaming, removal, reading and prediction be the last thing that happens."""
    write, replace, unlink, opened = checkpoint.write_synced, Path.replace, Path.unlink, Source.open

    def torn_write(file: BinaryIO, data: bytes) -> None:
        if fate.step():
            file.write(data[: random.Random(len(data)).randint(0, len(data))])
            raise fate.fault
        write(file, data)

    def before(call: Any) -> Any:
        def met(*arguments: Any, **named: Any) -> Any:
            fate.meet()
            result = call(*arguments, **named)
            fate.meet()
            return result

        return met

    monkeypatch.setattr(checkpoint, "write_synced", torn_write)
    monkeypatch.setattr(os, "fsync", lambda _: fate.meet())  # what did not reach the disk, lose_power takes away
    monkeypatch.setattr(Path, "replace", before(replace))
    monkeypatch.setattr(Path, "unlink", before(unlink))
    monkeypatch.setattr(Source, "open", before(opened))


def run(*argv: str | Path) -> int:
    return cli.main(["tag", *map(str, argv)])


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


_DRIVER = """
import sys, time
sys.path[:] = {path!r}
sys.argv = ["wusum", *sys.argv[1:]]
from importlib.metadata import EntryPoint, EntryPoints
import wusum.inference.cli as cli, wusum.inference.job as job, wusum.inference.tag_command as tag_command
from wusum.inference.prediction import Prediction
class Stub:
    taxonomy = ()
    def stream(self, articles):
        return map(self.predict, articles)
    def predict(self, article):
        time.sleep(0.001)
        return Prediction((), (), {{}}, (article.text,))
tag_command._load_tagger = lambda bundle, threads: Stub()
job._SEGMENT_ITEMS = 20
cli._entries = lambda: EntryPoints([EntryPoint("tag", "wusum.inference.tag_command:COMMAND", cli.GROUP)])
sys.exit(cli.main())
"""


@pytest.mark.parametrize("name", ["tags.jsonl", "tags.parquet"])
def test_a_process_that_is_really_killed_goes_on(tmp_path: Path, name: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out" / name
    target.parent.mkdir()
    source.write_text("".join(f'{{"id": {i}, "text": "t{i}"}}\n' for i in range(1000)), encoding="utf-8")
    code = _DRIVER.format(path=sys.path)
    argv = [sys.executable, "-c", code, "tag", str(source), "-o", str(target), "--resume"]
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
    monkeypatch.setattr(StubTagger, "predict", lambda self, article: Prediction((), (), {}, (article.text,)))
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


def refused(capsys: Capture, *argv: str | Path) -> str:
    capsys.readouterr()
    assert run(*argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_changed_input_option_or_bundle_is_refused(
    tmp_path: Path, unfinished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    source, target = unfinished
    go_on: list[str | Path] = [source, "-o", target, "--resume"]
    assert "began with another --clean; expected the same" in refused(capsys, *go_on, "--clean", "never")
    assert "began with another --labels" in refused(capsys, *go_on, "--labels", "russia,isis")
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
    journal.write_bytes(b'{"format": 1')
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
