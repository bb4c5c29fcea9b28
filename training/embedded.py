"""The encoder of the embedded model: what a training without a hub goes on from, rebuilt once into a cache folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..inference.bundle import MODEL, TOKENIZER, embedded_bundle, open_bundle
from ..inference.manifest import file_sha256
from ..inference.progress import say
from ..labels.errors import WusumError
from .built_in import BUILT_IN, WEIGHTS, cache_folder, put_in_place
from .served_network import read_served

EMBEDDED = "wusum-small"
_SETTINGS, _TOKENIZER_SETTINGS = "config.json", "tokenizer_config.json"
_ENCODER = "encoder."


def embedded_encoder() -> Path:
    """The folder of the embedded model's encoder, its 8-bit weights as float32.

    Returns:
        A folder with ``config.json``, the tokenizer and ``model.safetensors`` (27,774 pieces, six layers of width 384).

    Raises:
        WusumError: the embedded bundle is damaged, or the cache folder cannot be written.

    Example:
        >>> embedded_encoder().name.rpartition("-")[0]  # doctest: +SKIP
        'wusum-small'
    """
    bundle = open_bundle(embedded_bundle())
    folder = cache_folder() / "encoders" / f"{EMBEDDED}-{file_sha256(bundle.folder / MODEL)[:12]}"
    shape, weights = read_served(bundle.model_path)
    encoder = {name.removeprefix(_ENCODER): one for name, one in weights.items() if name.startswith(_ENCODER)}
    recipe = resources.files(__package__) / "encoders" / BUILT_IN
    settings = json.loads((recipe / _SETTINGS).read_text("utf-8")) | shape
    files = {
        TOKENIZER: bundle.tokenizer_path.read_bytes(),
        _TOKENIZER_SETTINGS: (recipe / _TOKENIZER_SETTINGS).read_bytes(),
        _SETTINGS: f"{json.dumps(settings, indent=1)}\n".encode(),
    }

    def intact() -> bool:
        return _holds(folder, encoder, files)

    if intact():
        return folder
    say(f"{EMBEDDED}: writing the embedded model's encoder to {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{EMBEDDED}-") as scratch:
            fresh = Path(scratch) / "encoder"
            fresh.mkdir()
            for name, content in files.items():
                (fresh / name).write_bytes(content)
            save_file(encoder, fresh / WEIGHTS, metadata={"format": "pt"})
            put_in_place(fresh, folder, intact, Path(scratch) / "damaged")
    except OSError as fault:
        raise WusumError(
            f"{folder}: cannot write the encoder ({fault.strerror or fault}); free some space or set WUSUM_CACHE"
        ) from fault
    return folder


def _holds(folder: Path, encoder: Mapping[str, torch.Tensor], files: Mapping[str, bytes]) -> bool:
    try:
        if any((folder / name).read_bytes() != content for name, content in files.items()):
            return False
        found = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError):
        return False
    return found.keys() == encoder.keys() and all(torch.equal(found[name], encoder[name]) for name in found)
