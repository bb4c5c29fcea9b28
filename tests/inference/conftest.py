"""Fixtures of the tests of `wusum tag`."""

from __future__ import annotations

from pathlib import Path

import pytest

from wusum.inference import job

from .fates import Fate
from .tag_runs import PAGE, StubTagger, use_stub


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """`wusum tag` loads a stub."""
    use_stub(monkeypatch)


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Fate:
    """`wusum tag` loads a stub that may meet its end, and saves every seven articles."""
    fate = Fate()
    use_stub(monkeypatch, StubTagger(fate.meet))
    monkeypatch.setattr(job, "_SEGMENT_ITEMS", 7)
    return fate


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "article.txt"
    path.write_text(PAGE, encoding="utf-8")
    return path
