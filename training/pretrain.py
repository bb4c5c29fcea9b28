"""Continued pre-training of an encoder on raw articles: whole words are hidden, the encoder guesses them."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForMaskedLM, PreTrainedModel, set_seed
from transformers.utils import logging

from ..inference.progress import say
from ..labels.errors import WusumError
from .attention import ATTENTION
from .built_in import WEIGHTS
from .checkpoints import keep_only, last_complete_checkpoint, new_checkpoint
from .device import resolve_device, uses_bf16
from .encoder import resolve_encoder
from .encoder_network import check_window, encoder_family, keep_layers, load_checkpoint, read_settings
from .masking import IGNORED
from .pretrain_config import PretrainConfig, PretrainOptimisationConfig
from .pretrain_data import Windows, batches, read_windows
from .progress import watched
from .run_folder import claim_folder

HEADS = ("cls", "lm_head")  # what transformers calls the part that predicts words
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json")
SUMMARY, STATE = "pretraining.json", "state.pt"


@dataclass(frozen=True)
class Pretrained:
    """What came out: the encoder's folder, and the held-out loss (nats per hidden token) after so many steps."""

    encoder: Path
    curve: list[tuple[int, float]]


class MaskedLanguageModel(nn.Module):
    """An encoder and the part that predicts words, applied to the hidden words only.

    The matrix over the vocabulary costs as much as several layers; at the other tokens its result is not used.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        """Take a transformers masked-language model.

        Raises:
            WusumError: it has no part with a known name.
        """
        super().__init__()
        head = next((getattr(network, name) for name in HEADS if hasattr(network, name)), None)
        if not isinstance(head, nn.Module):
            raise WusumError(f"{type(network).__name__}: has none of {', '.join(HEADS)}; use a BERT-like encoder")
        base = network.base_model
        if not isinstance(base, PreTrainedModel):
            raise TypeError(f"expected a PreTrainedModel, got {type(base).__name__}")
        self.encoder: PreTrainedModel = base
        self.head = head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses of the hidden tokens, in nats; all inputs are (windows, tokens)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        wanted = targets != IGNORED
        logits = self.head(hidden[wanted])
        return nn.functional.cross_entropy(logits.float(), targets[wanted], reduction="sum")


def pretrain(config: PretrainConfig) -> Pretrained:
    """Run a recipe and return the folder of the encoder, which ``model.encoder`` of a training recipe takes.

    Interrupted, it goes on from the last checkpoint when called again with the same recipe, and ends with the
    same weights. One process trains; masks and order depend on the seed, the epoch and the window alone.

    Raises:
        WusumError: a fault in the recipe or the articles, an output folder that belongs to another recipe, an encoder
            that exists already, or a loss that is no number.
    """
    target = Path(config.output) / "encoder"
    if target.exists():
        raise WusumError(f"{target}: exists already; move it away, or choose another output, to train anew")
    device = resolve_device(config.optimisation.device)
    source = resolve_encoder(config.model.encoder)
    train, held_out = read_windows(config, source)
    set_seed(config.optimisation.seed)
    model, dropouts = build_masked_model(source, config, device)
    claim_folder(target.parent, asdict(config))  # a recipe with a fault in it may be mended and tried again
    checkpoints = target.parent / "checkpoints"
    curve = _Run(model, train, held_out, config.optimisation, checkpoints, device).finish()
    summary = {"recipe": asdict(config), "held_out_loss": curve, "windows": len(train.rows)}
    _write_encoder(model.encoder, dropouts, source, summary, target)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Pretrained(target, curve)


def build_masked_model(
    source: Path, config: PretrainConfig, device: torch.device
) -> tuple[MaskedLanguageModel, dict[str, float]]:
    """Load an encoder with the part that predicts words: its own where the checkpoint has one, otherwise a fresh one.

    Returns:
        The model, and the dropouts that its configuration had, which the recipe's replace while it learns.

    Raises:
        WusumError: an encoder of another family or with gaps
            (:func:`~wusum.training.encoder_network.load_checkpoint`), one that reads no windows so long, or a layer
            asked for that does not exist.
    """
    settings = read_settings(source)
    check_window(settings, config.input.window)
    dropouts = {name: float(getattr(settings, name)) for name in encoder_family(settings).dropouts}
    for name in dropouts:
        setattr(settings, name, config.model.dropout)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = MaskedLanguageModel(load_checkpoint(AutoModelForMaskedLM, source, settings))
    model.encoder.set_attn_implementation(ATTENTION if device.type == "cpu" else "sdpa")
    if config.model.keep_layers is not None:
        keep_layers(model.encoder, config.model.keep_layers)
    return model.to(device), dropouts


class _Meter:
    """Adds up loss and speed between two lines of the log."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._clock = time.monotonic()
        self._steps = self._targets = self._tokens = 0
        self._loss = 0.0

    def add(self, loss: float, targets: int, tokens: int) -> None:
        """Count a step: the sum of its losses, its hidden tokens, all its tokens."""
        self._steps += 1
        self._loss, self._targets, self._tokens = self._loss + loss, self._targets + targets, self._tokens + tokens

    def read(self, left: int) -> str:
        """Return the line's text, with the time for the steps that are left, and start anew."""
        seconds = max(time.monotonic() - self._clock, 1e-9)
        mean, rate, minutes = self._loss / self._targets, self._tokens / seconds, left * seconds / self._steps / 60
        self._start()
        return f"loss {mean:.4f}, {rate:,.0f} tokens/s, {minutes:.0f} min left"


class _Run:
    """The loop: its whole state is the weights, the optimiser's and the number of steps done."""

    def __init__(
        self,
        model: MaskedLanguageModel,
        train: Windows,
        held_out: Windows,
        optimisation: PretrainOptimisationConfig,
        folder: Path,
        device: torch.device,
    ) -> None:
        self._model, self._train, self._held_out = model, train, held_out
        self._config, self._folder, self._device = optimisation, folder, device
        self._optimiser = torch.optim.AdamW(_parameter_groups(model, optimisation), fused=True)
        self._identity = train.sha256
        self._curve: list[tuple[int, float]] = []
        self._done = 0
        self._half = uses_bf16(optimisation.precision, optimisation.device)

    def finish(self) -> list[tuple[int, float]]:
        """Train up to the last step and return the held-out losses."""
        self._resume()
        if not self._curve:
            self._evaluate()
        meter = _Meter()
        steps = batches(self._train, self._config, self._done)
        for batch in watched(steps, self._config.steps - self._done, "pre-training"):
            meter.add(*self._step(batch), int(batch["attention_mask"].sum()))
            if self._done % self._config.log_steps == 0 or self._done == self._config.steps:
                say(f"step {self._done} of {self._config.steps}: {meter.read(self._config.steps - self._done)}")
            if self._done % self._config.evaluate_steps == 0 or self._done == self._config.steps:
                self._evaluate()
            if self._done % self._config.checkpoint_steps == 0:
                self._save()
        return self._curve

    def _step(self, batch: dict[str, torch.Tensor]) -> tuple[float, int]:
        """Do one update; return the sum of its losses and the number of hidden tokens."""
        config = self._config
        torch.manual_seed(config.seed * 1_000_003 + self._done)  # of dropout, so that no random state need be kept
        rise = max(1, round(config.warmup * config.steps))
        factor = min((self._done + 1) / rise, (config.steps - self._done) / max(1, config.steps - rise))
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        self._model.train()
        total, count = self._loss(batch)
        (total / count).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), config.clip)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._done += 1
        value = float(total.detach())
        if not math.isfinite(value):
            raise WusumError(f"step {self._done}: the loss is {value}; lower optimisation.learning_rate")
        return value, count

    def _loss(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
        count = int((batch["targets"] != IGNORED).sum())
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half):
            return self._model(**{name: value.to(self._device) for name, value in batch.items()}), count

    def _evaluate(self) -> None:
        self._model.eval()
        rows = np.argsort(self._held_out.widths, kind="stable")
        parts = [rows[low : low + self._config.batch_size] for low in range(0, len(rows), self._config.batch_size)]
        losses, targets = 0.0, 0
        with torch.no_grad():
            for part in watched(parts, len(parts), "measuring"):
                total, count = self._loss(self._held_out.batch(part, epoch=0))
                losses, targets = losses + float(total), targets + count
        mean = losses / targets
        self._curve.append((self._done, mean))
        say(f"step {self._done}: held-out loss {mean:.4f}, perplexity {math.exp(min(mean, 50.0)):.1f}")

    def _save(self) -> None:
        state = {
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "curve": self._curve,
            "data": self._identity,
        }
        with new_checkpoint(self._folder, self._done) as part:
            torch.save(state, part / STATE)
        keep_only(self._folder, ())

    def _resume(self) -> None:
        last = last_complete_checkpoint(self._folder)
        if last is None:
            return
        state = torch.load(last / STATE, map_location=self._device, weights_only=True)
        if state["data"] != self._identity:
            raise WusumError(f"{last}: made from other articles; delete {self._folder} or bring the old articles back")
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._curve = [tuple(point) for point in state["curve"]]
        self._done = int(last.name.rpartition("-")[2])
        say(f"going on after step {self._done}")


def _parameter_groups(model: MaskedLanguageModel, config: PretrainOptimisationConfig) -> list[dict[str, Any]]:
    """Encoder's matrices, its other weights, and the predicting part; the tied embeddings are the encoder's."""
    encoder = list(model.encoder.parameters())
    known = {id(parameter) for parameter in encoder}
    head = [parameter for parameter in model.head.parameters() if id(parameter) not in known]
    matrices = [parameter for parameter in encoder if parameter.ndim > 1]
    vectors = [parameter for parameter in encoder if parameter.ndim <= 1]
    return [
        {"params": matrices, "peak": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": vectors, "peak": config.learning_rate, "weight_decay": 0.0},
        {"params": head, "peak": config.head_learning_rate, "weight_decay": 0.0},
    ]


def _write_encoder(
    encoder: PreTrainedModel, dropouts: dict[str, float], source: Path, summary: dict[str, Any], target: Path
) -> None:
    scratch = target.with_name(target.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    for name, value in dropouts.items():
        setattr(encoder.config, name, value)
    encoder.save_pretrained(scratch)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, scratch / name)
    text = json.dumps(summary, ensure_ascii=False, indent=1)
    (scratch / SUMMARY).write_text(text + "\n", encoding="utf-8")
    shutil.copymode(scratch / SUMMARY, scratch / WEIGHTS)  # safetensors lets only their owner read them
    os.replace(scratch, target)
