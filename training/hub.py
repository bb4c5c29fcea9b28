"""Fetches an encoder from the hub: only the files that are loaded, and never a pickle."""

from __future__ import annotations

from pathlib import Path

from ..inference.hub import Wanted, fetch, remember
from .built_in import BUILT_IN, WEIGHTS

FILES = (WEIGHTS, "*.json", "vocab.txt")


def fetch_model(name: str) -> Path:
    """The local folder of a hub model, downloaded where the cache does not hold it.

    Args:
        name: ``owner/model``, with ``@revision`` where a branch, tag or commit is meant.

    Raises:
        WusumError: no such model, no safetensors at this revision, or the hub cannot be reached or falls silent and the
            cache does not hold the model. With ``HF_HUB_OFFLINE=1`` nothing is asked and only the cache counts.

    Example:
        >>> fetch_model("aubmindlab/bert-base-arabertv02")  # doctest: +SKIP
        PosixPath('/home/me/.cache/huggingface/hub/models--aubmindlab--bert-base-arabertv02/snapshots/016fb9d...')
    """
    converted = f"{name.partition('@')[0]}@refs/pr/N"
    lacking = (
        ", and a pickle is never loaded; "
        f"name a revision that has it ({converted} where the hub's converter offers one) or a converted folder"
    )
    wanted = Wanted("encoder", name, FILES, (WEIGHTS,), lacking, f"a local folder or {BUILT_IN!r}")
    folder = fetch(wanted)
    remember(folder, wanted.revision)
    return folder
