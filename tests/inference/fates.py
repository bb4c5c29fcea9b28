"""Ends of a process at any of its calls that reach the disk, the input or the tagger."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from wusum.inference import checkpoint
from wusum.inference.sources import Source


class Kill(BaseException):
    """The end of the process: no handler of the program sees it."""


class Fate:
    """Ends the process at one of the calls that reach the disk, the input or the tagger."""

    def __init__(self) -> None:
        self.left = sys.maxsize
        self.fault: BaseException = Kill()

    def step(self) -> bool:
        self.left -= 1
        return self.left == 0

    def meet(self) -> None:
        if self.step():
            raise self.fault


def break_everywhere(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Let every write, flush to the disk, renaming, removal, reading and prediction be the last thing that happens."""
    write, replace, unlink, opened = checkpoint.write_synced, Path.replace, Path.unlink, Source.open

    def torn_write(file: BinaryIO, data: bytes) -> None:
        if fate.step():
            file.write(data[: random.Random(len(data)).randint(0, len(data))])
            raise fate.fault
        write(file, data)

    def before(call: Any) -> Any:
        def met(*arguments: Any, **named: Any) -> Any:
            fate.meet()
            result = call(*arguments, **named)
            fate.meet()
            return result

        return met

    monkeypatch.setattr(checkpoint, "write_synced", torn_write)
    monkeypatch.setattr(os, "fsync", lambda _: fate.meet())  # what did not reach the disk, lose_power takes away
    monkeypatch.setattr(Path, "replace", before(replace))
    monkeypatch.setattr(Path, "unlink", before(unlink))
    monkeypatch.setattr(Source, "open", before(opened))
