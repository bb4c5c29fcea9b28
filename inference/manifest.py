"""The manifest of a model bundle: a JSON object that names the other files, and vouches for them and for itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..labels.errors import WusumError

FORMAT = 4
MANIFEST = "bundle.json"
_SEAL = "sha256"
_FIELDS = {
    "format": int,
    "name": str,
    "version": str,
    "created": str,
    "licence": str,
    "input": dict,
    "tokens": dict,
    "ngrams": int,
    "task": str,
    "calibration": dict,
    "thresholds": dict,
    "training": dict,
    "files": dict,
    _SEAL: str,
}


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a bundle's manifest, with the sha256 of its own content.

    Example:
        >>> write_manifest(Path("runs/mine/bundle"), manifest)  # doctest: +SKIP
    """
    text = json.dumps(seal(manifest), ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def seal(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with the sha256 of its content, however that is laid out in a file.

    Example:
        >>> seal({"name": "mine", "sha256": "old"})["sha256"][:8]
        'b377afc0'
    """
    content = {field: value for field, value in manifest.items() if field != _SEAL}
    return content | {_SEAL: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a bundle's manifest.

    Raises:
        WusumError: it is missing, no JSON object, of another format, lacks a field, or its content is not what was
            written.

    Example:
        >>> read_manifest(Path("runs/mine/bundle"))["name"]  # doctest: +SKIP
        'mine'
    """
    where = folder / MANIFEST
    if not where.is_file():
        raise WusumError(f"{where}: not found, expected a bundle folder as `wusum train` writes it; check the name")
    try:
        manifest = json.loads(where.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:  # not UTF-8, not JSON, or a number of too many digits
        raise WusumError(f"{where}: not JSON ({fault}); copy or train the bundle again") from fault
    if not isinstance(manifest, dict):
        raise WusumError(f"{where}: expected a JSON object; copy or train the bundle again")
    _check_format(manifest.get("format"), where)
    for field, kind in _FIELDS.items():
        if not isinstance(manifest.get(field), kind):
            raise WusumError(f"{where}:{field}: missing or not of type {kind.__name__}; the bundle is damaged")
    if manifest != seal(manifest):
        found = "differs from the content, so the file is damaged or was edited"
        raise WusumError(f"{where}:{_SEAL}: {found}; copy or train the bundle again")
    return manifest


def _check_format(found: object, where: Path) -> None:
    if isinstance(found, int) and found > FORMAT:
        raise WusumError(f"{where}:format: {found} is newer than {FORMAT}; upgrade wusum to read it")
    if isinstance(found, int) and found < FORMAT:
        told = f"{found}, written by an older wusum, expected {FORMAT}"
        raise WusumError(f"{where}:format: {told}; train the bundle again, or read it with the wusum that wrote it")
