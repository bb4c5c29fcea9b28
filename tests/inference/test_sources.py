"""From paths on a command line to inputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wusum.inference.sources import Source, find_sources

from .tag_runs import PAGE, reason


def write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def found(*paths: Path, leave_out: Path | None = None) -> list[str]:
    sources = find_sources(map(str, paths), None if leave_out is None else str(leave_out))
    return [item.path if isinstance(item, Source) else f"FAULT {item}" for item in sources]


def test_a_folder_gives_its_texts_sorted_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "folder.txt").mkdir()
    for name in ("b.txt", "a.TXT", "README.md", "expected.jsonl", ".hidden.txt", "sub/c.txt", "sub/.git/d.txt"):
        write(tmp_path / name, PAGE)
    assert found(tmp_path) == [str(tmp_path / name) for name in ("a.TXT", "b.txt", "sub/c.txt")]


def test_a_folder_without_texts_gives_its_json_lines_but_not_the_output(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "tags.jsonl", "notes.md"):
        write(tmp_path / name, "{}")
    expected = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    assert found(tmp_path, leave_out=tmp_path / "tags.jsonl") == expected


def test_a_folder_with_nothing_to_tag_is_told(tmp_path: Path) -> None:
    write(tmp_path / "README.md", PAGE)
    (fault,) = found(tmp_path)
    assert fault.startswith(f"FAULT {tmp_path}: nothing to tag; expected .txt, .html, .jsonl")


def test_loops_and_broken_links_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    write(tmp_path / "a.txt", PAGE)
    assert found(tmp_path) == [str(tmp_path / "a.txt"), str(tmp_path / "gone.txt")]
    assert "no such file" in reason(tmp_path / "gone.txt")


def test_an_unreadable_folder_below_costs_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    write(tmp_path / "a.jsonl", "{}")
    scandir = os.scandir

    def guarded(path: str) -> os.ScandirIterator[str]:  # type: ignore[name-defined]
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    fault, path = found(tmp_path)
    assert "locked: no permission to read it" in fault
    assert path == str(tmp_path / "a.jsonl")


def test_patterns_give_what_they_match(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "sub/c.jsonl", "out.jsonl", "out.jsonl.rejected.jsonl", "x[1].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")

    def found(pattern: str) -> list[str]:
        sources = find_sources([str(tmp_path / pattern)], leave_out=str(tmp_path / "out.jsonl"))
        return [str(source.place).removeprefix(f"{tmp_path}/") for source in sources if isinstance(source, Source)]

    assert found("*.jsonl") == ["b.jsonl"]
    assert found("**/*.jsonl") == ["b.jsonl", "sub/c.jsonl"]
    assert found("x[1].txt") == ["x[1].txt"]
    assert found("") == ["a.csv", "b.jsonl", "sub/c.jsonl"] or found("") == ["x[1].txt"]
    (fault,) = find_sources([str(tmp_path / "*.xml")])
    assert "no file matches" in str(fault)
