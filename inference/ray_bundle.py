"""The model of a job on a cluster: every machine finds the same one, by its folder or by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..labels.errors import WusumError
from .bundle import Bundle
from .bundle_source import load_bundle
from .manifest import MANIFEST, file_sha256


@dataclass(frozen=True)
class SharedBundle:
    """Where the machines of a cluster find a bundle.

    Attributes:
        folder: where the machine that starts the job has it.
        otherwise: what a machine without that folder loads: ``owner/name@commit`` of the hub; None for the bundle that
            is embedded there; the folder again where nothing else is known.
        sha256: of its manifest, which tells the hashes of all its files.

    Example:
        >>> share_bundle(load_bundle(None), None).otherwise is None
        True
    """

    folder: Path
    otherwise: str | Path | None
    sha256: str

    def load(self) -> Bundle:
        """Open it on this machine.

        Raises:
            WusumError: it is not here and cannot be fetched, or what is here is another one.
        """
        bundle = load_bundle(self.folder if (self.folder / MANIFEST).is_file() else self.otherwise)
        if file_sha256(bundle.folder / MANIFEST) != self.sha256:
            told = "another bundle than on the machine that began the job; expected the same on all of them"
            raise WusumError(f"{bundle.folder}: {told}; copy it, or name it OWNER/NAME@REVISION")
        return bundle


def share_bundle(bundle: Bundle, source: str | Path | None) -> SharedBundle:
    """Return how other machines find a bundle that this one has loaded.

    Args:
        bundle: as it was loaded here.
        source: what it was loaded by, as of :meth:`Tagger.load`. Of a name of the hub the commit found here counts for
            all machines.

    Example:
        >>> share_bundle(load_bundle("someone/small@v1"), "someone/small@v1").otherwise  # doctest: +SKIP
        'someone/small@0f3c9d1...'
    """
    folder = bundle.folder.absolute()
    otherwise: str | Path | None = None
    if source is not None:
        is_folder = isinstance(source, Path) or Path(source).expanduser().is_dir()
        otherwise = folder if is_folder else f"{str(source).partition('@')[0]}@{folder.name}"
    return SharedBundle(folder, otherwise, file_sha256(folder / MANIFEST))
