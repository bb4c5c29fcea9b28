"""Device, precision, and a process's place among others."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from wusum.labels import WusumError  # noqa: E402
from wusum.training.device import (  # noqa: E402
    has_bf16,
    is_main_process,
    join_processes,
    resolve_device,
    share_of_batch,
    uses_bf16,
    wait_for_all,
)


def test_a_gpu_asked_for_and_absent_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WusumError, match=r"^optimisation\.device: cuda, .*set optimisation\.device=auto or cpu$"):
        resolve_device("cuda")
    assert resolve_device("auto").type == "cpu"


def test_a_gpu_is_taken_where_there_is_one_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    assert [resolve_device(wanted).type for wanted in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # what `accelerate launch --cpu` sets
    assert resolve_device("auto").type == "cpu"


@pytest.mark.parametrize("hardware", [True, False])
def test_auto_precision_follows_the_hardware_of_the_chosen_device(
    monkeypatch: pytest.MonkeyPatch, hardware: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not hardware)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: hardware)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert has_bf16(torch.device("cpu")) is hardware
    assert uses_bf16("auto", "cpu") is hardware
    assert uses_bf16("auto", "cuda") is not hardware
    assert uses_bf16("bf16", "cpu")
    assert not uses_bf16("fp32", "cpu")


def test_alone_a_process_is_the_main_one() -> None:
    assert join_processes().num_processes == 1
    assert is_main_process()
    wait_for_all()


def test_a_batch_is_shared_evenly_or_refused() -> None:
    assert share_of_batch(16, 4) == 4
    with pytest.raises(WusumError, match=r"^optimisation\.batch_size: 16 articles over 3 processes"):
        share_of_batch(16, 3)
