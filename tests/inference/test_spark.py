from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pandas = pytest.importorskip("pandas")

from wusum import inference  # noqa: E402
from wusum.inference import spark  # noqa: E402
from wusum.inference.choice import Choice  # noqa: E402
from wusum.inference.columns import Columns  # noqa: E402
from wusum.inference.manifest import MANIFEST, write_manifest  # noqa: E402
from wusum.inference.spark import SCHEMA, tag_batches  # noqa: E402
from wusum.inference.tagger import Tagger  # noqa: E402
from wusum.labels.errors import WusumError  # noqa: E402

NAMES = ["id", "topics", "actors", "scores", "notes", "error"]
ALL = Choice(all_scores=True)


def tag(frame: Any, bundle: Path, **options: Any) -> list[dict[str, Any]]:
    """Tag one frame and return the rows."""
    [tagged] = tag_batches(bundle, **options)(iter([frame]))
    rows: list[dict[str, Any]] = tagged.astype(object).where(tagged.notna(), None).to_dict("records")
    return rows


def locally(bundle: Path, articles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tag with the local engine and return the rows that Spark should give, with the scores of all labels."""
    predictions = Tagger.load(bundle, threads=1).predict(articles)
    return [prediction.to_dict() | {"error": None} for prediction in predictions]


@pytest.fixture(scope="module")
def articles(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("id", "title", "text")} for row in samples]


def test_a_frame_gets_the_tags_of_the_local_engine(tiny_bundle: Path, articles: list[dict[str, Any]]) -> None:
    rows = tag(pandas.DataFrame(articles), tiny_bundle, choice=ALL)
    assert list(rows[0]) == NAMES
    assert rows == locally(tiny_bundle, articles)
    assert len({row["scores"]["syria"] for row in rows}) > 5  # scores of real articles, not of nothing


def test_a_bad_row_is_told_in_its_place_and_costs_no_other(tiny_bundle: Path) -> None:
    good = "أعلنت وزارة الدفاع الروسية استئناف الضربات على مواقع التنظيم في سوريا."
    frame = pandas.DataFrame(
        {
            "id": [1.0, float("nan"), 3.0, 4.0, 5.0, 6.0],
            "text": pandas.Series([good, None, 17, "  ", "\ud800", good], dtype=object),
        }
    ).set_axis([7] * 6)
    rows = tag(frame, tiny_bundle)
    assert [row["id"] for row in rows] == ["1", None, "3", "4", "5", "6"]
    reasons = [row["error"] and row["error"].split(";")[0] for row in rows]
    half = "text: half a surrogate pair at character 0"
    assert reasons == [None, "text: missing", "text: is a number", "text: empty", half, None]
    assert [row["topics"] is None for row in rows] == [False, True, True, True, True, False]
    assert rows[0]["scores"] == rows[5]["scores"]


def test_columns_may_have_other_names_and_be_kept(tiny_bundle: Path, articles: list[dict[str, Any]]) -> None:
    frame = pandas.DataFrame(articles).rename(columns={"text": "body", "id": "key"})
    frame.insert(0, "date", range(len(frame)))
    rows = tag(frame, tiny_bundle, columns=Columns("body", id="key"), keep=["date"], choice=ALL)
    assert list(rows[0]) == ["date", *NAMES]
    assert [row.pop("date") for row in rows] == list(range(len(frame)))
    assert rows == locally(tiny_bundle, articles)


def test_clean_always_drops_page_furniture(tiny_bundle: Path) -> None:
    text = "\n".join(["تجدد القتال في حلب بين الجيش والمعارضة المسلحة مساء أمس." * 3, "شارك", "اقرأ أيضا", "التعليقات"])
    frame = pandas.DataFrame({"title": ["القتال في حلب"], "text": [text]})
    [plain], [cleaned] = (tag(frame, tiny_bundle, clean=clean) for clean in ("auto", "always"))
    assert not any("furniture" in note for note in plain["notes"])
    assert any("furniture" in note for note in cleaned["notes"])


def test_a_least_precision_leaves_out_labels(tiny_bundle: Path, articles: list[dict[str, Any]], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    manifest = json.loads((copy / MANIFEST).read_text("utf-8"))
    labels = list(manifest["thresholds"])
    manifest["thresholds"] = dict.fromkeys(labels, 0.000001)
    manifest["precision"] = dict.fromkeys(labels, [0.0] * 40 + [None] * 10)  # reached anywhere, from 0.9 on nowhere
    manifest["precision"]["syria"] = [0.0] * 50
    write_manifest(copy, manifest)

    def given(least: float | None) -> set[int]:
        rows = tag(pandas.DataFrame(articles), copy, min_precision=least)
        return {len(row["topics"]) + len(row["actors"]) for row in rows}

    # Of the same bundle in the same process: what a job asks for must not stay for the next one.
    assert [given(least) for least in (None, 0.9, 0.85, None)] == [{len(labels)}, {1}, {len(labels)}, {len(labels)}]
    with pytest.raises(WusumError, match=r"precision 0\.3: expected 0\.5 to 0\.99"):
        given(0.3)


def test_a_worker_loads_one_tagger_and_holds_one_frame(
    tiny_bundle: Path, articles: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    taken: list[int] = []
    load = Tagger.load

    def counted(*values: Any, **named: Any) -> Tagger:
        loaded.append(values)
        return load(*values, **named)

    def frames() -> Iterator[Any]:
        for number in range(3):
            taken.append(number)
            yield pandas.DataFrame(articles[number : number + 1])

    monkeypatch.setattr(spark.Tagger, "load", counted)
    spark._load.cache_clear()
    function = pickle.loads(pickle.dumps(tag_batches(tiny_bundle)))  # as a worker gets it
    tagged = function(frames())
    assert (taken, loaded) == ([], [])
    assert [next(tagged)["id"].tolist(), taken] == [[articles[0]["id"]], [0]]
    list(tagged)
    list(pickle.loads(pickle.dumps(function))(frames()))  # the next partition, in the same process
    assert len(loaded) == 1


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        (["body"], {}, "text: there 0 times among the columns (body); expected once"),
        (["text", "text"], {}, "text: there 2 times"),
        (["text"], {"columns": Columns(id="key")}, "key: there 0 times"),
        (["text"], {"keep": ["date"]}, "date: there 0 times"),
    ],
)
def test_a_frame_without_what_is_asked_for_stops_the_job(names: list[str], options: Any, told: str) -> None:
    frame = pandas.DataFrame([["نص"] * len(names)], columns=names)
    with pytest.raises(WusumError) as fault:
        list(tag_batches(**options)(iter([frame])))
    assert str(fault.value).startswith(told)


def test_what_is_kept_must_not_be_named_like_a_tag() -> None:
    with pytest.raises(WusumError, match="keep: notes: named like a column of the tags"):
        tag_batches(keep=["date", "notes"])


def test_a_label_that_the_model_does_not_know_stops_the_job(tiny_bundle: Path) -> None:
    with pytest.raises(WusumError, match="siria"):
        tag(pandas.DataFrame({"text": ["نص عربي"]}), tiny_bundle, choice=Choice(labels=("siria",)))


def test_spark_gives_the_tags_of_the_local_engine(
    tiny_bundle: Path, articles: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java; none is installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(inference.__file__).parents[2]))  # of Spark's workers
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "3",
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
    }
    builder = sql.SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        bad = {"id": "bad", "title": None, "text": None}
        given = [row | {"year": 2016} for row in [*articles[:4], bad, *articles[4:]]]
        frame = session.createDataFrame(given, "id string, title string, text string, year int").repartition(2)
        tagged = frame.mapInPandas(tag_batches(tiny_bundle, choice=ALL, keep=["year"]), f"year int, {SCHEMA}")
        tagged.write.parquet(str(tmp_path / "tags"))
        rows = [row.asDict() for row in session.read.parquet(str(tmp_path / "tags")).collect()]
    finally:
        session.stop()
    assert len([name for name in os.listdir(tmp_path / "tags") if name.endswith(".parquet")]) == 2
    assert {row.pop("year") for row in rows} == {2016}
    by_id = {row["id"]: row for row in rows}
    assert len(rows) == len(by_id) == len(given)
    assert by_id.pop("bad")["error"].startswith("text: missing")
    assert by_id == {row["id"]: row for row in locally(tiny_bundle, articles)}
