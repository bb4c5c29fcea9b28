from __future__ import annotations

import pytest

from wusum.training import progress


def test_off_a_terminal_a_line_a_minute_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for _ in progress.watched(range(10), 10, "training"):
        now[0] += 25
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "wusum: training: 3 of 10, about 3 minutes left",
        "wusum: training: 6 of 10, about 2 minutes left",
        "wusum: training: 9 of 10, about 0 minutes left",
    ]


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.watched(range(3), 3, "counting")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_of_an_unknown_number_it_tells_the_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for _ in progress.counted("abcd", "letters read"):
        now[0] += 3
    assert capsys.readouterr().err.splitlines() == ["wusum: letters read: 3"]
