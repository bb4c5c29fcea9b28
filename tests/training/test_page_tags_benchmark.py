"""Tags of whole pages beside those of the stories in them."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from wusum.training import page_tags_benchmark
from wusum.training.page_benchmark import Page


def test_the_own_story_of_a_page_is_its_first_headline_and_its_body() -> None:
    lines = ("رياضة", "عنوان", "أول", "إعلان", "عنوان", "ثان")
    story = page_tags_benchmark.own_story(Page(lines, ("furniture", "title", "body", "teaser", "title", "body")))
    assert (story.title, story.text) == ("عنوان", "أول\nثان")
    assert page_tags_benchmark.own_story(Page(("نص",), ("body",))).title is None


def test_tags_of_pages_are_held_against_those_of_their_stories(
    tiny_recipe: list[str], tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = dict(option.split("=", 1) for option in tiny_recipe[1:])
    paths = [options["data.articles"], "--split-file", options["data.split"], "--bundle", str(tiny_bundle)]
    page_tags_benchmark.main([*paths, "--count", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 dev articles"
    for group, (row, differing) in zip(("tuned", "held_out"), (lines[2:4], lines[4:6]), strict=True):
        assert row.startswith(f"{group}\t") and len(row.split("\t")) == 4
        assert " of 3 articles have other tags as a page" in differing
