"""Where a run computes: the device, the precision, and the processes that share the work (through accelerate)."""

from __future__ import annotations

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from ..labels.errors import WusumError


def resolve_device(wanted: str = "auto") -> torch.device:
    """Return the kind of device that ``optimisation.device`` means here; ``auto`` takes the GPU where there is one.

    Raises:
        WusumError: a GPU is asked for and there is none.

    Example:
        >>> resolve_device("cpu").type
        'cpu'
    """
    # `accelerate launch --cpu` says it this way
    gpu = torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    if wanted == "cuda" and not gpu:
        raise WusumError("optimisation.device: cuda, but torch sees no GPU; set optimisation.device=auto or cpu")
    return torch.device("cuda" if gpu and wanted != "cpu" else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Return whether ``device`` has instructions that multiply in bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def uses_bf16(precision: str, device: str = "auto") -> bool:
    """Return whether a recipe's ``precision`` means bf16 on its ``device``; ``auto`` does where it is in hardware.

    Example:
        >>> uses_bf16("fp32")
        False
    """
    return has_bf16(resolve_device(device)) if precision == "auto" else precision == "bf16"


def join_processes(device: str = "auto") -> PartialState:
    """Return this process's place among those that ``accelerate launch`` started; alone, it is the main one.

    The first call opens the connection, so it must know the recipe's ``device``.
    """
    return PartialState(cpu=resolve_device(device).type == "cpu")


def is_main_process() -> bool:
    """Return whether this process writes the files and speaks.

    Example:
        >>> is_main_process()
        True
    """
    return bool(join_processes().is_main_process)


def wait_for_all() -> None:
    """Return when every process has come here."""
    join_processes().wait_for_everyone()


def leave_processes() -> None:
    """Close the connection that the processes share, if any: at exit its threads can abort the process.

    Each process calls it when it has nothing left to share; it still knows its place afterwards.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        join_processes().destroy_process_group()


def share_of_batch(batch_size: int, processes: int) -> int:
    """Return how many articles of a batch each process gets.

    Raises:
        WusumError: the batch does not divide evenly.

    Example:
        >>> share_of_batch(16, 2)
        8
    """
    if batch_size % processes:
        raise WusumError(
            f"optimisation.batch_size: {batch_size} articles over {processes} processes, expected a multiple of "
            f"{processes}; change it or the number of processes"
        )
    return batch_size // processes
