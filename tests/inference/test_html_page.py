"""Articles out of HTML, in a process that strange pages cannot keep."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker, spawn
from pathlib import Path

import pytest

from wusum.inference import html_page
from wusum.inference.article import Article
from wusum.inference.columns import ReadOptions
from wusum.inference.formats_bytes import MAX_BYTES
from wusum.inference.html_page import PageReader
from wusum.inference.record import Record
from wusum.inference.rejected import Rejected

from .tag_runs import Capture, articles, read, reason, refused, run

pytestmark = pytest.mark.usefixtures("stub")

pytest.importorskip("trafilatura")

STORY = "اجتمع الوزراء يوم الاثنين في جنيف لبحث الأزمة، وقال الوزير إن المحادثات كانت مفيدة وإنها ستستمر غدا."
HTML = f"""<html><head><title>لقاء في جنيف</title>
<meta property="article:published_time" content="2016-03-04T10:00:00Z"><meta name="author" content="Samir Haddad">
</head><body><nav><a href="/">الرئيسية</a></nav><article><h1>لقاء في جنيف</h1><p>{STORY}</p>
<p>وأضاف أن وفودا من عشر دول حضرت اللقاء الذي عقد في قصر الأمم، وأن البيان الختامي سيصدر مساء الثلاثاء.</p>
</article><footer>حقوق النشر محفوظة</footer></body></html>"""


@pytest.fixture(scope="module")
def pages() -> Iterator[PageReader]:
    with PageReader() as pages:
        yield pages


def test_html_gives_article_title_date_and_author(tmp_path: Path, pages: PageReader) -> None:
    path = tmp_path / "a.html"
    path.write_text(HTML, encoding="utf-8")
    options = ReadOptions(pages=pages)
    (record,) = read(path, options)
    assert isinstance(record, Record)
    assert isinstance(record.article, Article)
    assert record.article.title == "لقاء في جنيف"
    assert STORY in record.article.text
    assert "الرئيسية" not in record.article.text
    facts = {"title": "لقاء في جنيف", "date": "2016-03-04", "author": "Samir Haddad"}
    assert record.columns == {"path": str(path), **facts}
    (whole,) = articles(path, ReadOptions(clean="never", pages=pages))
    assert isinstance(whole, Article)
    assert "الرئيسية" in whole.text
    (page,) = articles(path, ReadOptions(clean="always", pages=pages))
    assert isinstance(page, str)
    assert page.startswith("لقاء في جنيف\n")
    (tmp_path / "old").write_bytes(HTML.replace("<head>", "<head><meta charset='windows-1256'>").encode("cp1256"))
    (old,) = articles(tmp_path / "old", options)
    assert isinstance(old, Article)
    assert STORY in old.text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<html>" + "<b>" * 60_000, "over 50,000 tags"),
        ("<html><body></body></html>", "no article in this HTML"),
        ("<html>" + "<div>" * 40_000, ""),
        ("<html>" + "&amp;" * 300_000, ""),
        ("<html>\0", "binary data"),
        ("<html>" + "x" * MAX_BYTES, "over 2 MB"),
    ],
)
def test_a_page_that_is_no_article_costs_itself(tmp_path: Path, pages: PageReader, content: str, expected: str) -> None:
    path = tmp_path / "a.html"
    path.write_text(content, encoding="utf-8")
    (item,) = read(path, ReadOptions(pages=pages))
    if expected:
        assert isinstance(item, Rejected)
        assert expected in item.reason


def test_a_page_that_takes_too_long_ends_its_reader_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb, good = tmp_path / "a.html", tmp_path / "b.html"
    attributes = " ".join(f"a{i}=1" for i in range(100_000))
    bomb.write_text(f"<html><p {attributes}>x</p></html>", encoding="utf-8")
    good.write_text(HTML, encoding="utf-8")
    with PageReader() as pages:
        options = ReadOptions(pages=pages)
        assert isinstance(read(good, options)[0], Record)
        monkeypatch.setattr(html_page, "MAX_SECONDS", 1.0)
        assert "HTML that takes over 1 seconds to read" in reason(bomb, options)
        monkeypatch.setattr(html_page, "MAX_SECONDS", 60.0)
        assert isinstance(read(good, options)[0], Record)


def test_a_page_waits_for_a_busy_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "a.html"
    page.write_text(HTML, encoding="utf-8")
    with PageReader() as pages:
        options = ReadOptions(pages=pages)
        read(page, options)
        monkeypatch.setattr(html_page, "MAX_SECONDS", 1.0)
        reader = pages._process
        assert reader is not None
        assert reader.pid is not None
        os.kill(reader.pid, signal.SIGSTOP)
        threading.Timer(2.0, os.kill, (reader.pid, signal.SIGCONT)).start()
        assert isinstance(read(page, options)[0], Record)


def test_html_without_trafilatura_is_one_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.html").write_text(HTML, encoding="utf-8")
    monkeypatch.setattr(html_page.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    assert run(tmp_path / "a.html") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("is HTML, which needs the package trafilatura; install it: pip install 'wusum[files]'")


def test_a_reader_that_cannot_start_ends_the_run_instead_of_rejecting_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    resource_tracker.ensure_running()  # which would be started by the same program
    monkeypatch.setattr(spawn, "_python_exe", os.fsencode(shutil.which("false") or ""))
    (tmp_path / "a.html").write_text(HTML, encoding="utf-8")
    (tmp_path / "b.html").write_text(HTML, encoding="utf-8")
    told = refused(capsys, tmp_path, "-o", tmp_path / "tags.jsonl")
    assert told.endswith("a.html: the process that reads HTML did not start; free some memory, then run again")
    assert not (tmp_path / "tags.jsonl.rejected.jsonl").exists()
