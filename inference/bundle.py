"""A model bundle on disk: one folder, read strictly or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ..labels import Taxonomy, load_taxonomy
from ..labels.errors import WusumError
from .features import InputConfig, SpecialTokens
from .normalise import get_recipe

FORMAT = 1
MANIFEST = "bundle.json"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
TAXONOMY = "taxonomy.yaml"
HASHED_FILES = (MODEL, TOKENIZER, TAXONOMY)
_FIELDS = {
    "format": int,
    "name": str,
    "version": str,
    "created": str,
    "licence": str,
    "input": dict,
    "tokens": dict,
    "thresholds": dict,
    "training": dict,
    "files": dict,
}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: everything that tagging needs except the running engine."""

    folder: Path
    name: str
    version: str
    taxonomy: Taxonomy
    input: InputConfig
    tokens: SpecialTokens
    thresholds: Mapping[str, float]
    training: Mapping[str, Any]

    @property
    def model_path(self) -> Path:
        """Path of the ONNX model."""
        return self.folder / MODEL

    @property
    def tokenizer_path(self) -> Path:
        """Path of the tokenizer."""
        return self.folder / TOKENIZER


def embedded_bundle() -> Path:
    """Return the folder of the bundle that the package carries."""
    return Path(str(resources.files("wusum.inference"))) / "default"


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle folder.

    Raises:
        WusumError: a file is missing or its hash differs, the format is newer than this wusum, a field is missing, the
            normalisation recipe is unknown, or a label has no threshold.

    Example:
        >>> open_bundle(embedded_bundle()).taxonomy.ids[0]  # doctest: +SKIP
        'counter_isis'
    """
    where = folder / MANIFEST
    manifest = _read_manifest(folder)
    _check_files(folder, manifest["files"])
    try:
        config = InputConfig(**manifest["input"])
        tokens = SpecialTokens(**manifest["tokens"])
    except TypeError as fault:
        message = f"{where}: input or tokens: {fault}; the bundle is damaged or made by another wusum"
        raise WusumError(message) from fault
    get_recipe(config.recipe)
    taxonomy = load_taxonomy(folder / TAXONOMY)
    thresholds = _check_thresholds(manifest["thresholds"], taxonomy, where)
    return Bundle(
        folder, manifest["name"], manifest["version"], taxonomy, config, tokens, thresholds, manifest["training"]
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    where = folder / MANIFEST
    if not where.is_file():
        raise WusumError(f"{where}: not found, expected a bundle folder as `wusum train` writes it; check --bundle")
    try:
        manifest = json.loads(where.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise WusumError(f"{where}: not JSON ({fault}); copy or train the bundle again") from fault
    if not isinstance(manifest, dict):
        raise WusumError(f"{where}: expected a JSON object; copy or train the bundle again")
    if isinstance(manifest.get("format"), int) and manifest["format"] > FORMAT:
        raise WusumError(f"{where}:format: {manifest['format']} is newer than {FORMAT}; upgrade wusum to read it")
    for field, kind in _FIELDS.items():
        if not isinstance(manifest.get(field), kind):
            raise WusumError(f"{where}:{field}: missing or not of type {kind.__name__}; the bundle is damaged")
    return manifest


def _check_files(folder: Path, hashes: Mapping[str, Any]) -> None:
    for name in HASHED_FILES:
        path = folder / name
        if name not in hashes:
            raise WusumError(f"{folder / MANIFEST}:files: no sha256 for {name}; the bundle is damaged")
        if not path.is_file():
            raise WusumError(f"{path}: not found; the bundle is not complete, copy or train it again")
        if file_sha256(path) != hashes[name]:
            raise WusumError(f"{path}: its sha256 differs from {MANIFEST}; the file is damaged or was changed")


def _check_thresholds(values: Mapping[str, Any], taxonomy: Taxonomy, where: Path) -> dict[str, float]:
    for label in taxonomy.ids:
        value = values.get(label)
        if not isinstance(value, float) or not 0 < value < 1:
            raise WusumError(f"{where}:thresholds:{label}: {value!r}, expected a number between 0 and 1")
    extra = sorted(set(values) - set(taxonomy.ids))
    if extra:
        raise WusumError(f"{where}:thresholds: {extra[0]!r} is no label of {TAXONOMY}; the two files do not match")
    return {label: float(values[label]) for label in taxonomy.ids}
