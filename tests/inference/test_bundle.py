"""A bundle is read whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wusum.inference.bundle import MANIFEST, embedded_bundle, open_bundle
from wusum.labels import WusumError, load_taxonomy


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def edit(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_a_whole_bundle_opens(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert set(opened.thresholds) == set(opened.taxonomy.ids)
    assert opened.input.window == 64


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
        (lambda m: m["thresholds"].update(atlantis=0.5), "'atlantis' is no label"),
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


def test_a_manifest_that_is_no_json_is_refused(bundle: Path) -> None:
    (bundle / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(WusumError, match="not JSON"):
        open_bundle(bundle)
