"""Fetches files from the hub, within bounds: a hub that falls silent ends in one sentence, never in endless waiting.

All that asks the hub runs in a process of its own (:mod:`.hub_child`), because only a process can be ended from
outside: some of the requests of ``huggingface_hub`` know no timeout, and others are repeated for minutes. Large files
come over plain HTTP, not over the hub's own transfer library, whose waiting cannot be bounded from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..labels.errors import WusumError

if TYPE_CHECKING:
    import subprocess

TIMEOUT_S = 10.0  # for each answer, and for each next piece of a file
PATIENCE_S = 120.0  # without a new byte on disk; huggingface_hub writes pieces of 10 MB
POLL_S = 0.2

_CHILD = Path(__file__).with_name("hub_child.py")
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Wanted:
    """What is to come from the hub, and the words in which a refusal is told.

    Attributes:
        kind: what it is: ``encoder``, ``bundle``.
        name: ``owner/name``, with ``@revision`` where a branch, tag or commit is meant.
        files: names or patterns of the files to fetch.
        needed: files without which nothing is fetched.
        lacking: the end of the sentence that tells that one of these is not there.
        instead: what may be named instead, such as ``a local folder``.
    """

    kind: str
    name: str
    files: tuple[str, ...]
    needed: tuple[str, ...]
    lacking: str
    instead: str

    @property
    def repository(self) -> str:
        """The name without its revision."""
        return self.name.partition("@")[0]

    @property
    def revision(self) -> str | None:
        """The branch, tag or commit that is meant; None for the main branch."""
        return self.name.partition("@")[2] or None

    def __str__(self) -> str:
        """Return how a message begins."""
        return f"{self.kind} {self.name}"


def fetch(wanted: Wanted, *, commit: str | None = None, offline: bool = False) -> Path:
    """Return the local folder of a snapshot, downloaded where the cache does not hold it.

    A branch or tag found in the cache keeps leading to its earlier commit until :func:`remember` is called, so that a
    download that is cut spoils nothing.

    Args:
        wanted: what to fetch.
        commit: the commit that the revision was found to mean, if it was.
        offline: ask nothing, only the cache counts; ``HF_HUB_OFFLINE=1`` means the same.

    Raises:
        WusumError: ``huggingface_hub`` is not installed, there is no such repository, revision or needed file, or the
            hub cannot be reached or falls silent and the cache does not hold the files.
    """
    constants = _library(wanted)
    if offline or is_offline():
        return _from_cache(wanted, commit, "offline=True is given" if offline else "HF_HUB_OFFLINE is set")
    answer = _ask(wanted, commit, constants)
    if "folder" in answer:
        return Path(answer["folder"])
    if "lacks" in answer:
        raise WusumError(f"{wanted}: the hub has no {answer['lacks']} at this revision{wanted.lacking}")
    if "silent" in answer:
        return _from_cache(wanted, commit, f"the hub fell silent for {PATIENCE_S:.0f} seconds")
    return _after_fault(wanted, commit, answer["stage"], set(answer["kinds"]), answer["text"])


def is_offline() -> bool:
    """Return whether the environment forbids to ask the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def is_commit(revision: str | None) -> bool:
    """Return whether a revision is a whole commit hash, which can never come to mean something else."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def remember(folder: Path, revision: str | None) -> None:
    """Let a branch or tag lead to a snapshot that is whole, for when the hub cannot be asked."""
    if is_commit(revision):
        return
    reference = cached_repository(folder) / "refs" / (revision or "main")
    with contextlib.suppress(OSError):  # a cache that cannot be written holds all that was asked for
        if reference.is_file() and reference.read_text("utf-8") == folder.name:
            return
        reference.parent.mkdir(parents=True, exist_ok=True)
        part = reference.with_name(f"{reference.name}.{os.getpid()}.part")
        part.write_text(folder.name, "utf-8")
        os.replace(part, reference)


def cached_repository(folder: Path) -> Path:
    """Return the cache folder of a whole repository, by that of one of its snapshots."""
    return folder.parents[1]


def _library(wanted: Wanted) -> Any:
    """Return the constants of ``huggingface_hub``, for a name that it takes for a hub id."""
    try:
        from huggingface_hub import constants
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented, not re-exported
    except ImportError as fault:
        raise WusumError(
            f"{wanted}: no such folder, and the hub needs a package that is missing; "
            f"pip install huggingface_hub, or name {wanted.instead}"
        ) from fault
    try:
        validate_repo_id(wanted.repository)
    except HFValidationError as fault:
        raise WusumError(
            f"{wanted}: neither a folder nor a hub id; expected owner/name, or name {wanted.instead}"
        ) from fault
    return constants


def _ask(wanted: Wanted, commit: str | None, constants: Any) -> dict[str, Any]:
    """Return what the child says, or ``silent``."""
    import subprocess

    bounds = {
        "HF_HUB_ETAG_TIMEOUT": str(max(1, round(TIMEOUT_S))),
        "HF_HUB_DOWNLOAD_TIMEOUT": str(max(1, round(TIMEOUT_S))),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_VERBOSITY": "error",
    }
    if len(wanted.files) == 1 or not os.isatty(2):  # the child's bars go where standard error goes
        bounds["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    cache = Path(constants.HF_HUB_CACHE)
    given = {
        "endpoint": constants.ENDPOINT,
        "repository": wanted.repository,
        "revision": commit or wanted.revision,
        "files": wanted.files,
        "needed": wanted.needed,
        "cache": str(cache),
        "timeout": TIMEOUT_S,
    }
    command = [sys.executable, "-P", str(_CHILD), json.dumps(given)]
    with subprocess.Popen(command, env=os.environ | bounds, stdout=subprocess.PIPE, encoding="utf-8") as child:
        try:
            silent = _wait(child, cache / f"models--{wanted.repository.replace('/', '--')}")
        finally:
            child.kill()
        said = child.stdout.read().strip() if child.stdout else ""
    if silent:
        return {"silent": True}
    try:
        answer: dict[str, Any] = json.loads(said.rpartition("\n")[2])
    except ValueError:
        return {"stage": "download", "kinds": [], "text": f"exit code {child.returncode}"}
    return answer


def _after_fault(wanted: Wanted, commit: str | None, stage: str, kinds: set[str], text: str) -> Path:
    """Return the cache's folder where a fault leaves that; its kinds are the names of the fault's classes."""
    if kinds & {"RepositoryNotFoundError", "RevisionNotFoundError"}:  # of what needs a permission too
        raise WusumError(f"{wanted}: not on the hub, or not open to you; check the id and `hf auth login`")
    if stage == "download":
        return _from_cache(wanted, commit, f"the download failed ({text})")
    if "HfHubHTTPError" in kinds:
        return _from_cache(wanted, commit, f"the hub refuses ({text})")
    if kinds & {"HTTPError", "ValueError"}:  # ValueError: no JSON, as a login page's
        return _from_cache(wanted, commit, "the hub cannot be reached")
    return _from_cache(wanted, commit, f"asking the hub failed ({text})")


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


def _from_cache(wanted: Wanted, commit: str | None, why: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            wanted.repository,
            revision=commit or wanted.revision,
            allow_patterns=list(wanted.files),
            cache_dir=str(constants.HF_HUB_CACHE),
            local_files_only=True,
        )
    except LocalEntryNotFoundError as fault:
        raise WusumError(
            f"{wanted}: not in the local cache, and {why}; try again online, or name {wanted.instead}"
        ) from fault
    return Path(folder)
