"""Marks a run's folder with its recipe, so that a call with another one does not go on from it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..labels.errors import WusumError

MARK = "recipe.json"


def claim_folder(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Make a run's folder and mark it with what determines the run.

    Raises:
        WusumError: another recipe has marked it.

    Example:
        >>> claim_folder(Path("runs/pretrain"), asdict(config))  # doctest: +SKIP
    """
    mark = folder / MARK
    text = json.dumps(recipe, ensure_ascii=False, indent=1)
    if mark.exists():
        if mark.read_text(encoding="utf-8") != text:
            raise WusumError(f"{mark}: the folder belongs to another run; choose another output or delete it")
        return
    folder.mkdir(parents=True, exist_ok=True)
    scratch = mark.with_name(mark.name + ".part")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, mark)
