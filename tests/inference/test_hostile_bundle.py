"""A bundle with a flipped bit is refused in one sentence."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wusum.inference import tag_command
from wusum.inference.bundle import open_bundle
from wusum.inference.manifest import MANIFEST
from wusum.labels import WusumError

from .hostile import STORY
from .tag_runs import LOAD_TAGGER, Capture, run, use_stub


@pytest.fixture(scope="module")
def copied(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("flipped") / "bundle"))


@contextlib.contextmanager
def flipped(path: Path, place: float, bit: int) -> Iterator[None]:
    """Flip one bit of a file for a while."""
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[int(place * len(content))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        yield
    finally:
        path.write_bytes(content)


PLACES, BITS = st.floats(0, 1, exclude_max=True), st.integers(0, 7)


def fault_of(bundle: Path) -> str | None:
    """The one sentence with which a bundle is refused, None where it opens."""
    try:
        open_bundle(bundle)
    except WusumError as fault:
        assert "\n" not in str(fault)
        assert str(fault).startswith(str(bundle))
        return str(fault)
    return None


@settings(max_examples=60, deadline=None)
@given(st.data(), PLACES, BITS)
def test_a_flipped_bit_in_a_file_of_a_bundle_is_told_with_its_name(
    copied: Path, data: st.DataObject, place: float, bit: int
) -> None:
    names = sorted(set(open_bundle(copied).files) - {MANIFEST})
    assert {"model.onnx", "taxonomy.yaml", "tokenizer.json"} <= set(names)
    name = data.draw(st.sampled_from(names))
    with flipped(copied / name, place, bit):
        assert f"{name}: its sha256 differs" in (fault_of(copied) or "opens")
    assert fault_of(copied) is None


@settings(max_examples=200, deadline=None)
@given(PLACES, BITS)
def test_a_flipped_bit_in_a_manifest_is_told_in_one_sentence_or_changes_nothing(
    copied: Path, place: float, bit: int
) -> None:
    whole = open_bundle(copied)
    with flipped(copied / MANIFEST, place, bit):
        if fault_of(copied) is None:
            assert open_bundle(copied) == whole


def test_a_damaged_bundle_ends_the_command_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, copied: Path
) -> None:
    use_stub(monkeypatch)
    monkeypatch.setattr(tag_command, "_load_tagger", LOAD_TAGGER)
    (tmp_path / "a.txt").write_text(STORY, encoding="utf-8")
    with flipped(copied / "model.onnx", 0.5, 3):
        assert run("--bundle", copied, tmp_path / "a.txt", "-o", tmp_path / "tags.jsonl") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "model.onnx: its sha256 differs" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
