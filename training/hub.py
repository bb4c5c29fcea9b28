"""Fetches a model from the hub, within bounds: a hub that falls silent ends in one sentence, never in endless waiting.

The download runs in a process of its own, because only a process can be ended from outside: some of the requests of
``huggingface_hub`` know no timeout, and others are repeated for minutes. Large files come over plain HTTP, not over the
hub's own transfer library, whose waiting cannot be bounded from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..labels.errors import WusumError
from .built_in import BUILT_IN, WEIGHTS

FILES = [WEIGHTS, "*.json", "vocab.txt"]
TIMEOUT_S = 10.0  # for each answer, and for each next piece of a file
PATIENCE_S = 120.0  # without a new byte on disk; huggingface_hub writes pieces of 10 MB
POLL_S = 0.2

# A failure is told in one line on standard output; standard error is left to the progress bars.
_DOWNLOAD = """
import json, sys
sys.excepthook = lambda kind, fault, trace: print(f"{kind.__name__}: {fault}".splitlines()[0])
from huggingface_hub import snapshot_download
print(snapshot_download(**json.loads(sys.argv[1])))
"""


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
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = name.partition("@")
    try:
        answer = HfApi().model_info(repository, revision=revision or None, timeout=TIMEOUT_S)
    except HFValidationError as fault:
        raise WusumError(
            f"encoder {name}: neither a folder nor a hub id; expected {BUILT_IN!r} or owner/model"
        ) from fault
    except (RepositoryNotFoundError, RevisionNotFoundError) as fault:
        raise WusumError(
            f"encoder {name}: not on the hub, or not open to you; check the id and `hf auth login`"
        ) from fault
    except OfflineModeIsEnabled:
        return _from_cache(name, "HF_HUB_OFFLINE is set")
    except (httpx2.HTTPError, ValueError):  # a ValueError: an answer that is no JSON, as a login page's is
        return _from_cache(name, "the hub cannot be reached")
    _check_listing(name, {file.rfilename for file in answer.siblings or ()})
    return _download(name)


def _check_listing(name: str, files: Collection[str]) -> None:
    """Refuses a pickle-only model before anything is downloaded."""
    if WEIGHTS in files:
        return
    converted = f"{name.partition('@')[0]}@refs/pr/N"
    raise WusumError(
        f"encoder {name}: the hub has no {WEIGHTS} at this revision, and a pickle is never loaded; "
        f"name a revision that has it ({converted} where the hub's converter offers one) or a converted folder"
    )


def _download(name: str) -> Path:
    from huggingface_hub import constants

    bounds = {
        "HF_HUB_ETAG_TIMEOUT": str(max(1, round(TIMEOUT_S))),
        "HF_HUB_DOWNLOAD_TIMEOUT": str(max(1, round(TIMEOUT_S))),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_VERBOSITY": "error",
    }
    options = _snapshot(name) | {"endpoint": constants.ENDPOINT, "etag_timeout": TIMEOUT_S}
    command = [sys.executable, "-P", "-c", _DOWNLOAD, json.dumps(options)]
    with subprocess.Popen(command, env=os.environ | bounds, stdout=subprocess.PIPE, encoding="utf-8") as child:
        try:
            silent = _wait(child, Path(constants.HF_HUB_CACHE) / f"models--{options['repo_id'].replace('/', '--')}")
        finally:
            child.kill()
        said = child.stdout.read().strip() if child.stdout else ""
    if silent:
        return _from_cache(name, f"the hub fell silent for {PATIENCE_S:.0f} seconds")
    if child.returncode != 0:
        return _from_cache(name, f"the download failed ({said})")
    return Path(said)


def _wait(child: subprocess.Popen[str], folder: Path) -> bool:
    """Waits for a download; returns True when nothing has come into the folder for longer than the patience."""
    seen, changed = -1, time.monotonic()
    while child.poll() is None:
        if (size := _bytes_in(folder)) != seen:
            seen, changed = size, time.monotonic()
        elif time.monotonic() - changed > PATIENCE_S:
            return True
        time.sleep(POLL_S)
    return False


def _bytes_in(folder: Path) -> int:
    """The size of all files under a folder at this moment; some may vanish while it is read."""
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(os.path.join(root, name)).st_size
    return size


def _from_cache(name: str, why: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(**_snapshot(name), local_files_only=True))
    except LocalEntryNotFoundError as fault:
        raise WusumError(
            f"encoder {name}: not in the local cache, and {why}; try again online, "
            f"or name a local folder or {BUILT_IN!r}"
        ) from fault


def _snapshot(name: str) -> dict[str, Any]:
    from huggingface_hub import constants

    repository, _, revision = name.partition("@")
    return {
        "repo_id": repository,
        "revision": revision or None,
        "allow_patterns": FILES,
        "cache_dir": str(constants.HF_HUB_CACHE),
    }
