"""The embedded model on real pages (where `shared` is at hand) and on our own samples."""

import json
from pathlib import Path
from typing import Any

import pytest

from wusum.inference import Prediction, Tagger

SAMPLES = Path(__file__).resolve().parents[2] / "labels" / "samples"
PAGES = ("000", "001", "002", "003", "004")
EXPECTED = {
    "syria": set(PAGES),
    "russia": set(PAGES),
    "diplomacy": set(PAGES),
    "counter_isis": {"000", "002", "004"},
    "france": {"000", "002"},
    "usa": {"001", "003"},
    "uk": {"004"},
    "syrian_opposition": {"004"},
}
ONLY_THERE = {"france"}
FURNITURE_ONLY = {"israel", "lebanon", "weapons_of_mass_destruction", "sanctions_economy"}


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.load(threads=1)


@pytest.fixture(scope="module")
def tagged_pages(tagger: Tagger, shared: Path) -> dict[str, set[str]]:
    pages = sorted((shared / "pages").glob("*.txt"))
    found = (tagger.predict(page.read_text(encoding="utf-8")) for page in pages)
    return {page.name[:3]: labels(one) for page, one in zip(pages, found, strict=True)}


def labels(prediction: Prediction) -> set[str]:
    return {*prediction.topics, *prediction.actors}


def test_real_pages_get_their_labels(tagged_pages: dict[str, set[str]]) -> None:
    for label, pages in EXPECTED.items():
        tagged = {page for page, given in tagged_pages.items() if label in given}
        assert tagged >= pages, label
        if label in ONLY_THERE:
            assert tagged == pages, label


def test_real_pages_get_nothing_from_related_headlines(tagged_pages: dict[str, set[str]]) -> None:
    for page, given in tagged_pages.items():
        assert not given & FURNITURE_ONLY, page
    assert "kurdish_forces" not in tagged_pages["000"]


@pytest.fixture(scope="module")
def expected_samples() -> dict[str, dict[str, Any]]:
    lines = (SAMPLES / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["path"]: row for row in map(json.loads, lines)}


def test_samples_are_tagged_about_as_expected(tagger: Tagger, expected_samples: dict[str, dict[str, Any]]) -> None:
    right = given = wanted = 0
    for name, row in expected_samples.items():
        found = labels(tagger.predict((SAMPLES / name).read_text(encoding="utf-8")))
        expected = {*row["topics"], *row["actors"]}
        right, given, wanted = right + len(found & expected), given + len(found), wanted + len(expected)
    assert 2 * right / (given + wanted) >= 0.75


def test_pages_note_the_furniture_that_was_dropped(tagger: Tagger, expected_samples: dict[str, dict[str, Any]]) -> None:
    pages = [name for name, row in expected_samples.items() if "furniture" in row]
    assert len(pages) == 8
    for name in pages:
        notes = tagger.predict((SAMPLES / name).read_text(encoding="utf-8")).notes
        assert any("page furniture" in note for note in notes), name


def test_sport_gets_no_label(tagger: Tagger) -> None:
    assert labels(tagger.predict((SAMPLES / "21_football-late-win.txt").read_text(encoding="utf-8"))) == set()
