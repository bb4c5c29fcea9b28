"""Where a bundle comes from: the package, a folder, or the hub."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..labels.errors import WusumError
from .bundle import Bundle, embedded_bundle, needed_files, open_bundle
from .hub import Wanted, cached_repository, fetch, is_commit, is_offline, remember
from .manifest import MANIFEST, read_manifest

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_SUFFIX = re.compile(r"\.[A-Za-z]+$")  # of a file (model.onnx); what follows the dot of a version has digits (news-1.5)
_REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*", re.ASCII)
# Hashed too, but of no use for tagging: the trained weights, and the card, which people edit on the hub.
_LEFT_OUT = re.compile(r"(?!ngrams\.).*\.safetensors|README\.md")


def load_bundle(source: str | Path | None, *, offline: bool = False) -> Bundle:
    """Find a bundle and open it.

    Args:
        source: as of :func:`find_bundle`.
        offline: as of :func:`find_bundle`.

    Raises:
        WusumError: as of :func:`find_bundle` and :func:`~wusum.inference.bundle.open_bundle`; a fault in the hub's
            cache says which folder to delete.
    """
    folder = find_bundle(source, offline=offline)
    with _telling_what_to_delete(folder):
        return open_bundle(folder)


def find_bundle(source: str | Path | None, *, offline: bool = False) -> Path:
    """Return the local folder of a bundle, fetched from the hub where that is meant.

    Args:
        source: None for the embedded bundle; a folder; or, as a string, ``owner/name`` on the hub, with ``@revision``
            where a branch, tag or commit is meant. What exists as a folder is that folder, and a string of any other
            form (more than one slash, ``./``, ``~``, a suffix of letters) is a path, whether it exists or not.
        offline: ask nothing, only the cache counts; ``HF_HUB_OFFLINE=1`` means the same.

    Returns:
        The folder. From the hub it is the snapshot of one commit and holds what tagging needs, without the trained
        weights. A commit that the cache holds is not asked for again.

    Raises:
        WusumError: the package ``huggingface_hub`` is missing; there is no such repository or revision, it is not open
            to you or holds no bundle; the hub is not reached or falls silent and the cache does not hold the bundle.

    Example:
        >>> find_bundle("./runs/mine").as_posix()
        'runs/mine'
        >>> find_bundle("someone/wusum-base@v1")  # doctest: +SKIP
        PosixPath('/home/me/.cache/huggingface/hub/models--someone--wusum-base/snapshots/0f3c9d1...')
    """
    if source is None:
        return embedded_bundle()
    folder = Path(source)
    if isinstance(source, Path) or folder.is_dir():
        return folder
    repository, at, revision = source.partition("@")
    if not _REPOSITORY.fullmatch(repository) or _SUFFIX.search(repository):
        return folder.expanduser()
    if at and not _REVISION.fullmatch(revision):
        raise WusumError(f"bundle {source}: no revision; expected a branch, tag or commit after @, or leave out the @")
    return _fetch_bundle(source, offline)


def _fetch_bundle(name: str, offline: bool) -> Path:
    """Fetch the manifest, and only if it is a bundle's, the files that it names."""
    lacking = f"; expected a bundle as `wusum train` writes it, {MANIFEST} in the top folder; check the name"
    wanted = Wanted("bundle", name, (MANIFEST,), (MANIFEST,), lacking, "the folder of a bundle")
    if is_commit(wanted.revision) and not offline:
        with contextlib.suppress(WusumError):
            folder = fetch(wanted, offline=True)
            if not _missing(folder, _files(folder)):
                return folder
    folder = fetch(wanted, offline=offline)
    files = _files(folder)
    if _missing(folder, files) and not (offline or is_offline()):
        lacking = f", though {MANIFEST} names it; the upload is not complete, name another revision"
        wanted = replace(wanted, files=files, needed=needed_files(read_manifest(folder)), lacking=lacking)
        folder = fetch(wanted, commit=folder.name)
    _refuse_half(wanted, folder)
    remember(folder, wanted.revision)
    return folder


def _files(folder: Path) -> tuple[str, ...]:
    """Return the files of a bundle that tagging may need, by its manifest."""
    with _telling_what_to_delete(folder):
        hashes = read_manifest(folder)["files"]
        strange = [name for name in hashes if not re.fullmatch(r"\w[\w.-]*", name)]  # each is taken for a pattern
        if strange:
            raise WusumError(f"{folder / MANIFEST}:files: {strange[0]!r} is no plain file name; the bundle is damaged")
    return MANIFEST, *(name for name in hashes if not _LEFT_OUT.fullmatch(name))


def _missing(folder: Path, files: tuple[str, ...]) -> list[str]:
    return [name for name in files if not (folder / name).is_file()]


def _refuse_half(wanted: Wanted, folder: Path) -> None:
    """Refuse a folder of the cache that an earlier download, cut at some point, left without a file."""
    missing = _missing(folder, needed_files(read_manifest(folder)))
    if missing:
        found = f"the local cache holds a part of it, without {missing[0]}"
        raise WusumError(f"{wanted}: {found}; try again online, or name {wanted.instead}")


@contextlib.contextmanager
def _telling_what_to_delete(folder: Path) -> Iterator[None]:
    """Add to a fault in the hub's cache what to delete: the snapshot alone holds links to the damaged files."""
    try:
        yield
    except WusumError as fault:
        if folder.parent.name != "snapshots" or not cached_repository(folder).name.startswith("models--"):
            raise
        advice = f"if its copy from the hub is damaged, delete the folder {cached_repository(folder)} and load again"
        raise WusumError(f"{fault}; {advice}") from fault
