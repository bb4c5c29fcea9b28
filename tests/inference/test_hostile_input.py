"""Hostile input of every kind costs itself alone: a message or a note, bounded time and memory, the rest is tagged."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wusum.inference import tag_command
from wusum.inference.formats_bytes import MAX_BYTES
from wusum.inference.html_page import PageReader

from .hostile import MEGABYTE, STORY, MarkingTagger, Place, from_a_small_process, inputs, limit_time, marks
from .tag_runs import LOAD_TAGGER, Capture, driver, packed, rows_of, run, use_stub

pytest.importorskip("resource")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zstandard")
pytest.importorskip("trafilatura")


class _Input:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def written(target: Path) -> list[dict[str, Any]]:
    """The rows of an output; none where no article was tagged."""
    if not target.exists():
        return []
    if target.suffix == ".jsonl":  # str.splitlines would also part lines at U+2028, which JSON may hold
        return [json.loads(line) for line in target.read_bytes().split(b"\n") if line]
    csv.field_size_limit(2 * MAX_BYTES)
    return rows_of(target)


def rejected(target: Path) -> list[dict[str, Any]]:
    """The list of rejected inputs beside an output."""
    path = target.with_name(f"{target.name}.rejected.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def pages() -> Iterator[PageReader]:
    with PageReader() as pages:
        yield pages


@given(st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
    max_examples=60,
)
def test_every_sane_article_is_tagged_once_and_in_order_and_every_hostile_one_accounted_for(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    pages: PageReader,
    data: st.DataObject,
) -> None:
    use_stub(monkeypatch, MarkingTagger())
    monkeypatch.setattr(tag_command, "PageReader", lambda: contextlib.nullcontext(pages))
    folder = tmp_path_factory.mktemp("hostile")
    given = inputs(data.draw, folder)
    monkeypatch.setattr(sys, "stdin", _Input(b"".join(each.content for each in given)))
    target = folder / data.draw(st.sampled_from(["t.jsonl", "t.jsonl", "t.csv", "t.parquet"]))
    clean = data.draw(st.sampled_from(["auto", "always", "never"]))
    keep = ["--keep-columns"] * data.draw(st.booleans())

    capsys.readouterr()
    code = run(*(each.path for each in given), "-o", target, "--clean", clean, *keep)
    out, err = capsys.readouterr()
    rows, faults = written(target), rejected(target)

    assert out == ""
    assert all(line.startswith("wusum: ") for line in err.splitlines()), err
    counts = f"{len(faults)} of {len(faults) + len(rows)} inputs rejected, {len(rows)} tagged"
    assert err.splitlines()[-1].startswith(f"wusum: {counts}")
    assert code == (2 if not rows else 1 if faults else 0)

    found, broken = marks(rows), {each.broken for each in given} - {None}
    sane = [mark for each in given for mark in each.sane]
    whole = [mark for each in given for mark in each.sane if each.broken is None]
    assert found == [mark for mark in sane if mark in set(found)]
    assert [mark for mark in found if mark in set(whole)] == whole

    hostile = [place for each in given for place in each.hostile]
    told = [Place(fault["file"], fault["line"]) for fault in faults if fault["file"] not in broken]
    told = [place if place in hostile else Place(place.file, None) for place in told]
    assert len(set(told)) == len(told)
    assert set(told) <= set(hostile)
    assert broken <= {fault["file"] for fault in faults}
    if not broken:
        assert len(rows) - len(sane) + len(faults) == len(hostile)
    for fault in faults:
        assert set(fault) == {"file", "line", "reason"}
        assert fault["reason"].isprintable()
        assert 10 < len(fault["reason"]) < 500


def test_the_real_model_tags_what_is_sane_among_what_is_hostile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, samples: list[dict[str, Any]]
) -> None:
    use_stub(monkeypatch)
    monkeypatch.setattr(tag_command, "_load_tagger", LOAD_TAGGER)
    values = [
        "",
        "ا",
        "\0",
        "\ud800",
        "😀🎉" * 50,
        "نص text текст",
        "\u064e\u0654" * 2000,
        "<b>" * 20_000,
        "\n" * 20_000,
    ]
    lines, expected = [], {}
    for number, value in enumerate(values):
        row = samples[number]
        expected[row["id"]] = {*row["topics"], *row["actors"]}
        lines += [{name: row[name] for name in ("id", "title", "text")}, {"id": f"hostile-{number}", "text": value}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    (tmp_path / "page.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    target = tmp_path / "tags.jsonl"
    assert run(tmp_path / "page.txt", tmp_path / "a.jsonl", "--threads", "1", "-o", target) == 1
    rows, faults = {row["id"]: row for row in written(target)}, rejected(target)
    assert [name for name in rows if not name.startswith("hostile")] == list(expected)
    assert [(Path(fault["file"]).name, fault["line"]) for fault in faults] == [
        ("page.txt", None),
        *(("a.jsonl", 2 * values.index(value) + 2) for value in ("", "\0", "\ud800", "\n" * 20_000)),
    ]
    for name, row in rows.items():
        if name.startswith("hostile"):
            assert (row["topics"], row["actors"]) == ([], [])
            assert row["notes"][-1].endswith("no label given")
    right = sum(len(expected[name] & {*rows[name]["topics"], *rows[name]["actors"]}) for name in expected)
    assert right >= 0.6 * sum(map(len, expected.values()))
    assert "Traceback" not in capsys.readouterr().err


def peak_of_tagging(folder: Path, size: int) -> tuple[int, list[str], list[str]]:
    """Tag sane articles around a field of so many bytes in every form of input; the peak of memory is in kilobytes."""
    folder.mkdir()
    big = "x" * size

    def texts(form: str, packing: str = "") -> Path:
        rows = [("1", f"sane-{len(paths)}0 {STORY}"), ("2", big), ("3", f"sane-{len(paths)}1 {STORY}")]
        path = folder / f"{len(paths)}.{form}{packing}"
        if form == "parquet":
            pq.write_table(pa.table({"id": [row[0] for row in rows], "text": [row[1] for row in rows]}), path)
        elif form == "jsonl":
            path.write_bytes(
                packed("\n".join(f'{{"id": {i}, "text": "{text}"}}' for i, text in rows).encode(), packing)
            )
        else:
            mark = "\t" if form == "tsv" else ","
            path.write_bytes(packed("\n".join(mark.join(row) for row in (("id", "text"), *rows)).encode(), packing))
        return path

    paths: list[Path] = []
    for form, packing in (("jsonl", ""), ("jsonl", ".zst"), ("csv", ""), ("csv", ".gz"), ("tsv", ""), ("parquet", "")):
        paths.append(texts(form, packing))
    for name in ("a.txt", "b.html", "c.txt.gz"):
        paths.append(folder / name)
        paths[-1].write_bytes(packed(f"<html><p>{STORY}</p>{big}".encode(), paths[-1].suffix))
    line = json.dumps({"text": f"sane-99 {STORY}"})
    (folder / "stdin").write_text(f'{line}\n{{"text": "{big}"}}\n{line}', encoding="utf-8")
    target = folder / "tags.jsonl"
    argv = from_a_small_process([*driver(), *map(str, paths), "-", "-o", str(target)], folder / "peak")
    with (folder / "stdin").open("rb") as stdin:
        done = subprocess.run(argv, stdin=stdin, stderr=subprocess.PIPE, check=False, preexec_fn=limit_time)
    assert done.returncode == (1 if size > MAX_BYTES else 0), done.stderr.decode()
    return int((folder / "peak").read_text()), marks(written(target)), [fault["reason"] for fault in rejected(target)]


def test_fields_of_50_mb_take_bounded_memory_and_cost_no_neighbour(tmp_path: Path) -> None:
    usual, sane, faults = peak_of_tagging(tmp_path / "usual", 1000)
    assert (len(sane), faults) == (14, [])
    peak, found, faults = peak_of_tagging(tmp_path / "large", 50_000_000)
    assert found == sane
    assert len(faults) == 10
    assert all("over 2 MB" in reason for reason in faults)
    assert peak - usual < 200 * MEGABYTE  # Arrow needs a page of Parquet whole, and what it stands for


_PEAK = """
import sys
sys.path[:] = {path!r}
from wusum.inference.columns import ReadOptions
from wusum.inference.readers import read_records
from wusum.inference.sources import Source
for path in sys.argv[1:]:
    faults = [str(item) for item in read_records(Source(path), ReadOptions()) if "over 2 MB" in str(item)]
    assert len(faults) == 1, (path, faults)
"""


def test_a_field_of_50_mb_that_can_be_streamed_is_never_whole_in_memory(tmp_path: Path) -> None:
    begins = {"a.jsonl": '{"text": "', "a.csv": "text\n", "a.tsv": "text\n", "a.txt": "", "a.html": "<html>"}
    peak, peaks = tmp_path / "peak", []
    for size in (MAX_BYTES + 1, 50_000_000):
        paths = []
        for name, begin in begins.items():
            for packing in ("", ".gz", ".zst"):
                paths.append(tmp_path / f"{size}{name}{packing}")
                paths[-1].write_bytes(packed(begin.encode() + b"x" * size, packing))
        argv = from_a_small_process([sys.executable, "-c", _PEAK.format(path=sys.path), *map(str, paths)], peak)
        done = subprocess.run(argv, capture_output=True, check=False, preexec_fn=limit_time, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        peaks.append(int(peak.read_text()))
    assert peaks[1] - peaks[0] < 20 * MEGABYTE
