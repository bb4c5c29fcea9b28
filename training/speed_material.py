"""What the speed benchmark trains: articles, an encoder, and the network over it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from .. import labels
from ..inference.features import Featuriser, InputConfig
from ..labels import Taxonomy
from .batches import FeatureDataset
from .config import LossConfig, ModelConfig
from .data import LabelledArticle
from .device import resolve_device
from .losses import make_loss
from .model import ArticleTagger, build_model
from .pipeline import load_tokenizer
from .targets import label_matrix

TOKENS = 512
SHAPES = {  # layers, width, heads: ours, and that of AraBERT base
    "small": (6, 384, 12),
    "base": (12, 768, 12),
}
VOCABULARY = 64_000


@dataclass(frozen=True)
class Material:
    """What both sides train: the network's first state, and the articles."""

    model: ArticleTagger
    data: FeatureDataset
    pad: int
    taxonomy: Taxonomy


def synthesise_articles(count: int, seed: int = 0) -> list[LabelledArticle]:
    """Return articles of sentences from our own samples, each from two of them, with the labels of both.

    Example:
        >>> len(synthesise_articles(3))
        3
    """
    rng = np.random.default_rng(seed)
    folder = Path(labels.__file__).parent / "samples"
    rows = [json.loads(line) for line in (folder / "expected.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if "furniture" not in row]
    texts = [(folder / row["path"]).read_text(encoding="utf-8").replace("\n", " ").split(". ") for row in rows]
    articles = []
    for number in range(count):
        chosen = rng.choice(len(rows), size=2, replace=False)
        sentences = [sentence for index in chosen for sentence in texts[index]]
        words = rng.lognormal(np.log(220), 0.75)
        body: list[str] = []
        while sum(len(sentence.split()) for sentence in body) < words:
            body.append(sentences[rng.integers(len(sentences))])
        ids = dict.fromkeys(label for index in chosen for label in (*rows[index]["topics"], *rows[index]["actors"]))
        articles.append(LabelledArticle(str(number), None, ". ".join(body), tuple(ids)))
    return articles


def random_encoder(folder: Path, shape: str, texts: Sequence[str]) -> Path:
    """Write a BERT of random weights, and a tokenizer trained on ``texts``, into ``folder``; return it."""
    wordpiece = BertWordPieceTokenizer(strip_accents=False, lowercase=False)
    wordpiece.train_from_iterator(texts, vocab_size=VOCABULARY // 2, min_frequency=2, show_progress=False)
    wordpiece.save(str(folder / "tokenizer.json"))
    special = {name: f"[{name.removesuffix('_token').upper()}]" for name in ("cls_token", "sep_token", "pad_token")}
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(folder / "tokenizer.json"), mask_token="[MASK]", unk_token="[UNK]", **special
    ).save_pretrained(folder)
    layers, width, heads = SHAPES[shape]
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def prepare(encoder: Path, articles: Sequence[LabelledArticle], taxonomy: Taxonomy, dropout: float) -> Material:
    """Build the network and read the articles."""
    tokenizer, special, mask_id = load_tokenizer(encoder)
    settings = InputConfig("arabert-v02", max_chars=20 * TOKENS, window=TOKENS, max_windows=1)
    truth = label_matrix(articles, taxonomy)
    data = FeatureDataset(articles, truth, Featuriser(tokenizer, settings, special))
    positives = truth.sum(0).tolist()
    loss = make_loss(LossConfig(), "multi_label", positives, len(articles))
    config = ModelConfig(str(encoder), dropout=dropout)
    priors = truth.mean(0).tolist()
    device = resolve_device()
    model = build_model(encoder, config, loss, priors, mask_id, device_type=device.type).to(device)
    return Material(model, data, special.pad, taxonomy)


def padded(data: FeatureDataset, pad: int) -> FeatureDataset:
    """Return the data set with every article padded to 512 tokens."""

    def fill(grid: npt.NDArray[np.int64], value: int) -> npt.NDArray[np.int64]:
        return np.pad(grid, ((0, 0), (0, TOKENS - grid.shape[1])), constant_values=value)

    wide = copy.copy(data)
    wide.features = [replace(one, ids=fill(one.ids, pad), mask=fill(one.mask, 0)) for one in data.features]
    return wide
