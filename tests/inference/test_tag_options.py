"""Options of `wusum tag` that choose what is told, and wrong ones."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wusum.inference import bundle_engine, cli, job, tag_command
from wusum.inference.choice import Choice
from wusum.inference.engine import Engine, EngineName
from wusum.inference.manifest import write_manifest
from wusum.inference.prediction import Prediction
from wusum.inference.tag_options import RAY_ONLY

from .tag_runs import LOAD_TAGGER, Capture, keys, refused, run, tag

pytestmark = pytest.mark.usefixtures("stub")


def test_labels_top_and_scores_are_chosen(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}', encoding="utf-8")

    def tags(*options: str) -> tuple[list[str], dict[str, float]]:
        assert run(tmp_path / "a.jsonl", *options) == 0
        row = json.loads(capsys.readouterr().out)
        return row["topics"] + row["actors"], row["scores"]

    assert tags() == (
        ["diplomacy", "terrorism", "russia"],
        {"diplomacy": 0.9, "terrorism": 0.6, "russia": 0.7},
    )
    assert tags("--top", "2") == (["diplomacy", "russia"], {"diplomacy": 0.9, "russia": 0.7})
    assert tags("--labels", "terrorism, isis") == (["terrorism"], {"terrorism": 0.6})
    assert tags("--labels", "terrorism,isis", "--all-scores") == (
        ["terrorism"],
        {"terrorism": 0.6, "isis": 0.1},
    )
    assert len(tags("--all-scores")[1]) == 4
    assert run(tmp_path / "a.jsonl", "--labels", "rusia") == 2
    assert "did you mean 'russia'?" in capsys.readouterr().err
    assert Choice(top=1).apply(Prediction((), (), {"isis": 0.1})).scores == {}


def test_options_and_paths_come_in_any_order(tmp_path: Path, page: Path, capsys: Capture) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"key": 5, "body": "نص", "head": "عنوان"}', encoding="utf-8")
    argv: list[str | Path] = [
        path,
        "--text-field",
        "body",
        page,
        "--title-field=head",
        "--id-field",
        "key",
        "--threads",
        "2",
        path,
    ]
    code, rows, err = tag(capsys, *argv)
    assert (code, keys(rows), err) == (0, [5, str(page), 5], [])


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "tag: the following arguments are required: PATH; see: wusum tag --help"),
        (["a", "--threads", "0"], "'0' is no number of threads; expected 1 to 1024"),
        (["a", "--threads", "٣x"], "is no number of threads"),
        (["a", "--min-precision", "0.4"], "'0.4' is no precision that can be asked for; expected 0.5 to 0.99"),
        (["a", "--min-precision", "nan"], "'nan' is no precision"),
        (["a", "--min-precision", "much"], "'much' is no precision"),
        (["a", "--evidence", "--format", "table"], "--format table has no room for --evidence"),
        (["a", "--workers", "0"], "'0' is no number of workers; expected one, or the fewest and the most, 2-8"),
        (["a", "--workers", "8-2"], "'8-2' is no number of workers"),
        (["a", "--workers", "all"], "'all' is no number of workers"),
        (["a", "--block-articles", "0"], "'0' is no number of articles; expected 1 to 1000000"),
        (["a", "--partition-by", "week"], "invalid choice: 'week'"),
        (["a", "--workers", "2"], "--workers goes with --engine ray only; expected none; leave it out"),
        (["a", "--engine", "openvino", "--partition-by", "none"], "--partition-by goes with --engine ray only"),
        (["a", "--date-column", "day"], "--date-column goes with --engine ray only"),
        (["a", "--block-articles", "9"], "--block-articles goes with --engine ray only"),
        (["a", "--engine", "abacus"], "invalid choice: 'abacus'"),
        (["a", "--format", "xml"], "invalid choice: 'xml'"),
        (["a", "--colour"], "unrecognized arguments: --colour"),
        (["a", "-o", "b", "--format", "table"], "--format table goes to the screen only"),
    ],
)
def test_wrong_usage_is_one_line(capsys: Capture, argv: list[str], expected: str) -> None:
    code, rows, err = tag(capsys, *argv)
    assert (code, rows, len(err)) == (2, [], 1)
    assert expected in err[0]


@pytest.mark.parametrize(
    ("argv", "given"),
    [
        ([], {}),
        (
            ["--workers", "2", "--partition-by", "month", "--date-column", "day", "--block-articles", "9"],
            {"workers": 2, "partition_by": "month", "date_column": "day", "block_articles": 9},
        ),
        (["--workers", "2-8", "--partition-by", "none"], {"workers": (2, 8), "partition_by": None}),
        (["--workers", "3-3"], {"workers": 3}),
    ],
)
def test_options_of_ray_reach_the_job(argv: list[str], given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    from wusum.inference import ray_command
    from wusum.inference.ray_job import RayTally, tag_with_ray

    calls: list[dict[str, Any]] = []

    def noted(*values: Any, **named: Any) -> RayTally:
        inspect.signature(tag_with_ray).bind(*values, **named)
        calls.append(named)
        return RayTally(1, 0)

    monkeypatch.setattr(ray_command, "tag_with_ray", noted)
    assert run("a.jsonl", "--engine", "ray", "-o", "tags", *argv) == 0
    told = {name: value for name, value in calls[0].items() if name in RAY_ONLY}
    assert told == given


def test_ray_tells_labels_that_never_had_the_precision(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    pytest.importorskip("pyarrow")
    from wusum.inference import ray_command
    from wusum.inference.ray_job import RayTally

    monkeypatch.setattr(ray_command, "tag_with_ray", lambda *_, **__: RayTally(1, 0, ("nato", "isis")))
    assert run("a.jsonl", "--engine", "ray", "-o", "tags", "--min-precision", "0.9") == 0
    assert "--min-precision 0.9: not given, because they never reached it on dev: nato, isis" in capsys.readouterr().err


def test_help_says_what_a_path_may_be(capsys: Capture) -> None:
    assert cli.main(["tag", "--help"]) == 0
    out = capsys.readouterr().out
    assert "every .txt and .html file below it, in the order of names; if there is none, every .jsonl" in out


@pytest.fixture
def real(stub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_command, "_load_tagger", LOAD_TAGGER)


def with_curves(bundle: Path, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a bundle whose manifest is changed."""
    copy = Path(shutil.copytree(bundle, folder / "bundle"))
    manifest = json.loads((copy / "bundle.json").read_text("utf-8"))
    change(manifest)
    write_manifest(copy, manifest)
    return copy


@pytest.mark.usefixtures("real")
def test_a_least_precision_raises_thresholds_and_names_what_never_reached_it(
    tmp_path: Path, tiny_bundle: Path, page: Path, capsys: Capture
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        ids = list(manifest["thresholds"])
        manifest["thresholds"] = dict.fromkeys(ids, 0.000001)
        # Reached anywhere up to 0.89; from 0.90 on at no probability of this model, and by two labels nowhere.
        manifest["precision"] = dict.fromkeys(ids, [0.0] * 40 + [1.0] * 10)
        manifest["precision"] |= dict.fromkeys(("russia", "isis"), [0.0] * 40 + [None] * 10)

    bundle = with_curves(tiny_bundle, tmp_path, change)

    def given(*options: str) -> tuple[int, list[str]]:
        code, (row,), err = tag(capsys, "--bundle", bundle, page, *options)
        assert code == 0
        return len(row["topics"]) + len(row["actors"]), err

    labels = len(json.loads((bundle / "bundle.json").read_text("utf-8"))["thresholds"])
    assert given() == (labels, [])
    assert given("--min-precision", "0.89") == (labels, [])
    told = "wusum: --min-precision 0.9: not given, because they never reached it on dev: "
    count, (line,) = given("--min-precision", "0.9")
    assert count == 0
    assert line.startswith(told)
    assert set(line.removeprefix(told).split(", ")) == {"russia", "isis"}
    assert len(given("--min-precision", "0.895")[1]) == 1  # between two precisions the higher one counts


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.pop("precision"), "does not tell its precision on dev; train it or write it again"),
        (
            lambda m: m.update(
                task="single_label",
                thresholds={},
                precision={},
                calibration={label: {"scale": 1.0, "shift": 0.0} for label in m["calibration"]},
            ),
            "this one gives exactly one; leave the precision out",
        ),
    ],
)
def test_a_bundle_that_cannot_promise_a_precision_is_one_sentence(
    tmp_path: Path,
    tiny_bundle: Path,
    page: Path,
    capsys: Capture,
    change: Callable[[dict[str, Any]], Any],
    expected: str,
) -> None:
    bundle = with_curves(tiny_bundle, tmp_path, change)
    told = refused(capsys, "--bundle", bundle, page, "--min-precision", "0.9", "-o", tmp_path / "tags.jsonl")
    assert told.startswith("wusum: tag: --min-precision: ")
    assert expected in told
    assert not (tmp_path / "tags.jsonl").exists()


def test_evidence_is_told_for_the_labels_that_are(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "abc"}', encoding="utf-8")
    code, (row,), err = tag(capsys, tmp_path / "a.jsonl", "--evidence", "--labels", "russia")
    assert (code, err) == (0, [])
    assert row["evidence"] == {"russia": [{"field": "text", "start": 0, "end": 1, "text": "a", "weight": 0.5}]}
    assert "evidence" not in tag(capsys, tmp_path / "a.jsonl")[1][0]


@pytest.mark.usefixtures("real")
def test_the_engine_is_chosen_and_decides_about_the_output(
    tmp_path: Path, tiny_bundle: Path, page: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    opened = bundle_engine.open_engine

    def watched(name: EngineName, *values: Any) -> Engine:
        asked.append(name)
        return opened("onnx", *values)

    monkeypatch.setattr(bundle_engine, "open_engine", watched)
    begin = ["--bundle", tiny_bundle, "-o", tmp_path / "tags.jsonl", "--threads", "1", page]
    monkeypatch.setattr(job.FileJob, "finish", interrupt)
    assert run(*begin, "--engine", "openvino") == 130
    assert asked == ["openvino"]
    assert "began with another --engine" in refused(capsys, *begin, "--resume")


@pytest.mark.usefixtures("real")
def test_a_job_goes_on_with_another_number_of_threads(
    tmp_path: Path, tiny_bundle: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert run("--bundle", tiny_bundle, "-o", whole, "--threads", "1", page) == 0
    with monkeypatch.context() as patch:
        patch.setattr(job.FileJob, "finish", interrupt)
        assert run("--bundle", tiny_bundle, "-o", cut, "--threads", "1", page) == 130
    assert run("--bundle", tiny_bundle, "-o", cut, "--threads", "3", "--resume", page) == 0
    assert cut.read_bytes() == whole.read_bytes()


def interrupt(_: job.FileJob) -> None:
    raise KeyboardInterrupt
