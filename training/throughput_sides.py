"""The sides of the throughput benchmark: each does its work once when called and tells of how many articles."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline
from transformers.utils import logging

from ..inference.bundle import Bundle
from ..inference.cleaner import clean_page
from ..inference.cli import main as command
from ..inference.engine import EngineName, open_engine
from ..inference.features import Featuriser, read_tokenizer
from ..inference.normalise import get_recipe
from ..inference.tagger import Tagger
from ..labels.errors import WusumError
from .baseline import FastTextBaseline, TfidfBaseline
from .speed_material import SHAPES, VOCABULARY
from .throughput_material import TOKENS, EncoderShape, Page, read_shape, spread_out, write_lines

BATCHES = (1, 8, 16)
_SIDE, _PRODUCTS = 2048, 20  # of the int8 limit
_NETWORK_SHARE = 4  # one article in so many goes through the network alone
_THRESHOLD = 0.5


@dataclass(frozen=True)
class Side:
    """One side.

    Attributes:
        run: does the work once.
        articles: how many it reads.
        operations: multiplications and additions of its encoder; 0 where they are not counted.
    """

    run: Callable[[], None]
    articles: int
    operations: float = 0.0


@dataclass(frozen=True)
class Setting:
    """What all sides are given: the bundle, the pages, threads, a folder, and articles of the pipeline."""

    bundle: Bundle
    pages: Sequence[Page]
    threads: int
    folder: Path
    pipeline_count: int

    @cached_property
    def featurise(self) -> Featuriser:
        """The features as tagging makes them."""
        return Featuriser(read_tokenizer(self.bundle.tokenizer_path), self.bundle.input, self.bundle.tokens)

    @cached_property
    def shape(self) -> EncoderShape:
        """The shape of the bundle's encoder."""
        return read_shape(self.bundle.model_path)

    @cached_property
    def tokens(self) -> list[int]:
        """Tokens of each article that the bundle reads, special ones included."""
        return [int(self.featurise(page.article).mask.sum()) for page in self.pages]

    @cached_property
    def texts(self) -> list[str]:
        """The clean texts."""
        return [page.text for page in self.pages]

    @cached_property
    def spelled(self) -> list[str]:
        """The clean texts as the bundle's tokenizer is given them."""
        spell = get_recipe(self.bundle.input.recipe).apply
        return [self.bundle.input.prefix + spell(text) for text in self.texts]


def tagging(setting: Setting, engine: EngineName) -> Side:
    """``wusum tag --clean always``, JSON lines into JSON lines, in this process, with a model opened before.

    An archive opens the model once; the start is measured by itself (``latency_benchmark``).

    Example:
        >>> tagging(setting, "onnx").run()  # doctest: +SKIP
    """
    source = write_lines(setting.folder / f"pages-{engine}.jsonl", [page.page for page in setting.pages])
    output = setting.folder / f"{engine}.jsonl"
    tagger = Tagger.load(setting.bundle.folder, threads=1, workers=setting.threads, engine=engine)

    def run() -> None:
        arguments = ["tag", str(source), "-o", str(output), "--force", "--clean", "always", "--engine", engine]
        said = io.StringIO()
        with patch.object(Tagger, "load", lambda *_, **__: tagger), contextlib.redirect_stderr(said):
            if command(arguments):
                raise WusumError(f"{engine}: not every article was tagged; it said: {said.getvalue().strip()}")

    operations = sum(setting.shape.operations(setting.featurise(page.article)) for page in setting.pages)
    return Side(run, len(setting.pages), operations)


def network_alone(setting: Setting, engine: EngineName) -> Side:
    """The network alone, on features that lie ready, of one article in four."""
    chosen = spread_out(setting.tokens, max(1, len(setting.pages) // _NETWORK_SHARE))
    features = [setting.featurise(setting.pages[place].article) for place in chosen]
    opened = open_engine(engine, setting.bundle.model_path, setting.threads)

    def run() -> None:
        for one in features:
            opened.logits(one)

    return Side(run, len(features), sum(map(setting.shape.operations, features)))


class PlainPipeline:
    """The transformers pipeline ``text-classification`` in fp32 over a random network of the shape of AraBERT base.

    It has the bundle's tokenizer and gets the clean text in the bundle's spelling, so that it reads the same tokens:
    in another spelling the tokenizer of a folded vocabulary cuts words into more pieces.

    Example:
        >>> PlainPipeline(setting).run(batch=1)  # doctest: +SKIP
    """

    def __init__(self, setting: Setting) -> None:
        """Build the network and choose the articles; the lengths are spread as those of all."""
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        torch.set_num_threads(setting.threads)
        self.chosen = spread_out(setting.tokens, setting.pipeline_count)
        # By length they would stand as no archive does, and batches would need no padding.
        texts = [setting.spelled[place] for place in np.random.default_rng(0).permutation(self.chosen)]
        self._source = write_lines(setting.folder / "pipeline-articles.jsonl", texts)
        self._output = setting.folder / "pipeline.jsonl"
        self.tokenizer = _tokenizer(setting.bundle)
        labels = setting.bundle.taxonomy.ids
        layers, width, heads = SHAPES["base"]
        config = BertConfig(
            vocab_size=max(VOCABULARY, len(self.tokenizer)),
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            pad_token_id=setting.bundle.tokens.pad,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            problem_type="multi_label_classification",
        )
        torch.manual_seed(0)
        network = BertForSequenceClassification(config).train(mode=False)
        self._pipeline: Any = pipeline("text-classification", model=network, tokenizer=self.tokenizer, device="cpu")

    def best_batch(self) -> dict[int, float]:
        """Return articles a second by batch size, after a warm-up, each from one pass over the articles."""
        self.run(1)
        rates = {}
        for batch in BATCHES:
            begin = time.perf_counter()
            self.run(batch)
            rates[batch] = len(self.chosen) / (time.perf_counter() - begin)
        return rates

    def run(self, batch: int) -> None:
        """Read the articles, classify, write."""
        options = {"function_to_apply": "sigmoid", "truncation": True, "max_length": TOKENS, "batch_size": batch}
        rows = _rows(self._source)
        found = self._pipeline([row["text"] for row in rows], top_k=None, **options)
        scores = [{one["label"]: round(one["score"], 4) for one in labels} for labels in found]
        _write_tags(self._output, rows, scores)


def _tokenizer(bundle: Bundle) -> PreTrainedTokenizerFast:
    own = read_tokenizer(bundle.tokenizer_path)
    special = bundle.tokens
    names = {"cls_token": special.start, "sep_token": special.end, "pad_token": special.pad}
    tokens = {name: own.id_to_token(number) for name, number in names.items()}
    return PreTrainedTokenizerFast(tokenizer_file=str(bundle.tokenizer_path), **tokens)  # type: ignore[no-untyped-call]


def baseline(setting: Setting, model: TfidfBaseline | FastTextBaseline) -> Side:
    """A baseline in one thread, learned from the same texts and made-up labels, as fast as learned from true ones.

    Raises:
        WusumError: its package is not installed.
    """
    labels = setting.bundle.taxonomy.ids
    truth = np.random.default_rng(0).random((len(setting.texts), len(labels))) < 0.1
    truth[:, 0] = True  # fastText learns from no text without a label
    fitted = model.fit(setting.texts, truth)
    source = write_lines(setting.folder / f"{type(model).__name__}-articles.jsonl", setting.texts)
    output = setting.folder / f"{type(model).__name__}.jsonl"

    def run() -> None:
        rows = _rows(source)
        table = fitted.scores([row["text"] for row in rows]).round(4).tolist()
        _write_tags(output, rows, [dict(zip(labels, values, strict=True)) for values in table])

    return Side(run, len(setting.texts))


def cleaning(setting: Setting) -> Side:
    """The cleaner alone, on the plain text of all pages."""

    def run() -> None:
        for page in setting.pages:
            clean_page(page.page)

    return Side(run, len(setting.pages))


def featurising(setting: Setting) -> Side:
    """Normalising and tokenising alone, in one thread."""

    def run() -> None:
        for page in setting.pages:
            setting.featurise(page.article)

    return Side(run, len(setting.pages))


def int8_limit(threads: int) -> Side:
    """Products of square int8 matrices in torch (``_int_mm``, oneDNN), sides of 2,048: the limit of the machine."""
    rng = np.random.default_rng(0)
    left, right = (torch.from_numpy(rng.integers(-127, 128, (_SIDE, _SIDE), dtype=np.int8)) for _ in range(2))

    def run() -> None:
        torch.set_num_threads(threads)
        for _ in range(_PRODUCTS):
            torch._int_mm(left, right)

    return Side(run, 0, 2.0 * _SIDE**3 * _PRODUCTS)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _write_tags(path: Path, rows: Sequence[dict[str, Any]], scores: Sequence[dict[str, float]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row, by_label in zip(rows, scores, strict=True):
            given = [label for label, score in by_label.items() if score > _THRESHOLD]
            line = {"id": row["id"], "labels": given, "scores": by_label}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
