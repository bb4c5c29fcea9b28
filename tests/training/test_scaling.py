from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("pyarrow")

from wusum.labels.errors import WusumError
from wusum.training import engines_benchmark, scaling_benchmark
from wusum.training.scaling_plan import (
    Measured,
    Place,
    cores_at_network_limit,
    cores_per_reader,
    estimate,
    main,
    read_measured,
)

# 100 articles a core-second, 90 % of them with many cores; 2 kB in, 0.5 kB out.
ONE = Measured(100.0, 0.9, 2000.0, 500.0, 9000.0, 1000.0)


def test_a_plan_is_tagging_alone_while_network_and_readers_keep_up() -> None:
    found = estimate(10_000_000, Place(cores=100, network=10), ONE)
    assert found.core_hours == pytest.approx(10_000_000 / 90 / 3600)
    assert found.hours == pytest.approx(found.core_hours / 100)
    assert (found.limit, found.files) == ("tagging", 1000)
    assert (found.bytes_in, found.bytes_out) == (20e9, 5e9)
    assert found.bytes_per_second == pytest.approx(25e9 / (found.hours * 3600))


def test_one_core_loses_nothing_to_others() -> None:
    assert estimate(3600 * 100, Place(cores=1, network=10), ONE).hours == pytest.approx(1)


def test_the_limit_moves_to_the_network_at_the_number_of_cores_that_is_told() -> None:
    full = cores_at_network_limit(1, ONE)
    assert full == pytest.approx(1e9 / 8 / (90 * 2000))
    limits = [estimate(10**9, Place(round(full * share), 1), ONE).limit for share in (0.99, 1.01)]
    assert limits == ["tagging", "network"]
    beyond = [estimate(10**9, Place(round(full * share), 1), ONE).hours for share in (2, 4)]
    assert beyond[0] == beyond[1]  # more cores bring nothing any more


def test_the_limit_moves_to_the_reader_at_the_number_of_cores_that_is_told() -> None:
    assert cores_per_reader(ONE) == pytest.approx(100)
    limits = [estimate(10**9, Place(cores, 100, readers=1), ONE).limit for cores in (99, 101)]
    assert limits == ["tagging", "reading"]


@pytest.mark.parametrize("value", [0, -1, None, "fast", True, float("nan")])
def test_a_plan_takes_no_input_that_was_not_measured(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(vars(ONE) | {"efficiency": value}), encoding="utf-8")
    with pytest.raises(WusumError, match=r"measured.json:efficiency: .* expected a positive number"):
        read_measured(path)


def test_a_plan_without_a_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="scaling_benchmark --json"):
        read_measured(tmp_path / "none.json")


def test_two_workers_are_measured_and_the_plan_reads_it(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "measured.json"
    options = ["--count", "6", "--rounds", "2", "--bundle", str(tiny_bundle), "--json", str(path)]
    scaling_benchmark.main(options)
    said = capsys.readouterr().out
    assert "6 articles of" in said
    assert "2 workers:" in said
    assert "efficiency, control:" in said
    found = json.loads(path.read_text(encoding="utf-8"))
    assert {name: {k: len(v) for k, v in rates.items()} for name, rates in found["rates"].items()} == {
        "tagging": {"1": 2, "2": 2},
        "control": {"1": 2, "2": 2},
    }
    main([str(path), "--articles", "10000000", "--cores", "2", "64"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:4]] == ["2", "64"]
    measured = read_measured(path)
    assert f"{estimate(10_000_000, Place(2, 10), measured).hours:,.2f}" in lines[2]


def test_fewer_articles_than_asked_for_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "articles.jsonl"
    path.write_text(json.dumps({"text": "نص"}) + "\n", encoding="utf-8")
    with pytest.raises(WusumError, match=r"1 articles, expected 2; ask for fewer by --count"):
        scaling_benchmark.read_articles(path, 2)


def test_engines_race_over_the_same_articles(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--engines", "local", "--count", "20", "--rounds", "2", "--bundle", str(tiny_bundle)]
    engines_benchmark.main(options)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["local", "local"]


def test_an_engine_that_loses_articles_is_no_engine() -> None:
    with pytest.raises(WusumError, match="half: tagged 5 articles of 10"):
        engines_benchmark.race({"all": lambda _: 10, "half": lambda _: 5}, Path("articles.parquet"), 10, 1)
