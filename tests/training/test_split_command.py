"""`wusum labels split` as its user meets it."""

from __future__ import annotations

import json
import random
from argparse import ArgumentParser
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from wusum.labels import WusumError, load_taxonomy
from wusum.labels.command import ACTION_GROUP
from wusum.training.split import read_split
from wusum.training.split_command import COMMAND


def run(*words: object) -> int:
    parser = ArgumentParser(prog="wusum labels split")
    COMMAND.add_arguments(parser)
    return COMMAND.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    rng = random.Random(0)
    rows = [
        {
            "id": str(number),
            "text": " ".join(f"كلمة{rng.randrange(3000)}" for _ in range(40)),
            "topics": ["diplomacy"] if number % 2 else [],
            "actors": ["russia"] if number % 5 == 0 else [],
            "published": f"2016-03-{1 + number % 20:02}",
        }
        for number in range(100)
    ]
    path = tmp_path / "articles.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def counts(shown: str) -> dict[str, list[str]]:
    header, *rows = (line.split("\t") for line in shown.splitlines())
    assert header == ["label", "train", "dev", "share in dev"]
    assert [row[0] for row in rows] == ["articles", *load_taxonomy().ids]
    return {row[0]: row[1:] for row in rows}


def test_it_is_an_action_of_wusum_labels() -> None:
    (entry,) = (entry for entry in entry_points(group=ACTION_GROUP) if entry.name == "split")
    assert entry.load() is COMMAND
    assert entry.extras == ["train"]


def test_it_writes_the_split_and_shows_its_counts(
    tmp_path: Path, articles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "split.jsonl"
    assert run(articles, "-o", out, "--dev-share", 0.2) == 0
    shown = capsys.readouterr()
    found = counts(shown.out)
    assert found["articles"] == ["80", "20", "0.200"]
    assert found["diplomacy"] == ["40", "10", "0.200"]
    assert found["russia"] == ["16", "4", "0.200"]
    assert found["usa"] == ["0", "0", ""]
    assert sum(part == "dev" for part, _ in read_split(out).values()) == 20
    assert shown.err.strip() == ""


def test_an_existing_split_is_shown_and_kept(
    tmp_path: Path, articles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "split.jsonl"
    run(articles, "-o", out)
    first, shown = out.read_bytes(), capsys.readouterr().out
    assert run(articles, "-o", out, "--dev-share", 0.5) == 0
    again = capsys.readouterr()
    assert out.read_bytes() == first
    assert again.out == shown
    assert "exists already and is shown as it is; --force makes it anew" in again.err
    assert run(articles, "-o", out, "--dev-share", 0.5, "--force") == 0
    assert counts(capsys.readouterr().out)["articles"] == ["50", "50", "0.500"]
    out.write_text("", encoding="utf-8")
    with pytest.raises(WusumError, match="100 articles are not in it"):
        run(articles, "-o", out)


def test_a_split_by_date(tmp_path: Path, articles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "split.jsonl"
    assert run(articles, "-o", out, "--dev-from", "2016-03-16", "--column", "date=published") == 0
    assert counts(capsys.readouterr().out)["articles"] == ["75", "25", "0.250"]
    with pytest.raises(WusumError, match=r"date: no such column, found actors, id, published"):
        run(articles, "-o", out, "--dev-from", "2016-03-16", "--force")


def test_counts_are_a_table_on_a_terminal(
    tmp_path: Path, articles: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run(articles, "-o", tmp_path / "split.jsonl")
    shown = capsys.readouterr().out
    assert "\t" not in shown
    assert "share in dev" in shown
    assert "weapons_of_mass_destruction" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--column", "body"], "--column 'body': expected KEY=NAME"),
        (["--column", "txt=body"], "--column:txt: unknown key; did you mean 'text'?"),
        (["--dev-share", "2"], "data.dev_share: 2.0, expected more than 0 and less than 1"),
        (["--column", "actors="], ""),
    ],
)
def test_arguments(tmp_path: Path, articles: Path, words: list[str], told: str) -> None:
    out = tmp_path / "split.jsonl"
    if not told:
        assert run(articles, "-o", out, *words) == 0
        return
    with pytest.raises(WusumError) as caught:
        run(articles, "-o", out, *words)
    assert told in str(caught.value)
    assert not out.exists()
