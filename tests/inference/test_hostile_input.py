"""Hostile input of every kind costs itself alone: a message or a note, bounded time and memory, the rest is tagged."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wusum.inference import Article, Tagger, html_page, tag_command
from wusum.inference.bundle import MANIFEST, open_bundle
from wusum.inference.cleaner import clean_page, keep_lines
from wusum.inference.formats_bytes import MAX_BYTES
from wusum.inference.html_page import PageReader
from wusum.inference.language import language_note
from wusum.labels import WusumError

from .hostile import STORY, VALUES, MarkingTagger, Place, inputs, marks
from .tag_runs import LOAD_TAGGER, Capture, driver, packed, rows_of, run, use_stub

resource = pytest.importorskip("resource")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zstandard")
pytest.importorskip("trafilatura")

CPU_SECONDS = 120  # guards against hanging; of the processor, not of the clock, because other work may run beside
CLOCK_SECONDS = 1200
MEGABYTE = 1024  # in the unit of ru_maxrss
_LETTER = re.compile(r"[^\W\d_]")


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
    for name in ("MAX_SECONDS", "_START_SECONDS"):  # the machine may be busy
        monkeypatch.setattr(html_page, name, 600.0)
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
        assert fault["reason"].replace("\t", " ").isprintable()
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
    argv = [*driver(), *map(str, paths), "-", "-o", str(target)]
    with (folder / "stdin").open("rb") as stdin, (folder / "err").open("wb") as err:
        process = subprocess.Popen(argv, stdin=stdin, stderr=err, preexec_fn=limit_time)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == (1 if size > MAX_BYTES else 0), (folder / "err").read_text(encoding="utf-8")
    return usage.ru_maxrss, marks(written(target)), [fault["reason"] for fault in rejected(target)]


def limit_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def test_fields_of_50_mb_take_bounded_memory_and_cost_no_neighbour(tmp_path: Path) -> None:
    usual, sane, faults = peak_of_tagging(tmp_path / "usual", 1000)
    assert (len(sane), faults) == (14, [])
    peak, found, faults = peak_of_tagging(tmp_path / "large", 50_000_000)
    assert found == sane
    assert len(faults) == 10
    assert all("over 2 MB" in reason for reason in faults)
    assert peak - usual < 400 * MEGABYTE


_LARGE = {
    "STORY * 27_000": "read the first",  # 5 MB
    "STORY.replace(' ', '') * 15_000": "hardly any common Arabic word",
    "'س' * 1_000_000": "read the first",  # one line of 2 MB without a space
    "'ا\\n' * 666_000": "hardly any common Arabic word",
    "'\\n' * 1_000_000": "empty text",
    "'\\0\\n' * 500_000": "no label given",
    "'\\0' * 1_000_000": "no label given",
    "'\\ud800\\udfff' * 500_000": "no label given",
    "'😀' * 500_000": "no label given",
    "'\\u202e\\u2066' * 500_000": "no label given",
    "'ا' + '\\u064e\\u0651\\u0654' * 300_000": "a single letter",
    "'<b>' * 200_000 + STORY + '</b>' * 200_000": "not Arabic",
    "'<' * 1_000_000": "no label given",
    "'نص text текст 文字 ' * 50_000": "not Arabic",
    "'\\ufdfa' * 300_000": "",
    "'| ' * 500_000": "no label given",
    "'في ' * 500_000": "read the first",
    "'. ' * 500_000 + STORY": "",
    "' '.join(map(str, range(100_000)))": "no letters",
    "'\\n'.join(' '.join(f'كلمة{n}{k}' for k in range(40)) + '.' for n in range(1_990))": "",
    "'\\n'.join(f'{n:06d}' + 'س' * 690 for n in range(1_400))": "",
}
_DIRECT = """
import json, resource, sys
sys.path[:] = {path!r}
from wusum.inference import Article, Tagger
tagger = Tagger.load(threads=1)
STORY = {story!r}
plain = tagger.predict(STORY)
assert tagger.predict(chr(10) * 1_000_000 + STORY).scores == plain.scores
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
notes = {{}}
for source in {sources!r}:
    text = eval(source)
    forms = [text, {{"text": text}}, Article(STORY, text)]
    notes[source] = [tagger.predict(form, evidence=evidence).notes for form in forms for evidence in (False, True)]
print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, notes]))
"""


def test_hostile_texts_of_megabytes_are_noted_in_linear_time_and_bounded_memory() -> None:
    code = _DIRECT.format(path=sys.path, story=STORY, sources=list(_LARGE))
    argv = [sys.executable, "-c", code]
    done = subprocess.run(
        argv, capture_output=True, check=False, timeout=CLOCK_SECONDS, preexec_fn=limit_time, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, after, notes = json.loads(done.stdout)
    for source, expected in _LARGE.items():
        page, page_again, text, text_again, *_ = notes[source]
        assert page == page_again, source
        assert text == text_again, source
        assert expected in " ".join(text), (source, text)
        assert expected in " ".join(page) or "empty text" in " ".join(page), (source, page)
    assert after - before < 200 * MEGABYTE


@pytest.fixture(scope="module")
def tagger(tiny_bundle: Path) -> Tagger:
    return Tagger.load(tiny_bundle, threads=1)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.none() | VALUES, st.sampled_from(["page", "mapping", "article"]), st.booleans())
@example("ا", None, "page", True)
def test_any_text_gives_a_prediction_or_one_sentence(
    tagger: Tagger, text: str, title: str | None, form: str, evidence: bool
) -> None:
    given: Any = {"page": text, "mapping": {"text": text, "title": title}, "article": Article(text, title)}[form]
    prediction = tagger.predict(given, evidence=evidence)
    assert tuple(prediction.scores) == tagger.taxonomy.ids
    assert all(0 <= score <= 1 for score in prediction.scores.values())
    labels = {*prediction.topics, *prediction.actors}
    if len(_LETTER.findall(text if form == "page" else f"{title or ''}{text}")) < 2:
        assert not labels
        assert prediction.notes[-1].endswith("no label given")
    assert (prediction.evidence is not None) == evidence
    if prediction.evidence is not None:
        assert set(prediction.evidence) == labels
        for one in (one for found in prediction.evidence.values() for one in found):
            original = text if one.field == "text" else title
            assert original is not None
            assert original[one.start : one.end] == one.text
    json.dumps(prediction.to_dict())


@pytest.mark.parametrize(
    "given",
    [
        *([], ["نص"], 7, None, b"\xd9\x86", {}, {"text": None}, {"text": b"a"}, {"text": ["a"]}, {1: 2}, object()),
        *({"text": "نص", "title": 3}, {"text": "نص", "title": ["\ud800"]}, {"text": "نص", "id": 7}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_no_article_is_one_sentence(tagger: Tagger, given: Any) -> None:
    with pytest.raises(WusumError) as caught:
        tagger.predict([STORY, given, STORY])
    assert "\n" not in str(caught.value)
    assert "expected a string" in str(caught.value)


_VOWELLED = "قَالَ الرَّئِيسُ إِنَّ بِلَادَهُ تُرَحِّبُ بِالِاتِّفَاقِ فِي جِنِيفَ، وَأَضَافَ أَنَّ اللِّقَاءَ كَانَ مُفِيدًا بَعْدَ عَامٍ مِنَ الْخِلَافِ عَلَى الْحُدُودِ. "


@pytest.mark.parametrize(
    "dressed",
    [
        _VOWELLED * 3,
        "".join(char + "ـ" * char.isalpha() for char in STORY * 3),
        "\u202e".join(STORY * 3),
        (STORY * 3)
        .replace("في", "\ufed3\ufef2")
        .replace("إن", "\ufe87\ufee5")
        .replace("كانت", "\ufedb\ufe8e\ufee7\ufe96"),
    ],
    ids=["vowelled", "stretched", "marks of direction", "presentation forms"],
)
def test_arabic_in_odd_dress_is_still_arabic(dressed: str) -> None:
    assert language_note(dressed) is None


def test_a_text_of_too_many_lines_to_tell_apart_is_kept_whole() -> None:
    text = "\r\n \0" + "ا\r\n\r\n" * 20_001 + "\0 \r\n"
    page = clean_page(text)
    assert (page.title, page.title_span, page.dropped, page.total) == (None, None, 0, 20_002)
    ((start, end),) = page.line_spans
    assert text[start:end] == page.body
    assert page.body.split() == ["ا"] * 20_001
    assert sum(keep_lines(text.splitlines())) == page.total
    assert clean_page("\0\n" * 30_000 + STORY).body == STORY


@pytest.fixture(scope="module")
def copied(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("flipped") / "bundle"))


@contextlib.contextmanager
def flipped(path: Path, place: float, bit: int) -> Iterator[None]:
    """Flip one bit of a file for a while."""
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[int(place * len(content))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        yield
    finally:
        path.write_bytes(content)


PLACES, BITS = st.floats(0, 1, exclude_max=True), st.integers(0, 7)


def fault_of(bundle: Path) -> str | None:
    """The one sentence with which a bundle is refused, None where it opens."""
    try:
        open_bundle(bundle)
    except WusumError as fault:
        assert "\n" not in str(fault)
        assert str(fault).startswith(str(bundle))
        return str(fault)
    return None


@settings(max_examples=60, deadline=None)
@given(st.data(), PLACES, BITS)
def test_a_flipped_bit_in_a_file_of_a_bundle_is_told_with_its_name(
    copied: Path, data: st.DataObject, place: float, bit: int
) -> None:
    names = sorted(set(open_bundle(copied).files) - {MANIFEST})
    assert {"model.onnx", "taxonomy.yaml", "tokenizer.json"} <= set(names)
    name = data.draw(st.sampled_from(names))
    with flipped(copied / name, place, bit):
        assert f"{name}: its sha256 differs" in (fault_of(copied) or "opens")
    assert fault_of(copied) is None


MANIFEST_TESTS = settings(max_examples=100, deadline=None)


@MANIFEST_TESTS
@given(PLACES, BITS)
def test_a_flipped_bit_in_a_manifest_is_told_in_one_sentence_or_gives_a_bundle(
    copied: Path, place: float, bit: int
) -> None:
    with flipped(copied / MANIFEST, place, bit):
        fault_of(copied)


@pytest.mark.xfail(strict=True, reason="a manifest has no checksum of its own: a changed digit of a number goes unseen")
@MANIFEST_TESTS
@given(PLACES, BITS)
def test_a_flipped_bit_in_a_manifest_changes_nothing_unseen(copied: Path, place: float, bit: int) -> None:
    whole = open_bundle(copied)
    with flipped(copied / MANIFEST, place, bit):
        if fault_of(copied) is None:
            assert open_bundle(copied) == whole


def test_a_damaged_bundle_ends_the_command_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, copied: Path
) -> None:
    use_stub(monkeypatch)
    monkeypatch.setattr(tag_command, "_load_tagger", LOAD_TAGGER)
    (tmp_path / "a.txt").write_text(STORY, encoding="utf-8")
    with flipped(copied / "model.onnx", 0.5, 3):
        assert run("--bundle", copied, tmp_path / "a.txt", "-o", tmp_path / "tags.jsonl") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "model.onnx: its sha256 differs" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
