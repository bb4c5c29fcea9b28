"""Encoders from the hub: what is fetched, what is refused, and a hub that misbehaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from wusum.inference import hub as hub_module
from wusum.labels.errors import WusumError

pytest.importorskip("safetensors", reason="needs the extra: pip install 'wusum[train]'")
from safetensors.numpy import save_file

from wusum.training import encoder

from ..fake_hub import COMMIT, REPOSITORY, HubState, running_hub, use_hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubState]:
    """A hub that knows one encoder, with a pickle beside its safetensors."""
    weights = {"bert.embeddings.word_embeddings.weight": np.ones((2, 3), np.float32)}
    save_file(weights, tmp_path / "weights")
    files = {
        "config.json": b'{"model_type": "bert", "vocab_size": 2}',
        "vocab.txt": b"[PAD]\n",
        "model.safetensors": (tmp_path / "weights").read_bytes(),
        "pytorch_model.bin": b"\x80\x02.",
    }
    with running_hub(files, tmp_path / "hub-cache", monkeypatch) as state:
        yield state


def test_a_hub_model_is_fetched_without_its_pickle_and_found_again_offline(
    hub: HubState, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = encoder.resolve_encoder(REPOSITORY)
    assert folder.name == COMMIT
    assert {file.name for file in folder.iterdir()} == hub.files.keys() - {"pytorch_model.bin"}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.calls.clear()
    assert encoder.resolve_encoder(REPOSITORY) == folder
    assert hub.calls == []


@pytest.mark.parametrize("silent", ["/tree/", "/resolve/"])
def test_a_hub_that_falls_silent_after_its_first_answer_ends_in_one_line(
    hub: HubState, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    monkeypatch.setattr(hub_module, "PATIENCE_S", 4.0)
    hub.silent = silent
    with pytest.raises(WusumError, match="the hub fell silent for 4 seconds") as fault:
        encoder.resolve_encoder(REPOSITORY)
    assert "\n" not in str(fault.value)


def test_after_a_silence_the_next_try_goes_on(hub: HubState, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hub_module, "PATIENCE_S", 4.0)
        hub.silent = "model.safetensors"
        with pytest.raises(WusumError, match="the hub fell silent"):
            encoder.resolve_encoder(REPOSITORY)
    hub.silent = None
    assert encoder.resolve_encoder(REPOSITORY).name == COMMIT


def test_a_hub_that_falls_silent_is_no_loss_where_the_cache_holds_the_model(
    hub: HubState, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = encoder.resolve_encoder(REPOSITORY)
    monkeypatch.setattr(hub_module, "TIMEOUT_S", 0.2)
    hub.silent = "/"
    assert encoder.resolve_encoder(REPOSITORY) == folder


def test_a_dropped_connection_is_taken_up_where_it_broke(hub: HubState, tmp_path: Path) -> None:
    # Whole pieces of 10 MB count as received.
    words = np.arange(2 * 1_600_000, dtype=np.float32).reshape(2, -1)
    save_file({"embeddings.word_embeddings.weight": words}, tmp_path / "large")
    hub.files["model.safetensors"] = (tmp_path / "large").read_bytes()
    hub.drop_at = 12_000_000
    folder = encoder.resolve_encoder(REPOSITORY)
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert hub.ranges == [f"bytes={10 * 1024 * 1024}-"]


def test_a_download_that_fails_tells_why(hub: HubState, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hub-cache").write_text("", "utf-8")
    with pytest.raises(WusumError, match=r"the download failed \((FileExists|NotADirectory)Error") as fault:
        encoder.resolve_encoder(REPOSITORY)
    assert "\n" not in str(fault.value)


def test_offline_the_hub_is_never_asked(hub: HubState, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": constants.ENDPOINT, "HF_HUB_CACHE": str(tmp_path / "empty")}
    code = f"from wusum.training.encoder import resolve_encoder; resolve_encoder({REPOSITORY!r})"
    environment = os.environ | offline | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert "not in the local cache, and HF_HUB_OFFLINE is set" in done.stderr.splitlines()[-1]
    assert hub.calls == []


def test_a_hub_model_with_a_pickle_only_is_refused_before_it_is_fetched(hub: HubState, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(WusumError, match=r"someone/small@refs/pr/N"):
        encoder.resolve_encoder(f"{REPOSITORY}@main")
    assert not (tmp_path / "hub-cache").exists()


def test_a_model_that_the_hub_does_not_have_is_told(hub: HubState) -> None:
    with pytest.raises(WusumError, match="not on the hub"):
        encoder.resolve_encoder("someone/else")


def test_a_hub_that_never_answers_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_hub(monkeypatch, silent.getsockname()[1], tmp_path)
        with pytest.raises(WusumError, match="the hub cannot be reached") as fault:
            encoder.resolve_encoder(REPOSITORY)
    assert "\n" not in str(fault.value)


def test_offline_without_a_cached_copy_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    use_hub(monkeypatch, 9, tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WusumError, match="HF_HUB_OFFLINE is set"):
        encoder.resolve_encoder(f"{REPOSITORY}@v1")
