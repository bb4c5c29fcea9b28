"""A bundle is read whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wusum.inference.bundle import embedded_bundle, open_bundle
from wusum.inference.manifest import FORMAT, MANIFEST, file_sha256, write_manifest
from wusum.labels import WusumError, load_taxonomy


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def edit(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    write_manifest(bundle, manifest)


def one_scale(manifest: dict[str, Any]) -> dict[str, Any]:
    return {label: {"scale": 2.0, "shift": 0.0} for label in manifest["calibration"]}


def test_a_whole_bundle_opens(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert set(opened.thresholds) == set(opened.taxonomy.ids)
    assert opened.input.window == 64
    assert opened.scoring.curves is not None
    assert len(opened.scoring.curves) == len(opened.taxonomy)
    assert [one["asked"] for one in opened.training["dev"]["min_precision"]] == [0.8, 0.85, 0.9, 0.95]


def test_a_bundle_of_an_older_version_has_no_precision_curves(bundle: Path) -> None:
    edit(bundle, lambda m: m.pop("precision"))
    assert open_bundle(bundle).scoring.curves is None


def test_a_bundle_that_gives_one_label_needs_no_thresholds(bundle: Path) -> None:
    edit(bundle, lambda m: m.update(task="single_label", calibration=one_scale(m), thresholds={}, precision={}))
    opened = open_bundle(bundle)
    assert opened.scoring.task == "single_label"
    assert opened.thresholds == {}


def test_the_embedded_bundle_opens_and_is_small() -> None:
    opened = open_bundle(embedded_bundle())
    assert opened.taxonomy.ids == load_taxonomy().ids
    assert sum(path.stat().st_size for path in opened.folder.iterdir()) <= 25_000_000


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "taxonomy.yaml"])
def test_a_flipped_bit_is_refused(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(WusumError, match=rf"{name}: its sha256 differs"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "tokenizer.json", "taxonomy.yaml"])
def test_a_missing_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(WusumError, match=rf"{name}: not found"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["thresholds"].pop("syria"), "thresholds:syria"),
        (lambda m: m["thresholds"].update(syria=1.5), "thresholds:syria"),
        (lambda m: m["thresholds"].update(atlantis=0.5), "thresholds: 'atlantis' is not expected"),
        (lambda m: m["calibration"].pop("syria"), "calibration:syria: None"),
        (lambda m: m["calibration"].update(atlantis={"scale": 1.0, "shift": 0.0}), "calibration: 'atlantis'"),
        (lambda m: m["calibration"]["syria"].update(scale=float("nan")), "calibration:syria: .*expected a scale"),
        (lambda m: m["calibration"]["syria"].update(scale=0.0), "calibration:syria: .*expected a scale"),
        (lambda m: m["calibration"]["syria"].update(shift=float("inf")), "calibration:syria: .*finite shift"),
        (lambda m: m["calibration"]["syria"].update(shift=True), "calibration:syria: .*finite shift"),
        (lambda m: m["calibration"]["syria"].update(slope=1.0), "calibration:syria: .*expected scale and shift"),
        (lambda m: m.pop("calibration"), ":calibration: missing"),
        (lambda m: m.update(task="ranking"), ":task: 'ranking', expected one of multi_label, single_label"),
        (lambda m: m.update(task="single_label", calibration=one_scale(m)), "'counter_isis' is not expected"),
        (lambda m: m.update(task="single_label", thresholds={}), "one common scale and no shift"),
        (lambda m: m["precision"].pop("syria"), "precision:syria: missing or wrong"),
        (lambda m: m["precision"]["syria"].pop(), "precision:syria: .*50 ascending thresholds"),
        (lambda m: m["precision"].update(syria=[0.9] * 49 + [0.8]), "precision:syria"),
        (lambda m: m["precision"].update(syria=[None] * 49 + [0.8]), "precision:syria"),
        (lambda m: m["precision"].update(syria=[0.5] * 49 + [1.5]), "precision:syria"),
        (lambda m: m["precision"].update(atlantis=[None] * 50), "precision: 'atlantis' is not expected"),
        (lambda m: m.update(precision=None), ":precision: None, expected a curve for each label"),
        (
            lambda m: m.update(task="single_label", calibration=one_scale(m), thresholds={}),
            "precision: 'counter_isis' is not expected",
        ),
        (lambda m: m["files"].update({"../model.onnx": "0"}), "'../model.onnx' is no plain file name"),
        (lambda m: m.update(format=1), f"1, written by an older wusum, expected {FORMAT}; train the bundle again"),
        (lambda m: m["input"].update(recipe="unheard-of"), "unheard-of"),
        (lambda m: m["input"].update(surprise=1), "surprise"),
        (lambda m: m.update(format=99), "99 is newer"),
        (lambda m: m.pop("tokens"), ":tokens: missing"),
        (lambda m: m["files"].pop("model.onnx"), "no sha256 for model.onnx"),
    ],
)
def test_a_manifest_with_a_fault_is_refused(
    bundle: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    edit(bundle, change)
    with pytest.raises(WusumError, match=message) as caught:
        open_bundle(bundle)
    assert "\n" not in str(caught.value)


def test_a_file_beyond_those_that_serve_may_be_missing_but_not_changed(bundle: Path) -> None:
    extra = bundle / "extra.safetensors"
    extra.write_bytes(b"weights")
    edit(bundle, lambda manifest: manifest["files"].update({extra.name: file_sha256(extra)}))
    open_bundle(bundle)
    extra.write_bytes(b"weightz")
    with pytest.raises(WusumError, match=r"extra\.safetensors: its sha256 differs"):
        open_bundle(bundle)
    extra.unlink()
    open_bundle(bundle)


def test_a_manifest_that_is_no_json_is_refused(bundle: Path) -> None:
    (bundle / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(WusumError, match="not JSON"):
        open_bundle(bundle)
