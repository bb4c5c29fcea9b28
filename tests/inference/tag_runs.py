"""What the tests of `wusum tag` share: a stub for the tagger, and ways to run the command and to read what it wrote."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from wusum.inference import cli, tag_command
from wusum.inference.article import Article
from wusum.inference.columns import ReadOptions
from wusum.inference.prediction import Evidence, Prediction
from wusum.inference.readers import read_records
from wusum.inference.record import Record
from wusum.inference.rejected import Rejected
from wusum.inference.sources import Source
from wusum.labels import load_taxonomy
from wusum.labels.errors import WusumError

Capture = pytest.CaptureFixture[str]
PAGE = "لقاء في جنيف\nاجتمع الوزراء يوم الاثنين."
SCORES = {"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7, "isis": 0.1}
LOAD_TAGGER = tag_command._load_tagger
_TAG = EntryPoint("tag", "wusum.inference.tag_command:COMMAND", cli.GROUP)


class StubTagger:
    """Notes how texts begin, three at a time; refuses those with `refuse`, stops like Ctrl-C at `interrupt`."""

    taxonomy = load_taxonomy()

    def __init__(self, meet: Callable[[], None] = lambda: None) -> None:
        self.meet = meet

    def predict(self, article: str | Article, *, evidence: bool = False) -> Prediction:
        self.meet()
        text = article if isinstance(article, str) else article.text
        if "interrupt" in text:
            raise KeyboardInterrupt
        if "refuse" in text:
            raise WusumError("refused by the tagger")
        note = text[:20].encode("utf-8", "replace").decode()
        found = {label: (Evidence("text", 0, 1, text[:1], 0.5),) for label in ("diplomacy", "terrorism", "russia")}
        return Prediction(
            ("diplomacy", "terrorism"), ("russia",), SCORES, (note,), evidence=found if evidence else None
        )

    def stream(self, articles: Iterable[str | Article], *, evidence: bool = False) -> Iterator[Prediction]:
        batch: list[str | Article] = []
        for article in articles:
            batch.append(article)
            if len(batch) == 3:
                yield from [self.predict(each, evidence=evidence) for each in batch]
                batch.clear()
        yield from [self.predict(each, evidence=evidence) for each in batch]


def use_stub(monkeypatch: pytest.MonkeyPatch, stub: StubTagger | None = None) -> None:
    """Let `wusum tag` load a stub."""
    tagger = stub or StubTagger()
    monkeypatch.setattr(tag_command, "_load_tagger", lambda *_, **__: tagger)
    monkeypatch.setattr(cli, "_entries", lambda: EntryPoints([_TAG]))


def run(*argv: str | Path) -> int:
    return cli.main(["tag", *map(str, argv)])


def tag(capsys: Capture, *argv: str | Path) -> tuple[int, list[dict[str, Any]], list[str]]:
    """Return exit code, lines of standard output read as JSON, lines of standard error."""
    capsys.readouterr()
    code = run(*argv)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert all(line.startswith("wusum: ") for line in lines), err
    rows = out.removesuffix("\n").split("\n") if out else []  # str.splitlines parts lines at U+0085 too
    return code, [json.loads(row) for row in rows], lines


def refused(capsys: Capture, *argv: str | Path) -> str:
    """Run a command that must refuse, and return its one sentence."""
    code, rows, lines = tag(capsys, *argv)
    assert (code, rows, len(lines)) == (2, [], 1)
    return lines[0]


def keys(rows: Iterable[dict[str, Any]]) -> list[object]:
    return [row.get("id", row.get("path")) for row in rows]


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
        time.sleep({seconds})
        return Prediction((), (), {{}}, (article if isinstance(article, str) else article.text,))
tag_command._load_tagger = lambda *_, **__: Stub()
job._SEGMENT_ITEMS, job._SEGMENT_SECONDS = {items}, {every}
cli._entries = lambda: EntryPoints([EntryPoint("tag", "wusum.inference.tag_command:COMMAND", cli.GROUP)])
sys.exit(cli.main())
"""


def driver(seconds: float = 0.0, items: int = 500, every: float = 0.0) -> list[str]:
    """A command line that tags in a process of its own, each article in so many seconds, saved so often."""
    code = _DRIVER.format(path=sys.path, seconds=seconds, items=items, every=every)
    return [sys.executable, "-c", code, "tag"]


def read(path: Path, options: ReadOptions | None = None, otherwise: Any = None) -> list[Record | Rejected]:
    return list(read_records(Source(str(path), otherwise), options or ReadOptions()))


def articles(path: Path, options: ReadOptions | None = None) -> list[str | Article]:
    items = read(path, options)
    assert all(isinstance(item, Record) for item in items), items
    return [item.article for item in items if isinstance(item, Record)]


def reason(path: Path, options: ReadOptions | None = None) -> str:
    (item,) = read(path, options)
    assert isinstance(item, Rejected)
    assert "\n" not in str(item)
    return item.reason


def packed(data: bytes, packing: str) -> bytes:
    if packing == ".zst":
        zstandard = pytest.importorskip("zstandard")
        return bytes(zstandard.ZstdCompressor().compress(data))
    return gzip.compress(data) if packing == ".gz" else data


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of an output of any form."""
    if path.suffix == ".parquet":
        return list(pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist())
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = pytest.importorskip("zstandard").ZstdDecompressor().decompressobj().decompress(data)
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.encode().splitlines()]
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if ".tsv" in path.name else ","))
