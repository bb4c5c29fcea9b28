"""The forms of the output, with the input's own columns."""

from __future__ import annotations

import datetime
import decimal
import gc
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from wusum.inference import formats_output, job
from wusum.inference.formats_output import open_form

from .tag_runs import Capture, rows_of, run

pytestmark = pytest.mark.usefixtures("stub")

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zstandard")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst", ".tsv"])
def test_csv_out_joins_labels_by_bars(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / f"out{suffix}"
    source.write_text('{"id": 1, "text": "a"}\n{"text": "b", "topics": ["x"], "n": null}\n', encoding="utf-8")
    assert run(source, "-o", target) == 0
    tags = {"topics": "diplomacy|terrorism", "actors": "russia"}
    tags["scores"] = '{"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7}'
    assert rows_of(target) == [
        {"id": "1", "path": "", **tags, "notes": "a"},
        {"id": "", "path": f"{source}:2", **tags, "notes": "b"},
    ]
    assert run(source, "-o", target, "--force", "--keep-columns") == 0
    own = [
        {"id": "1", "text": "a", "input_topics": "", "n": ""},
        {"id": "", "text": "b", "input_topics": '["x"]', "n": ""},
    ]
    assert rows_of(target) == [{**mine, **tags, "notes": mine["text"]} for mine in own]


def test_parquet_keeps_the_types_of_its_own_columns(tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    columns = {
        "id": pa.array([1, 2], pa.int32()),
        "text": pa.array(["a", "b"]),
        "when": pa.array([datetime.datetime(2016, 3, 4), None], pa.timestamp("ns")),
        "price": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")], pa.decimal128(5, 2)),
        "blob": pa.array([b"\x00\xff", None]),
        "list": pa.array([[1, 2], []], pa.list_(pa.int16())),
        "record": pa.array([{"x": 1.5}, None]),
        "share": pa.array([float("nan"), 0.5]),
    }
    pq.write_table(pa.table(columns), source)
    assert run(source, "-o", target, "--keep-columns") == 0
    table = pq.read_table(target)
    assert table.select(list(columns)).schema.equals(pa.table(columns).schema)
    assert table.select([name for name in columns if name != "share"]).equals(pa.table(columns).drop(["share"]))
    assert table["topics"].to_pylist() == [["diplomacy", "terrorism"]] * 2
    assert dict(table["scores"].to_pylist()[0]) == {"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7}
    lines = tmp_path / "out.jsonl"
    assert run(source, "-o", lines, "--keep-columns") == 0
    first = rows_of(lines)[0]
    assert [first[name] for name in columns] == [
        1,
        "a",
        "2016-03-04 00:00:00",
        "1.50",
        "00ff",
        [1, 2],
        {"x": 1.5},
        None,
    ]


def test_parquet_out_settles_types_over_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_SEGMENT_ITEMS", 2)
    source, target = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    values: list[Any] = [1, 2, 3.5, None, True, "x", 2**70, [1, {"a": "ب"}], "\ud800"]
    lines = [{"text": "a", "n": i, "mixed": value} for i, value in enumerate(values)]
    lines[3]["late"] = 1
    source.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert run(source, "-o", target, "--keep-columns") == 0
    table = pq.read_table(target)
    assert table.schema.names == ["text", "n", "mixed", "late", "topics", "actors", "scores", "notes"]
    assert [str(table.schema.field(name).type) for name in ("n", "mixed", "late")] == ["int64", "string", "int64"]
    told = ["1", "2", "3.5", None, "true", "x", str(2**70), '[1, {"a": "ب"}]', "?"]
    assert table["mixed"].to_pylist() == told
    assert table["late"].to_pylist() == [None] * 3 + [1] + [None] * 5


def test_an_output_that_has_no_form_is_refused(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    for name, expected in (("t.xlsx", "no form of output has this suffix"), ("t.parquet.gz", "no form of output")):
        assert run(tmp_path / "a.txt", "-o", tmp_path / name) == 2
        assert expected in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "wusum.inference.formats_parquet_output", raising=False)
    for name in ("t.csv.zst", "t.parquet"):
        assert run(tmp_path / "a.txt", "-o", tmp_path / name) == 2
        assert "install it: pip install 'wusum[files]'" in capsys.readouterr().err
    (tmp_path / "a.parquet").touch()
    assert run(tmp_path / "a.parquet") == 2
    assert "is Parquet, which needs the package pyarrow" in capsys.readouterr().err


@pytest.mark.parametrize("segment", [1, 10])
def test_a_long_id_keeps_its_digits_beside_a_fraction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment: int
) -> None:
    monkeypatch.setattr(job, "_SEGMENT_ITEMS", segment)
    source, target = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    numbers = [(2**60 + 1, 1, 2**60 + 1), (1.5, 2.5, 7)]
    rows = [{"text": "a", "wide": wide, "small": small, "whole": whole} for wide, small, whole in numbers]
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert run(source, "-o", target, "--keep-columns") == 0
    found = pq.read_table(target).to_pydict()
    assert (found["wide"], found["small"], found["whole"]) == ([str(2**60 + 1), "1.5"], [1.0, 2.5], [2**60 + 1, 7])


@pytest.mark.parametrize("name", ["tags.jsonl", "tags.csv", "tags.parquet"])
def test_evidence_stands_in_a_column_of_its_own(tmp_path: Path, name: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / name
    source.write_text('{"text": "abc", "evidence": "mine"}', encoding="utf-8")
    assert run(source, "-o", target, "--keep-columns", "--evidence", "--top", "1") == 0
    (row,) = rows_of(target)
    assert row["input_evidence"] == "mine"
    assert list(row)[-5:] == ["topics", "actors", "scores", "notes", "evidence"]
    found = json.loads(row["evidence"]) if name == "tags.csv" else dict(row["evidence"])
    assert found == {"diplomacy": [{"field": "text", "start": 0, "end": 1, "text": "a", "weight": 0.5}]}


def test_large_columns_do_not_pile_up_before_they_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_SEGMENT_BYTES", 50_000)
    most = 0
    reach = job.FileJob._reach

    def watched(self: job.FileJob, position: Any) -> None:
        nonlocal most
        most = max(most, len(self._pending.rows))
        reach(self, position)

    monkeypatch.setattr(job.FileJob, "_reach", watched)
    (tmp_path / "in.jsonl").write_text(f'{{"text": "a", "n": {list(range(4000))}}}\n' * 20, encoding="utf-8")
    assert run(tmp_path / "in.jsonl", "-o", tmp_path / "out.parquet", "--keep-columns") == 0
    assert most == 3


class _Full(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst"])
def test_a_disk_that_is_full_at_the_end_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: _Full() if self.suffix == ".new" else opened(self, mode))
    form = open_form(tmp_path / f"tags{suffix}")
    (tmp_path / "part").write_bytes(form.encode([{"id": i, "topics": ["x" * 1000]} for i in range(100)]))
    with pytest.raises(OSError, match="No space left"):
        form.finish(tmp_path / "part", tmp_path / f"tags{suffix}")
    gc.collect()
    assert (tmp_path / "part").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_segments_go_only_when_the_name_of_the_finished_file_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    part, target = tmp_path / "part", tmp_path / f"tags{suffix}"
    form = open_form(target)
    seen: list[tuple[bool, bool]] = []
    monkeypatch.setattr(formats_output, "sync_folder", lambda _: seen.append((part.exists(), target.exists())))
    tags = {"topics": ["x"], "actors": [], "scores": {}, "notes": []}
    part.write_bytes(form.encode([{"id": 1, **tags}]))
    form.finish(part, target)
    assert seen == [(True, True)]
    assert not part.exists()
