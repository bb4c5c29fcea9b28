"""Whole-word masking for masked-language-model training."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ..labels.errors import WusumError

IGNORED = -100  # the target of a token that is not to be predicted
WORD_MARKS = ("▁", "Ġ")  # what a piece opens with where a word begins: sentencepiece, byte-level BPE
MASKED, RANDOM = 0.8, 0.1  # shares of the chosen tokens that become the mask or another token; the others stay

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WordMasker:
    """Chooses whole words of a window and hides them (Devlin et al. 2019, section 3.1; whole words as in its release).

    Of the chosen tokens 80 % become the mask, 10 % another token of the vocabulary, 10 % stay.

    Attributes:
        starts: (vocabulary,) whether a piece begins a word.
        ordinary: (vocabulary,) whether a piece may be chosen or put in: no special token.
        mask_id: the mask.
        share: share of a window's ordinary tokens to choose; words that would go beyond it are passed over, but one
            word is always chosen.
        seed: seed of the draw.
    """

    starts: npt.NDArray[np.bool_]
    ordinary: npt.NDArray[np.bool_]
    mask_id: int
    share: float
    seed: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, mask_id: int, share: float, seed: int) -> WordMasker:
        """Learn from a tokenizer which pieces begin words.

        Raises:
            WusumError: the mask lies outside the vocabulary.
        """
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        if mask_id >= size:
            raise WusumError(
                f"the tokenizer's mask {mask_id} lies outside its vocabulary of {size}; use another encoder"
            )
        ordinary = np.ones(size, dtype=bool)
        ordinary[list(tokenizer.get_added_tokens_decoder())] = False
        return cls(word_starts(tokenizer), ordinary, mask_id, share, seed)

    def __call__(self, ids: npt.NDArray[np.integer], epoch: int, row: int) -> tuple[Ids, Ids]:
        """Mask the window ``ids`` (tokens,), for the row and epoch that are named.

        Returns:
            The ids to read and the targets, both (tokens,); a target is -100 where nothing is to be predicted. Equal
            arguments give equal masks, whatever was masked before.

        Example:
            >>> masker = WordMasker(np.array([True, True, False]), np.array([False, True, True]), 0, 0.5, seed=0)
            >>> [array.tolist() for array in masker(np.array([1, 2]), epoch=0, row=0)]
            [[0, 0], [1, 2]]
        """
        rng = np.random.default_rng((self.seed, epoch, row))
        read = ids.astype(np.int64)
        targets = np.full(len(ids), IGNORED, dtype=np.int64)
        chosen = self._choose(read, rng)
        targets[chosen] = read[chosen]
        fate = rng.random(len(chosen))
        others = np.flatnonzero(self.ordinary)
        strangers = others[rng.integers(len(others), size=len(chosen))]
        read[chosen] = np.where(fate < MASKED, self.mask_id, np.where(fate < MASKED + RANDOM, strangers, read[chosen]))
        return read, targets

    def _choose(self, ids: Ids, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        places = np.flatnonzero(self.ordinary[ids])
        if not len(places):
            return places
        # A token after a special one begins a word too: the window may have been cut inside a word.
        begins = self.starts[ids[places]] | (np.diff(places, prepend=-2) > 1)
        words = np.cumsum(begins) - 1
        sizes = np.bincount(words)
        room = max(1, round(self.share * len(places)))
        order = rng.permutation(len(sizes))
        taken = np.zeros(len(sizes), dtype=bool)
        for word in order:
            if sizes[word] <= room or not taken.any():
                taken[word] = True
                room -= sizes[word]
            if room <= 0:
                break
        found: npt.NDArray[np.intp] = places[taken[words]]
        return found


def word_starts(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """Return for every piece of the vocabulary whether it begins a word, shape (vocabulary,).

    Where pieces carry no mark at all, each is a word.
    """
    pieces = tokenizer.get_vocab(with_added_tokens=True)
    model = json.loads(tokenizer.to_str())["model"]
    starts = np.ones(tokenizer.get_vocab_size(with_added_tokens=True), dtype=bool)
    continuation = model.get("continuing_subword_prefix") if model["type"] == "WordPiece" else None
    mark = next((mark for mark in WORD_MARKS if any(piece.startswith(mark) for piece in pieces)), None)
    for piece, index in pieces.items():
        if continuation:
            starts[index] = not piece.startswith(continuation)
        elif mark is not None:
            starts[index] = piece.startswith(mark)
    return starts
