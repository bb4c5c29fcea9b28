"""A model bundle on disk: one folder, read strictly or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from ..labels import Taxonomy, load_taxonomy
from ..labels.errors import WusumError
from .features import InputConfig, SpecialTokens
from .manifest import MANIFEST, file_sha256, read_manifest
from .normalise import get_recipe
from .scoring import PRECISIONS, Scoring, Task

Section = TypeVar("Section")
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
TAXONOMY = "taxonomy.yaml"
NGRAMS = "ngrams.safetensors"
SERVING_FILES = (MODEL, TOKENIZER, TAXONOMY)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: everything that tagging needs except the running engine.

    Attributes:
        folder: where it lies.
        name: its name.
        version: its version.
        taxonomy: the label scheme it was trained on.
        input: how text becomes token windows.
        tokens: the ids that frame a window.
        ngrams: pieces of the longest n-grams whose table is served beside the network; 0 where there is none.
        scoring: from logits to decisions.
        training: what the bundle tells of its training: recipe, data, dev scores, versions.
        files: names of the files that are there and undamaged.
    """

    folder: Path
    name: str
    version: str
    taxonomy: Taxonomy
    input: InputConfig
    tokens: SpecialTokens
    ngrams: int
    scoring: Scoring
    training: Mapping[str, Any]
    files: frozenset[str]

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The threshold of every label; empty for a bundle that gives each article exactly one label."""
        return dict(zip(self.taxonomy.ids, self.scoring.thresholds, strict=False))

    def with_precision(self, least: float) -> tuple[Bundle, tuple[str, ...]]:
        """Return the bundle with thresholds for a precision on dev, and the labels that never reached it.

        These are not given any more. See :meth:`~wusum.inference.scoring.Scoring.with_precision` for what it raises.
        """
        scoring = self.scoring.with_precision(least)
        pairs = zip(self.taxonomy.ids, scoring.thresholds, strict=True)
        never = tuple(label for label, threshold in pairs if math.isinf(threshold))
        return replace(self, scoring=scoring), never

    @property
    def model_path(self) -> Path:
        """Path of the ONNX model."""
        return self.folder / MODEL

    @property
    def ngrams_path(self) -> Path:
        """Path of the table of n-grams, where there is one."""
        return self.folder / NGRAMS

    @property
    def tokenizer_path(self) -> Path:
        """Path of the tokenizer."""
        return self.folder / TOKENIZER


def needed_files(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the files that serving needs, by a bundle's manifest.

    Example:
        >>> needed_files({"ngrams": 2})
        ('model.onnx', 'tokenizer.json', 'taxonomy.yaml', 'ngrams.safetensors')
    """
    return (*SERVING_FILES, NGRAMS) if manifest["ngrams"] else SERVING_FILES


def embedded_bundle() -> Path:
    """Return the folder of the bundle that the package carries."""
    return Path(str(resources.files("wusum.inference"))) / "default"


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle folder.

    Raises:
        WusumError: a file that serving needs is missing, the hash of any file, the manifest's own too, differs, the
            format is another one, a field is missing, the normalisation recipe is unknown, or a label has no threshold
            or no calibration.

    Example:
        >>> open_bundle(embedded_bundle()).taxonomy.ids[0]  # doctest: +SKIP
        'counter_isis'
    """
    where = folder / MANIFEST
    manifest = read_manifest(folder)
    ngrams: int = manifest["ngrams"]
    if isinstance(ngrams, bool) or ngrams < 0:
        raise WusumError(f"{where}:ngrams: {ngrams!r}, expected a number from 0; the bundle is damaged")
    files = _check_files(folder, manifest["files"], needed_files(manifest))
    config = _read_section(InputConfig, manifest["input"], f"{where}:input")
    tokens = _read_section(SpecialTokens, manifest["tokens"], f"{where}:tokens")
    get_recipe(config.recipe)
    taxonomy = load_taxonomy(folder / TAXONOMY)
    scoring = _read_scoring(manifest, taxonomy, where)
    name, version, training = (manifest[field] for field in ("name", "version", "training"))
    return Bundle(folder, name, version, taxonomy, config, tokens, ngrams, scoring, training, files)


def _read_section(kind: type[Section], values: Mapping[str, Any], where: str) -> Section:
    """Build a dataclass whose fields are texts and whole numbers; nothing may lack, be added, or be of another type."""
    hints = get_type_hints(kind)
    for name in sorted(hints.keys() ^ values.keys()):
        what = "missing" if name in hints else "unknown"
        raise WusumError(f"{where}:{name}: {what}; the bundle is damaged or made by another wusum")
    for name, value in values.items():
        expected = int if hints[name] is int else str
        if type(value) is not expected:
            raise WusumError(f"{where}:{name}: {value!r}, expected {expected.__name__}; the bundle is damaged")
    return kind(**values)


def _check_files(folder: Path, hashes: Mapping[str, Any], needed: Sequence[str]) -> frozenset[str]:
    """Check every file that the manifest names; those that serving can do without may have been taken out."""
    for name in needed:
        if name not in hashes:
            raise WusumError(f"{folder / MANIFEST}:files: no sha256 for {name}; the bundle is damaged")
        if not (folder / name).is_file():
            raise WusumError(f"{folder / name}: not found; the bundle is not complete, copy or train it again")
    strange = [name for name in hashes if Path(name).name != name]
    if strange:
        raise WusumError(f"{folder / MANIFEST}:files: {strange[0]!r} is no plain file name; the bundle is damaged")
    present = frozenset(name for name in hashes if (folder / name).is_file())
    for name in sorted(present):
        if file_sha256(folder / name) != hashes[name]:
            raise WusumError(f"{folder / name}: its sha256 differs from {MANIFEST}; the file is damaged or was changed")
    return present


def _read_scoring(manifest: Mapping[str, Any], taxonomy: Taxonomy, where: Path) -> Scoring:
    task: Task = manifest["task"]
    if task not in get_args(Task):
        raise WusumError(f"{where}:task: {task!r}, expected one of {', '.join(get_args(Task))}; the bundle is damaged")
    scale, shift = _read_calibration(manifest["calibration"], taxonomy, where)
    if task == "single_label" and (len(set(scale)) > 1 or any(shift)):
        raise WusumError(f"{where}:calibration: with single_label expected one common scale and no shift; train again")
    thresholds = _read_thresholds(manifest["thresholds"], task, taxonomy, where)
    return Scoring(task, scale, shift, thresholds, _read_curves(manifest, task, taxonomy, where))


def _read_calibration(
    values: Mapping[str, Any], taxonomy: Taxonomy, where: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for label in taxonomy.ids:
        entry = values.get(label)
        if not isinstance(entry, dict) or entry.keys() != {"scale", "shift"}:
            raise WusumError(f"{where}:calibration:{label}: {entry!r}, expected scale and shift; the bundle is damaged")
        if not _is_number(entry["scale"]) or entry["scale"] <= 0 or not _is_number(entry["shift"]):
            raise WusumError(f"{where}:calibration:{label}: {entry!r}, expected a scale above 0 and a finite shift")
    _refuse_strangers(values, taxonomy.ids, f"{where}:calibration")
    scale, shift = (tuple(float(values[label][part]) for label in taxonomy.ids) for part in ("scale", "shift"))
    return scale, shift


def _read_thresholds(values: Mapping[str, Any], task: Task, taxonomy: Taxonomy, where: Path) -> tuple[float, ...]:
    ids = () if task == "single_label" else taxonomy.ids
    for label in ids:
        value = values.get(label)
        if not isinstance(value, float) or not 0 < value < 1:
            raise WusumError(f"{where}:thresholds:{label}: {value!r}, expected a number between 0 and 1")
    _refuse_strangers(values, ids, f"{where}:thresholds")
    return tuple(float(values[label]) for label in ids)


def _read_curves(
    manifest: Mapping[str, Any], task: Task, taxonomy: Taxonomy, where: Path
) -> tuple[tuple[float | None, ...], ...] | None:
    """Return the precision curves; None where the bundle has none, as those of older versions."""
    if "precision" not in manifest:
        return None
    values = manifest["precision"]
    if not isinstance(values, dict):
        raise WusumError(f"{where}:precision: {values!r:.40}, expected a curve for each label; the bundle is damaged")
    ids = () if task == "single_label" else taxonomy.ids
    for label in ids:
        if not _is_curve(values.get(label)):
            expected = f"expected {len(PRECISIONS)} ascending thresholds between 0 and 1, null at the end only"
            raise WusumError(f"{where}:precision:{label}: missing or wrong, {expected}; the bundle is damaged")
    _refuse_strangers(values, ids, f"{where}:precision")
    return tuple(tuple(values[label]) for label in ids)


def _is_curve(values: Any) -> bool:
    if not isinstance(values, list) or len(values) != len(PRECISIONS):
        return False
    reached = values[: values.index(None)] if None in values else values
    numbers = all(_is_number(value) and 0 <= value <= 1 for value in reached)
    return numbers and sorted(reached) == reached and values.count(None) == len(values) - len(reached)


def _refuse_strangers(values: Mapping[str, Any], ids: Sequence[str], where: str) -> None:
    extra = sorted(set(values) - set(ids))
    if extra:
        raise WusumError(f"{where}: {extra[0]!r} is not expected with this {TAXONOMY} and task; the files do not match")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
