"""Everything in a bundle that computes logits, behind one engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .bundle import Bundle
from .engine import Engine, EngineName, open_engine
from .features import Features
from .ngrams import NgramTable, read_ngrams


def open_bundle_engine(
    bundle: Bundle, name: EngineName = "onnx", threads: int | None = None, workers: int = 1
) -> Engine:
    """Open a bundle's network, and its table of n-grams where it has one.

    Args:
        bundle: an opened bundle.
        name: the engine of the network.
        threads: threads to compute one article with; None for all cores, shared among the workers.
        workers: articles that are computed at once.

    Raises:
        WusumError: as :func:`~wusum.inference.engine.open_engine` and :func:`~wusum.inference.ngrams.read_ngrams`.

    Example:
        >>> open_bundle_engine(open_bundle(embedded_bundle())).logits(features).shape  # doctest: +SKIP
        (34,)
    """
    network = open_engine(name, bundle.model_path, threads, workers)
    if not bundle.ngrams:
        return network
    return EngineWithNgrams(network, read_ngrams(bundle.ngrams_path, bundle.ngrams, len(bundle.taxonomy)))


class EngineWithNgrams:
    """A network's engine whose logits are raised and lowered by a table of n-grams.

    Example:
        >>> EngineWithNgrams(network, table).logits(features).shape  # doctest: +SKIP
        (34,)
    """

    def __init__(self, network: Engine, table: NgramTable) -> None:
        """Take both parts."""
        self.threads = network.threads
        self._network, self._table = network, table

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return the sum of both parts' logits, shape (labels,)."""
        return self._network.logits(features) + self._table.logits(features)
