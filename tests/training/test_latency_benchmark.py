"""The latency benchmark: articles are as long as they say, and memory is that of the process that tags."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from wusum.inference.bundle import open_bundle
from wusum.inference.features import read_tokenizer
from wusum.inference.normalise import get_recipe
from wusum.labels.errors import WusumError
from wusum.training import latency_benchmark
from wusum.training.latency_benchmark import (
    Case,
    cold_starts,
    latencies,
    made_up,
    main,
    memory_curve,
    report_latencies,
    resident,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_texts_have_the_tokens_that_were_asked_for(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    tokenizer, normalise = read_tokenizer(bundle.tokenizer_path), get_recipe(bundle.input.recipe).apply
    for tokens in (100, 700):
        for text in made_up(bundle, tokens, 3):
            shorter = text.rpartition(" ")[0]
            counts = [len(tokenizer.encode(normalise(one), add_special_tokens=False)) for one in (text, shorter)]
            assert counts[0] >= tokens > counts[1]  # the last word is the one that reaches them


def test_every_case_is_timed_as_often(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_benchmark, "ENGINES", ("onnx",))
    bundle = open_bundle(tiny_bundle)
    texts = {tokens: made_up(bundle, tokens, 2) for tokens in (10, 20)}
    found = latencies(bundle, texts, [1], 3)
    assert {case: len(taken) for case, taken in found.items()} == {Case("onnx", 1, 10): 3, Case("onnx", 1, 20): 3}
    assert all(0 < second < 60 for taken in found.values() for second in taken)


def test_an_engine_that_is_not_installed_is_told_and_left_out(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    bundle = open_bundle(tiny_bundle)
    assert {case.engine for case in latencies(bundle, {10: made_up(bundle, 10, 1)}, [1], 1)} == {"onnx"}
    assert "openvino: left out; OpenVINO is not installed" in capsys.readouterr().out


def test_quantiles_are_in_milliseconds() -> None:
    seconds = {Case("onnx", 2, 300): [number / 1000 for number in range(1, 102)]}
    assert report_latencies(seconds, {300: 308.4}).splitlines()[1] == "onnx | 2 | 300 | 308 | 51.0 | 96.0"


@linux
def test_memory_of_a_start_is_not_that_of_the_process_that_asks(tiny_bundle: Path, tmp_path: Path) -> None:
    ballast = bytearray(600_000_000)
    assert resident(os.getpid()) > len(ballast)
    [(seconds, peak)] = cold_starts("اجتمع الوزراء في جنيف", ["--bundle", str(tiny_bundle)], 1, tmp_path)
    assert 0 < seconds < 120
    assert 20e6 < peak < len(ballast) * 0.7


def test_a_start_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="exit code 2, expected one article tagged"):
        cold_starts("نص", ["--bundle", str(tmp_path / "none")], 1, tmp_path)


@linux
def test_the_curve_has_ten_steps_and_its_run_tags_all(tiny_bundle: Path, tmp_path: Path) -> None:
    texts = ["اجتمع الوزراء في جنيف", "وصل الوفد إلى القاهرة"]
    found = memory_curve(texts, 1200, ["--bundle", str(tiny_bundle)], tmp_path)
    assert [done for done, _ in found] == list(range(120, 1201, 120))
    assert all(size > 10**6 for _, size in found)
    rows = (tmp_path / "tags.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1200
    assert json.loads(rows[-1])["id"] == "1199"


@linux
def test_a_curve_whose_run_fails_tells_why(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="exit code 2, expected 10 articles tagged; it said: wusum: "):
        memory_curve(["نص"], 10, ["--bundle", str(tmp_path / "none")], tmp_path)


@linux
def test_all_is_told(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(latency_benchmark, "ENGINES", ("onnx",))
    path = tmp_path / "figures.json"
    options = ["--repeats", "2", "--starts", "1", "--threads", "1", "--curve", "20", "--json", str(path)]
    main([*options, "--bundle", str(tiny_bundle)])
    said = capsys.readouterr().out
    assert len(re.findall(r"^onnx \| 1 \| (?:100|300|700) \|", said, re.MULTILINE)) == 3
    assert re.search(r"^onnx: cold start [\d.]+ s \(.*\), peak memory \d+ MB \(.*\), 1 runs$", said, re.MULTILINE)
    assert re.search(r"^20 articles: [\d.]+ MB$", said, re.MULTILINE)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [len(one["seconds"]) for one in found["latency"]] == [2, 2, 2]
    assert len(found["curve"]) == 10
