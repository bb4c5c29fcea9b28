"""Checkpoints that are whole or not there: written under another name, renamed when complete."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from ..labels.errors import WusumError
from .device import is_main_process, wait_for_all

_NAME = re.compile(r"checkpoint-(\d+)")
_PART = ".part"
SCORE = "micro_f1"  # what the best epoch has most of, on dev


def checkpoint_at(folder: Path, step: int) -> Path:
    """Return the folder of the checkpoint after ``step`` updates."""
    return folder / f"checkpoint-{step}"


def complete_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in ``folder``, oldest first; one that was half written has another name.

    Example:
        >>> complete_checkpoints(Path("no-such-folder"))
        []
    """
    steps = [int(name[1]) for path in folder.glob("checkpoint-*") if (name := _NAME.fullmatch(path.name))]
    return [checkpoint_at(folder, step) for step in sorted(steps)]


def last_complete_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in ``folder``, or None.

    Example:
        >>> last_complete_checkpoint(Path("no-such-folder")) is None
        True
    """
    return next(reversed(complete_checkpoints(folder)), None)


def remove_incomplete(folder: Path) -> None:
    """Delete what a killed process left half written or half deleted."""
    for path in folder.glob(f"checkpoint-*{_PART}"):
        shutil.rmtree(path, ignore_errors=True)


def keep_only(folder: Path, steps: Collection[int]) -> None:
    """Delete all checkpoints but the newest and those after the given numbers of updates."""
    kept = {checkpoint_at(folder, step) for step in steps}
    for path in complete_checkpoints(folder)[:-1]:
        if path not in kept:
            part = path.with_name(path.name + _PART)
            os.replace(path, part)  # killed while deleting, half a checkpoint must not look like one
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def new_checkpoint(folder: Path, step: int) -> Iterator[Path]:
    """Give every process a folder to write into; it becomes a checkpoint when all have written.

    Raises:
        WusumError: it could not be written, for example because the disk is full; nothing of it is left then.
    """
    final = checkpoint_at(folder, step)
    part = final.with_name(final.name + _PART)
    try:
        if is_main_process():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        wait_for_all()
        yield part
    # A full disk is an OSError to Python, a RuntimeError to torch.save and a SafetensorError to safetensors.
    except (OSError, RuntimeError, SafetensorError) as fault:
        free = shutil.disk_usage(folder).free / 2**20 if folder.is_dir() else 0
        shutil.rmtree(part, ignore_errors=True)
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        last = last_complete_checkpoint(folder)
        onward = f"goes on from {last.name}" if last else "begins anew"
        raise WusumError(
            f"{final}: cannot be written ({reason}), {free:.1f} MiB were free; "
            f"make room and start again, the run {onward}"
        ) from fault
    wait_for_all()
    if is_main_process():
        os.replace(part, final)
    wait_for_all()


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return what the Trainer noted about the run up to ``checkpoint``."""
    state: dict[str, Any] = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    return state


def evaluated_scores(history: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Return the dev score after each epoch by the number of updates, from the Trainer's log."""
    return {int(entry["step"]): float(entry[f"eval_{SCORE}"]) for entry in history if f"eval_{SCORE}" in entry}


def out_of_patience(scores: Collection[float], patience: int | None) -> bool:
    """Return whether so many of the last epochs brought no better dev score.

    Example:
        >>> out_of_patience([0.5, 0.7, 0.7, 0.6], patience=2)
        True
    """
    line = list(scores)
    return patience is not None and bool(line) and len(line) - 1 - line.index(max(line)) >= patience


def chosen_steps(scores: Mapping[int, float], average: int) -> list[int]:
    """Return after how many updates the weights were what stays: the best on dev, or those of the last epochs.

    Example:
        >>> chosen_steps({6: 0.5, 12: 0.7, 18: 0.6}, average=1), chosen_steps({6: 0.5, 12: 0.7, 18: 0.6}, average=2)
        ([12], [12, 18])
    """
    return list(scores)[-average:] if average > 1 else [max(scores, key=lambda step: scores[step])]


def needed_steps(scores: Mapping[int, float], average: int) -> set[int]:
    """Return which checkpoints the end of the run needs, as far as it has come; the best one is among them."""
    return {*chosen_steps(scores, 1), *chosen_steps(scores, average)} if scores else set()


def read_curve(folder: Path) -> list[dict[str, float]]:
    """Return the learning curve of the run whose checkpoints are in ``folder``, one entry for each epoch.

    An entry has ``epoch``, ``step`` (updates so far), ``train_loss`` (mean over the epoch's updates), ``dev_loss``,
    ``micro_f1``, ``macro_f1``, ``seconds`` and ``cpu_seconds`` (of the main process, evaluation included). It stands in
    the newest checkpoint, so that a resumed run's curve is whole; time that was spent on lost updates is not counted.

    Example:
        >>> read_curve(Path("no-such-folder"))
        []
    """
    last = last_complete_checkpoint(folder)
    curve: list[dict[str, float]] = []
    loss, seconds, cpu_seconds, logged, evaluated = 0.0, 0.0, 0.0, 0, 0
    for entry in read_state(last)["log_history"] if last else []:
        seconds += entry.get("seconds", 0.0)
        cpu_seconds += entry.get("cpu_seconds", 0.0)
        if "loss" in entry:
            loss += entry["loss"] * (entry["step"] - logged)
            logged = entry["step"]
        if f"eval_{SCORE}" in entry:
            step = entry["step"]
            known = {"epoch": entry["epoch"], "step": step, "train_loss": loss / (step - evaluated)}
            dev = {"dev_loss": entry["eval_loss"], SCORE: entry[f"eval_{SCORE}"], "macro_f1": entry["eval_macro_f1"]}
            curve.append(known | dev | {"seconds": seconds, "cpu_seconds": cpu_seconds})
            loss, seconds, cpu_seconds, evaluated = 0.0, 0.0, 0.0, step
    return curve


def load_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the network's weights of a checkpoint, on the CPU."""
    return load_file(checkpoint / SAFE_WEIGHTS_NAME)


def mean_weights(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of some networks' weights (Izmailov et al. 2018, equal weights).

    Example:
        >>> mean_weights([{"bias": torch.zeros(1)}, {"bias": torch.ones(1)}])["bias"].item()
        0.5
    """
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
