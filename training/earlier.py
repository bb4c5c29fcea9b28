"""Bundles of earlier trainings, to go on from or to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..inference.bundle import Bundle, embedded_bundle, open_bundle
from ..inference.manifest import MANIFEST
from ..inference.progress import say
from .data import LabelledArticle
from .device import is_main_process
from .embedded import EMBEDDED
from .targets import data_sha256


def open_earlier(folder: Path) -> Bundle:
    """Open a bundle, the one of a run folder, or by the name ``wusum-small`` the embedded one.

    Raises:
        WusumError: it is no sound bundle.

    Example:
        >>> open_earlier(Path("runs/default")).name  # doctest: +SKIP
        'wusum-small'
    """
    if str(folder) == EMBEDDED:
        return open_bundle(embedded_bundle())
    nested = folder / "bundle"
    return open_bundle(nested if (nested / MANIFEST).is_file() else folder)


def warn_of_another_dev(bundle: Bundle, dev: Sequence[LabelledArticle], key: str) -> None:
    """Say that an earlier training may have learned from articles that now judge.

    The bundle keeps a hash of its dev articles and their labels, so another scheme over the same split is told too.

    Args:
        bundle: of the earlier training.
        dev: today's dev articles.
        key: of the recipe, where the bundle is named.

    Example:
        >>> warn_of_another_dev(bundle, material.dev, "model.start")  # doctest: +SKIP
    """
    if bundle.training.get("dev_sha256") != data_sha256(dev) and is_main_process():
        told = "was trained with another dev; if it learned from articles of today's, they flatter it"
        say(f"{key}: {bundle.folder} {told}")
