"""Folds an encoder's vocabulary as the recipe ``e5-ar-2`` folds text: ``python -m wusum.training.fold_vocabulary``.

Pieces that become the same one are merged: its probability is the sum of theirs, and its embedding their mean, weighted
by these probabilities. Every other piece keeps its embedding under its folded spelling, so that a folded text falls
into the pieces that the well-spelt one had. The weights above the embeddings stay as they are.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ..inference.normalise import fold_letters
from ..inference.progress import say
from ..labels.errors import WusumError
from .built_in import WEIGHTS
from .encoder import WORDS, resolve_encoder
from .script import run_script

_SETTINGS, _TOKENIZER, _TOKENIZER_SETTINGS = "config.json", "tokenizer.json", "tokenizer_config.json"


@dataclass(frozen=True)
class FoldedVocabulary:
    """A tokenizer with folded pieces.

    Attributes:
        tokenizer: content of its ``tokenizer.json``.
        sources: for each piece the rows of the pieces before that became it.
        shares: their shares in its embedding, which sum to 1.
    """

    tokenizer: dict[str, Any]
    sources: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]

    @property
    def pieces(self) -> dict[str, int]:
        """The row of each piece, as ``Tokenizer.get_vocab`` gives it."""
        return {piece: row for row, (piece, _) in enumerate(self.tokenizer["model"]["vocab"])}

    def merge(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of the folded pieces, shape (pieces, width), of those of the pieces before."""
        merged = embeddings[[rows[0] for rows in self.sources]].clone()
        for piece, (rows, shares) in enumerate(zip(self.sources, self.shares, strict=True)):
            if len(rows) > 1:
                merged[piece] = torch.tensor(shares, dtype=embeddings.dtype) @ embeddings[list(rows)]
        return merged


def fold_vocabulary(path: Path) -> FoldedVocabulary:
    """Fold the vocabulary of a ``tokenizer.json``.

    A folded piece stands where the first of its sources stood; special tokens stay.

    Raises:
        WusumError: the file is no tokenizer with a unigram model, the only kind whose pieces have probabilities.

    Example:
        >>> folded = fold_vocabulary(Path("encoder/tokenizer.json"))  # doctest: +SKIP
        >>> len(folded.sources)  # doctest: +SKIP
        27774
    """
    try:
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        pieces = [(str(piece), float(score)) for piece, score in tokenizer["model"]["vocab"]]
        special = {str(token["content"]) for token in tokenizer["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError) as fault:
        told = "no tokenizer with a unigram model; expected that of multilingual E5 or another XLM-RoBERTa"
        raise WusumError(f"{path}: {told}") from fault
    groups: dict[str, list[int]] = {}
    for row, (piece, _) in enumerate(pieces):
        groups.setdefault(piece if piece in special else fold_letters(piece), []).append(row)
    vocabulary, shares = [], []
    for piece, rows in groups.items():
        highest = max(pieces[row][1] for row in rows)
        weights = [math.exp(pieces[row][1] - highest) for row in rows]
        vocabulary.append([piece, highest + math.log(sum(weights))])
        shares.append(tuple(weight / sum(weights) for weight in weights))
    tokenizer["model"]["vocab"] = vocabulary
    folded = FoldedVocabulary(tokenizer, tuple(tuple(rows) for rows in groups.values()), tuple(shares))
    for token in tokenizer["added_tokens"]:
        token["id"] = folded.pieces[token["content"]]
    return folded


def fold_encoder(source: Path, target: Path) -> None:
    """Write an encoder's folder anew with its vocabulary folded.

    Args:
        source: folder with ``config.json``, ``tokenizer.json`` and ``model.safetensors``.
        target: folder that does not exist.

    Raises:
        WusumError: ``target`` exists, or the tokenizer cannot be folded.

    Example:
        >>> fold_encoder(Path("runs/pretrain-2/encoder"), Path("runs/folded/encoder"))  # doctest: +SKIP
    """
    if target.exists():
        raise WusumError(f"{target}: exists already; remove it, or name another folder")
    folded = fold_vocabulary(source / _TOKENIZER)
    weights = load_file(source / WEIGHTS)
    for name in [name for name in weights if name.endswith(WORDS)]:
        weights[name] = folded.merge(weights[name])
    settings = json.loads((source / _SETTINGS).read_text(encoding="utf-8"))
    settings["vocab_size"] = len(folded.sources)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    _write(part / _TOKENIZER, folded.tokenizer)
    _write(part / _SETTINGS, settings)
    shutil.copy(source / _TOKENIZER_SETTINGS, part)
    save_file(weights, part / WEIGHTS, metadata={"format": "pt"})
    part.rename(target)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Fold the vocabulary of one encoder."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.fold_vocabulary", description=__doc__)
    parser.add_argument("encoder", help="me5-small-ar, or a folder")
    parser.add_argument("target", type=Path, help="folder that is written")
    given = parser.parse_args(argv)
    source = resolve_encoder(given.encoder)
    fold_encoder(source, given.target)
    say(f"{given.target}: written")


if __name__ == "__main__":
    run_script(main)
