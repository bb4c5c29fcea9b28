"""Bad input of any kind, beside good input and alone."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wusum.inference import tag_command
from wusum.inference.html_page import PageReader

from .tag_runs import Capture, packed, rows_of, run, tag

pytestmark = pytest.mark.usefixtures("stub")

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zstandard")

_DEEP = "[" * 3000 + "]" * 3000
_BAD = st.one_of(
    st.sampled_from(
        ["", " \n\t", "x", "\ud800", "a\0b", "نص text текст 文字", "😀🎉", "\u202e\u200f", "'\"", "a;b\tc|d"]
    ),
    st.text(max_size=50),
    st.sampled_from(["<b>" * 60_000, "<html><table>" * 3000, _DEEP, '{"a":' * 3000, "س" * 1_100_000]),
)
_FORMS = st.sampled_from(["a.txt", "a.html", "a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz", "a.csv.zst", "a"])


def damaged(name: str, text: str, cut: float, garbage: bytes) -> bytes:
    """A file that holds the text, of which a part may be missing or replaced."""
    form, packing = name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2], Path(name).suffix
    if form == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({"text": [text.encode("utf-8", "replace").decode(), "نص"]}), sink)
        data = sink.getvalue()
    elif form == "jsonl":
        data = json.dumps({"id": "x", "text": text, "n": [text]}).encode() + b"\n"
    elif form in ("csv", "tsv"):
        data = f'id,text\nx,"{text}"\ny;z\n'.encode("utf-8", "surrogatepass")
    else:
        data = text.encode("utf-8", "surrogatepass")
    data = packed(data, packing) if packing in (".gz", ".zst") else data
    middle = int(len(data) * cut)
    return data[:middle] + garbage + data[middle + len(garbage) :] if garbage else data[: middle or None]


@given(
    st.lists(st.tuples(_FORMS, _BAD, st.sampled_from([0, 0.5, 0.9]), st.binary(max_size=20)), min_size=1, max_size=4),
    st.sampled_from(["t.jsonl", "t.csv", "t.parquet"]),
    st.booleans(),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
def test_bad_input_of_any_kind_costs_itself_and_the_rest_is_tagged(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    pages: PageReader,
    bad: list[tuple[str, str, float, bytes]],
    output: str,
    keep: bool,
) -> None:
    monkeypatch.setattr(tag_command, "PageReader", lambda: contextlib.nullcontext(pages))
    folder = tmp_path_factory.mktemp("bad")
    good = folder / "good.jsonl"
    good.write_text('{"id": "good", "text": "نص"}', encoding="utf-8")
    paths = [good]
    for number, (name, *content) in enumerate(bad):
        (folder / str(number)).mkdir()
        paths.append(folder / str(number) / name)
        paths[-1].write_bytes(damaged(name, *content))
    (folder / "out").mkdir()
    target = folder / "out" / output
    code = run(*paths, good, "-o", target, *["--keep-columns"] * keep)
    err = capsys.readouterr().err.splitlines()
    rows = rows_of(target)
    listed = folder / "out" / f"{output}.rejected.jsonl"
    faults = [json.loads(line) for line in listed.read_bytes().splitlines()] if listed.exists() else []
    assert err[-1].startswith(f"wusum: {len(faults)} of {len(faults) + len(rows)} inputs rejected, {len(rows)} tagged")
    assert code == (1 if faults else 0)
    assert [row["id"] for row in (rows[0], rows[-1])] == ["good", "good"]
    told = {fault["file"] for fault in faults}
    for fault in faults:
        assert fault["reason"]
        assert len(fault["reason"]) < 500
    assert told <= {str(path) for path in paths}
    assert len(rows) - 2 + len(faults) >= len(bad)


@given(
    st.lists(st.binary(max_size=200), max_size=3),
    st.sampled_from(["a.txt", "a.jsonl", "a"]),
    st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf", b'{"text": "', '{"text": "نص"}\n'.encode()]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_end_in_0_1_or_2(
    tmp_path: Path, capsys: Capture, contents: list[bytes], name: str, start: bytes
) -> None:
    paths = []
    for number, content in enumerate(contents):
        (tmp_path / str(number)).mkdir(exist_ok=True)
        paths.append(tmp_path / str(number) / name)
        paths[-1].write_bytes(start + content)
    code, rows, err = tag(capsys, *paths)
    assert code == (2 if not rows else 1 if err else 0)


@pytest.fixture(scope="module")
def pages() -> Iterator[PageReader]:
    with PageReader() as pages:
        yield pages
