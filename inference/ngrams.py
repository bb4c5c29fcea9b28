"""A linear classifier on n-grams of word pieces, whose scores are added to the network's logits.

A small network generalises and forgets rare wordings; a table of n-grams remembers them and does nothing else ("wide
and deep", Cheng et al. 2016, Wide & Deep Learning for Recommender Systems). An article's n-grams are weighed by TF-IDF:
(1 + ln count) * idf, divided by the Euclidean norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..labels.errors import WusumError
from .features import Features

# Any two odd numbers would do; those of a bundle's keys must never change.
_SEED, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_TYPES = {"keys": np.uint32, "idf": np.float32, "weights": np.int8, "scale": np.float32, "bias": np.float32}


@dataclass(frozen=True)
class NgramTable:
    """What the classifier knows of each n-gram.

    Attributes:
        order: the longest n-grams have so many pieces, the shortest one.
        keys: the known n-grams as :func:`ngram_keys` gives them, ascending, uint32, shape (n-grams,).
        idf: their inverse document frequencies, float32, shape (n-grams,).
        weights: int8, shape (n-grams, labels).
        scale: what a weight of 1 adds to a logit, float32, shape (labels,).
        bias: what is added in any case, float32, shape (labels,).

    Example:
        >>> features = Features(np.array([[0, 7, 8, 7, 2]]), np.ones((1, 5), dtype=np.int64), False)
        >>> keys = np.unique(ngram_keys(features, 1))
        >>> halves = np.full(1, 0.5, np.float32)
        >>> table = NgramTable(1, keys, np.ones(2, np.float32), np.array([[2], [2]], np.int8), halves, halves)
        >>> [round(float(one), 2) for one in table.logits(features)]
        [1.87]
    """

    order: int
    keys: npt.NDArray[np.uint32]
    idf: npt.NDArray[np.float32]
    weights: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return what is to be added to an article's logits, shape (labels,)."""
        keys, counts = np.unique(ngram_keys(features, self.order), return_counts=True)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[places] == keys
        rows = places[known]
        values = (1 + np.log(counts[known])).astype(np.float32) * self.idf[rows]
        norm = np.sqrt((values * values).sum())
        if norm:
            values /= norm
        # Not as a matrix product: BLAS would start threads of its own beside the engine's.
        margins = (values[:, None] * self.weights[rows]).sum(axis=0)
        added: npt.NDArray[np.float32] = margins * self.scale + self.bias
        return added


def ngram_keys(features: Features, order: int) -> npt.NDArray[np.uint32]:
    """Return the hash of every n-gram of an article's pieces, n from 1 to ``order``, in no order that matters.

    The windows are read as one text, without the tokens that frame them.

    Example:
        >>> features = Features(np.array([[0, 7, 8, 2]]), np.ones((1, 4), dtype=np.int64), False)
        >>> len(ngram_keys(features, 1)), len(ngram_keys(features, 2))
        (2, 3)
    """
    windows = zip(features.ids, features.mask.sum(axis=1).tolist(), strict=True)
    pieces = np.concatenate([ids[1 : count - 1] for ids, count in windows]).astype(np.uint64)
    found = []
    for size in range(1, min(order, len(pieces)) + 1):
        count = len(pieces) - size + 1
        mixed = np.full(count, size, np.uint64) * _SEED
        for offset in range(size):
            mixed = (mixed ^ pieces[offset : offset + count]) * _FACTOR
            mixed ^= mixed >> _HALF
        found.append((mixed >> _HALF).astype(np.uint32))
    return np.concatenate(found) if found else np.zeros(0, np.uint32)


def read_ngrams(path: Path, order: int, labels: int) -> NgramTable:
    """Read the table of a bundle for so many labels.

    Raises:
        WusumError: it is no safetensors file, or its arrays are not those of such a table.

    Example:
        >>> read_ngrams(bundle.ngrams_path, bundle.ngrams, len(bundle.taxonomy)).order  # doctest: +SKIP
        2
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as fault:
        raise WusumError(f"{path}: no safetensors file ({fault}); copy or train the bundle again") from fault
    _check(arrays, labels, path)
    return NgramTable(order, **arrays)


def write_ngrams(table: NgramTable, path: Path) -> None:
    """Write a table as :func:`read_ngrams` reads it.

    Example:
        >>> write_ngrams(table, Path("bundle/ngrams.safetensors"))  # doctest: +SKIP
    """
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(getattr(table, name)) for name in _TYPES}))


def _check(arrays: dict[str, npt.NDArray[np.generic]], labels: int, path: Path) -> None:
    for name in sorted(arrays.keys() ^ _TYPES.keys()):
        what = "missing" if name in _TYPES else "unknown"
        raise WusumError(f"{path}:{name}: {what}; the bundle is damaged or made by another wusum")
    known = len(arrays["keys"]) if arrays["keys"].ndim else 0
    shapes = {"keys": (known,), "idf": (known,), "weights": (known, labels), "scale": (labels,), "bias": (labels,)}
    for name, array in arrays.items():
        if array.dtype != _TYPES[name] or array.shape != shapes[name] or not array.size:
            expected = f"expected {np.dtype(_TYPES[name])} of shape {shapes[name]}, not empty"
            raise WusumError(f"{path}:{name}: {array.dtype} of shape {array.shape}, {expected}; the bundle is damaged")
        if not np.isfinite(array).all():
            raise WusumError(f"{path}:{name}: holds what is no number; the bundle is damaged")
    if (np.diff(arrays["keys"].astype(np.int64)) <= 0).any():
        raise WusumError(f"{path}:keys: expected ascending keys; the bundle is damaged")
