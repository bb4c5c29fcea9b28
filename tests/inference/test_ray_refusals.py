"""Jobs on Ray that are refused before a cluster is looked for."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("pyarrow")

from wusum.inference import tag_command
from wusum.inference.bundle import embedded_bundle
from wusum.inference.columns import Columns
from wusum.inference.ray_blocks import BlockOptions, has_dates
from wusum.inference.ray_command import run_on_ray
from wusum.inference.ray_job import tag_with_ray
from wusum.inference.ray_sources import find_stored
from wusum.labels.errors import WusumError


def test_an_input_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="no such file or folder"):
        tag_with_ray([str(tmp_path / "none.jsonl")], str(tmp_path / "tags"))
    page = tmp_path / "page.txt"
    page.write_text("نص")
    with pytest.raises(WusumError, match="is no table"):
        tag_with_ray([str(page)], str(tmp_path / "tags"))
    with pytest.raises(WusumError, match="can be read on this machine only"):
        tag_with_ray(["-"], str(tmp_path / "tags"))
    assert not (tmp_path / "tags").exists()


@pytest.mark.parametrize(("dates", "found"), [((None, "2016-03-01"), True), ((None, "yesterday"), False)])
def test_one_date_among_the_first_articles_is_enough(
    dates: tuple[str | None, ...], found: bool, tmp_path: Path
) -> None:
    table = tmp_path / "a.jsonl"
    rows = [{"text": "نص عربي", "date": date} for date in dates]
    table.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    (source,) = find_stored([str(table)])
    assert has_dates(source, BlockOptions(Columns(), "auto", "date", 256)) == found


def test_an_output_that_exists_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "a.jsonl"
    table.write_text('{"text": "نص"}\n', encoding="utf-8")
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "mine").write_text("")
    with pytest.raises(WusumError, match="exists already; expected a new or an empty folder"):
        tag_with_ray([str(table)], str(tmp_path / "tags"), bundle=embedded_bundle())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--keep-columns -o tags", "--keep-columns does not go with --engine ray"),
        ("--force -o tags", "--force does not go with --engine ray"),
        ("--format jsonl -o tags", "--format tells the form of standard output"),
        ("", "writes a folder of Parquet"),
        ("-o -", "writes a folder of Parquet"),
        ("--labels nobody -o tags", "nobody"),
    ],
)
def test_options_that_do_not_go_with_ray_are_refused(options: str, told: str) -> None:
    parser = ArgumentParser()
    tag_command.COMMAND.add_arguments(parser)
    with pytest.raises(WusumError, match=told) as caught:
        run_on_ray(parser.parse_args(["a.jsonl", *options.split()]))
    assert "\n" not in str(caught.value)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(WusumError, match=r"pip install 'wusum\[ray\]'"):
        tag_with_ray(["a.jsonl"], str(tmp_path / "tags"))


def test_blocks_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="0 articles in a block; expected one at least"):
        tag_with_ray(["a.jsonl"], str(tmp_path / "tags"), block_articles=0)
