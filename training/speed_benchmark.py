"""How fast a training step is beside the plain one: ``python -m wusum.training.speed_benchmark``.

Both sides train the same network, from the same weights, on the same articles, of which both read the same tokens, 512
at most. The plain side does what a transformers Trainer does unless told otherwise: batches in random order, padded to
512, fp32, SDPA. Ours: length-grouped batches with dynamic padding, bf16 where the hardware multiplies it, our attention
on CPU. They take turns step by step, each passes over all articles once, and collating counts. The interval comes from
drawing the pairs of steps again (bootstrap, 2,000 times).

The encoder is random unless ``--encoder`` names one; without ``--articles`` the texts are sentences of our own samples,
put together to lengths as our gold articles have them (log-normal, median 220 words, a tenth over 570).
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader
from transformers import EvalPrediction, Trainer, TrainingArguments, set_seed
from transformers.utils import logging

from ..labels import load_taxonomy
from ..labels.errors import WusumError
from .batches import Collator, FeatureDataset, LengthGroupedSampler
from .config import OptimisationConfig
from .data import read_labelled
from .device import uses_bf16
from .encoder import resolve_encoder
from .encoder_network import encoder_layers
from .model import ArticleTagger, parameter_groups
from .progress import watched
from .script import run_script
from .speed_material import SHAPES, Material, padded, prepare, random_encoder, synthesise_articles
from .trainer import fine_tune, scorer

WARM_UP = 2
RATES = {"learning_rate": 1.5e-4, "head_learning_rate": 1e-2, "layer_decay": 1.0, "weight_decay": 0.01}


def plain_copy(model: ArticleTagger) -> ArticleTagger:
    """Return the network with the attention that transformers would choose."""
    twin = copy.deepcopy(model)
    twin.encoder.set_attn_implementation("sdpa")
    return twin


class Side:
    """One side of the race: a network, its optimiser, and its batches."""

    def __init__(self, model: ArticleTagger, batches: Iterator[Any], *, bf16: bool, compiled: bool = False) -> None:
        """Take the network and an iterator over collated batches."""
        self._model = model.train()
        self._network = torch.compile(model) if compiled else model
        self._batches = batches
        self._device = next(model.parameters()).device
        self._optimizer = torch.optim.AdamW(parameter_groups(model, **RATES), fused=True)
        self._bf16 = bf16

    def step(self) -> tuple[float, float, int]:
        """Make one update and return wall seconds, processor seconds and articles."""
        clocks = time.perf_counter(), time.process_time()
        batch = {name: tensor.to(self._device) for name, tensor in next(self._batches).items()}
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
            loss = self._network(**batch)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - clocks[0], time.process_time() - clocks[1], len(batch["windows"])


def race(material: Material, batch: int, compiled: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return wall seconds, processor seconds and articles of every step, shape (steps, 3), of our side and the plain.

    The first steps, on the longest articles, are made once more before and not counted.
    """
    data, wide = material.data, padded(material.data, material.pad)
    rng = np.random.default_rng(0)
    widest = np.argsort(data.widths)[::-1][: WARM_UP * batch].tolist()
    grouped = [*widest, *LengthGroupedSampler(data.widths, batch, seed=0)]
    shuffled = [*widest, *rng.permutation(len(data)).tolist()]
    collate = Collator(material.pad, data.window)
    twin = plain_copy(material.model)
    ours = Side(
        material.model,
        iter(DataLoader(data, batch, sampler=grouped, collate_fn=collate)),
        bf16=uses_bf16("auto"),
        compiled=compiled,
    )
    plain = Side(twin, iter(DataLoader(wide, batch, sampler=shuffled, collate_fn=collate)), bf16=False)
    steps = len(data) // batch + WARM_UP
    rows: list[list[tuple[float, float, int]]] = []
    for number in watched(range(steps), steps, "racing"):
        first, second = (ours, plain) if number % 2 else (plain, ours)  # none always comes after the other
        pair = {side: side.step() for side in (first, second)}
        rows.append([pair[ours], pair[plain]])
    table = np.array(rows[WARM_UP:], dtype=np.float64)
    return table[:, 0], table[:, 1]


def ratio_interval(ours: npt.ArrayLike, plain: npt.ArrayLike, samples: int = 2000) -> tuple[float, float, float]:
    """Return how many times faster ours is (sums of seconds), and the 95 % bootstrap interval over the pairs of steps.

    Example:
        >>> ratio_interval([1.0, 1.0], [2.0, 2.0])
        (2.0, 2.0, 2.0)
    """
    mine, theirs = np.asarray(ours, dtype=np.float64), np.asarray(plain, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(mine), size=(samples, len(mine)))
    low, high = np.quantile(theirs[drawn].sum(1) / mine[drawn].sum(1), [0.025, 0.975])
    return float(theirs.sum() / mine.sum()), float(low), float(high)


def model_flops(model: ArticleTagger, data: FeatureDataset) -> float:
    """Return the floating-point operations of training on every article once, padding left out.

    6 per weight of the layers and token, 12 per layer, unit of width and pair of tokens (Kaplan et al. 2020, appendix
    B of Chowdhery et al. 2022).
    """
    layers = encoder_layers(model.encoder)
    weights = sum(parameter.numel() for parameter in layers.parameters())
    lengths = np.array([one.mask.sum() for one in data.features], dtype=np.float64)
    pairs = 12 * len(layers) * model.encoder.config.hidden_size * (lengths**2).sum()
    return float(6 * weights * lengths.sum() + pairs)


def score_both(material: Material, dev: FeatureDataset, batch: int, epochs: float) -> tuple[float, float]:
    """Train the same weights with our trainer and with a plain Trainer; return both dev micro-F1, ours first."""
    ours, plain = material.model, plain_copy(material.model)
    with tempfile.TemporaryDirectory() as folder:
        settings = OptimisationConfig(epochs=epochs, batch_size=batch, warmup=0.0, **RATES)  # type: ignore[arg-type]
        fine_tune(
            ours,
            material.data,
            dev,
            taxonomy=material.taxonomy,
            pad=material.pad,
            optimisation=settings,
            folder=Path(folder),
        )
        trainer = Trainer(
            plain,
            args=TrainingArguments(
                folder,
                num_train_epochs=epochs,
                per_device_train_batch_size=batch,
                save_strategy="no",
                report_to="none",
                remove_unused_columns=False,
            ),
            train_dataset=padded(material.data, material.pad),
            data_collator=Collator(material.pad),
            optimizers=(torch.optim.AdamW(parameter_groups(plain, **RATES), fused=True), None),
        )
        trainer.train()
    return dev_score(ours, dev, material), dev_score(plain, dev, material)


@torch.no_grad()
def dev_score(model: ArticleTagger, dev: FeatureDataset, material: Material) -> float:
    """Return the micro-F1 on dev, in fp32, from cross-fitted thresholds."""
    device = next(model.eval().parameters()).device
    logits, truth = [], []
    for batch in DataLoader(dev, 1, collate_fn=Collator(material.pad)):
        truth.append(batch.pop("labels").numpy())
        logits.append(model(**{name: tensor.to(device) for name, tensor in batch.items()})["logits"].float().cpu())
    outcome = EvalPrediction(predictions=torch.cat(logits).numpy(), label_ids=np.concatenate(truth))
    return scorer(model, material.taxonomy, "multi_label", None)(outcome)["micro_f1"]


def report(material: Material, batch: int, compiled: bool, peak: float | None) -> None:
    """Race and print what came out."""
    ours, plain = race(material, batch, compiled)
    for name, side in (("ours", ours), ("plain", plain)):
        wall, cpu, articles = side.sum(0)
        sys.stdout.write(f"{name}: {articles / wall:.2f} examples/s, {cpu / articles:.3f} CPU seconds an example\n")
    for clock, column in (("wall", 0), ("CPU", 1)):
        value, low, high = ratio_interval(ours[:, column], plain[:, column])
        sys.stdout.write(
            f"{clock} time: {value:.2f} times the speed (95 % {low:.2f} to {high:.2f}, {len(ours)} steps)\n"
        )
    if peak is not None:
        done = model_flops(material.model, material.data) / ours[:, 0].sum()
        sys.stdout.write(f"ours: {done / 1e12:.1f} TFLOP/s, {done / 1e12 / peak:.1%} of {peak:g}\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, race, print."""
    parser = argparse.ArgumentParser(prog="python -m wusum.training.speed_benchmark")
    parser.add_argument("--shape", choices=SHAPES, default="small", help="of the random encoder")
    parser.add_argument("--encoder", help="a real one instead: built-in name, local folder or hub name")
    parser.add_argument("--articles", type=Path, help="labelled JSON lines instead of made-up articles")
    parser.add_argument("--steps", type=int, default=30, help="of each side")
    parser.add_argument("--batch", type=int, default=16, help="articles a step")
    parser.add_argument("--dropout", type=float, default=0.0, help="inside the layers, on both sides")
    parser.add_argument("--compile", action="store_true", help="our side with torch.compile")
    parser.add_argument("--peak", type=float, help="the device's dense bf16 peak in TFLOP/s, to print the share of it")
    parser.add_argument("--score", type=float, metavar="EPOCHS", help="train both sides and print dev micro-F1 instead")
    arguments = parser.parse_args(argv)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    set_seed(0)
    taxonomy, count = load_taxonomy(), arguments.steps * arguments.batch
    articles = read_labelled(arguments.articles, taxonomy) if arguments.articles else synthesise_articles(count)
    if len(articles) < count:
        raise WusumError(
            f"{arguments.articles}: {len(articles)} articles, expected {count} for {arguments.steps} steps"
        )
    articles = articles[:count]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.encoder:
            encoder = resolve_encoder(arguments.encoder)
        else:
            encoder = random_encoder(Path(folder), arguments.shape, [article.text for article in articles])
        material = prepare(encoder, articles, taxonomy, arguments.dropout)
        if arguments.score:
            cut = count * 4 // 5
            train, dev = (
                prepare(encoder, part, taxonomy, arguments.dropout) for part in (articles[:cut], articles[cut:])
            )
            ours, plain = score_both(train, dev.data, arguments.batch, arguments.score)
            sys.stdout.write(f"dev micro-F1: ours {ours:.3f}, plain {plain:.3f}\n")
        else:
            report(material, arguments.batch, arguments.compile, arguments.peak)


if __name__ == "__main__":
    run_script(main)
