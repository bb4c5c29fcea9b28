"""Marks a run's folder with what determines the run, so that a call with another recipe does not go on from it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..labels.errors import WusumError

MARK = "recipe.json"


def claim_folder(folder: Path, run: Mapping[str, Any], may_differ: Collection[str] = ()) -> None:
    """Make a run's folder and mark it with what determines the run.

    Args:
        folder: the run's.
        run: recipe, and hashes of what it reads; ready for JSON.
        may_differ: dotted keys of ``run`` that a later call may change; the mark then gets the new values.

    Raises:
        WusumError: another run has marked it; the message names a key in which the two differ.

    Example:
        >>> claim_folder(Path("runs/pretrain"), asdict(config))  # doctest: +SKIP
    """
    mark = folder / MARK
    text = json.dumps(run, ensure_ascii=False, indent=1)
    if mark.exists():
        before, now = _flat(_read(mark)), _flat(json.loads(text))
        keys = [key for key in now | before if not any(key == one or key.startswith(f"{one}.") for one in may_differ)]
        absent = object()
        other = next((key for key in keys if before.get(key, absent) != now.get(key, absent)), None)
        if other is not None:
            found = f"the folder belongs to another run ({other} differs)"
            raise WusumError(f"{mark}: {found}; choose another output or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    scratch = mark.with_name(mark.name + ".part")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, mark)


def _read(mark: Path) -> Any:
    try:
        return json.loads(mark.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        return None  # damaged: equal to no run


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values below ``value`` by dotted keys."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    inner = (_flat(part, f"{prefix}.{key}" if prefix else str(key)) for key, part in value.items())
    return {key: found for part in inner for key, found in part.items()}
