"""The transformers Trainer, set up from a recipe.

Same seed, machine, thread count and number of processes give the same weights on CPU, bit for bit, also when the run
was killed and went on from a checkpoint in between. On a GPU the order of additions may differ from run to run.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import parse_flag_from_env
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.utils.data import Sampler
from transformers import EvalPrediction, PrinterCallback, Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from ..inference.scoring import Task
from ..labels import Taxonomy
from ..labels.errors import WusumError
from .adapters import merge_adapters
from .arguments import trainer_arguments
from .batches import Collator, FeatureDataset, LengthGroupedSampler
from .callbacks import SaveWithinEpoch, ShowProgress, StopEarly
from .checkpoints import (
    SCORE,
    checkpoint_at,
    chosen_steps,
    evaluated_scores,
    keep_only,
    last_complete_checkpoint,
    load_weights,
    mean_weights,
    needed_steps,
    new_checkpoint,
    out_of_patience,
    read_state,
    remove_incomplete,
)
from .config import OptimisationConfig
from .device import is_main_process, join_processes, wait_for_all
from .encoder_network import encoder_layers
from .metrics import f1_report
from .model import ArticleTagger, parameter_groups
from .sharding import BlankableDataset, WholeBatchSampler
from .thresholds import crossfit_decisions

Score = Callable[[EvalPrediction], dict[str, float]]


class ArticleTrainer(Trainer):
    """A Trainer with length-grouped batches, learning rates by layer, and checkpoints that are whole or not there.

    The loss of an update is the mean over all cells that were judged in it, whichever process and whichever of the
    accumulated steps they are in.
    """

    loss_is_scaled_for_ga = True  # compute_loss divides by the cells of all accumulated steps

    def __init__(
        self, model: ArticleTagger, *, train: FeatureDataset, task: Task, optimisation: OptimisationConfig, **more: Any
    ) -> None:
        """Take the training articles and the recipe's optimisation section besides the Trainer's own arguments."""
        args: TrainingArguments = more["args"]
        super().__init__(model, train_dataset=BlankableDataset(train), **more)
        self._network = model
        self._optimisation = optimisation
        self._task = task
        self._cells = 1.0
        order = LengthGroupedSampler(train.widths, optimisation.batch_size, optimisation.seed)
        self._order = WholeBatchSampler(order, optimisation.batch_size) if args.world_size > 1 else order
        self._clocks = time.monotonic(), time.process_time()
        if self.is_fsdp_enabled:
            sharding = self.accelerator.state.fsdp_plugin
            sharding.transformer_cls_names_to_wrap = [type(encoder_layers(model.encoder)[0]).__name__]
            # Weights and gradients stay fp32: its own policy would put the head and the sums into bf16 too.
            sharding.mixed_precision_policy = None

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        """Multiply sharded weights in bf16 where the recipe says so; else accelerate sees to it."""
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.is_fsdp_enabled and self.args.bf16)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create AdamW with the recipe's parameter groups."""
        if self.optimizer is None:
            groups = parameter_groups(
                self._network,
                learning_rate=self._optimisation.learning_rate,
                head_learning_rate=self._optimisation.head_learning_rate,
                layer_decay=self._optimisation.layer_decay,
                weight_decay=self._optimisation.weight_decay,
            )
            self.optimizer = torch.optim.AdamW(groups, fused=True)
        return self.optimizer

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Fetch the batches of one update and count what was judged in them, over all processes."""
        # accelerate does not hand the epoch on to the sampler where several processes go on in the middle of one.
        self._order.set_epoch(int(self.state.epoch or 0))
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        judged = sum((self._judged(batch["labels"]) for batch in batches), torch.zeros(()))
        self._cells = float(self.accelerator.reduce(judged.to(device), "sum").clamp(min=1))
        return batches, items

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return this process's share of the update's loss; in evaluation the mean over the batch."""
        outputs = model(**inputs)
        loss = outputs["loss"]
        if model.training:
            # Gradients are averaged over the processes, and what counts is their sum.
            share = self._judged(inputs["labels"]) / self._cells * self.accelerator.num_processes
            loss = loss * share
        return (loss, outputs) if return_outputs else loss

    def _judged(self, labels: torch.Tensor) -> torch.Tensor:
        """Return by what the loss of a batch is divided: judged cells, or articles where each has one label."""
        judged = ~labels.isnan()
        return (judged.all(1) if self._task == "single_label" else judged).sum()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Note the seconds since the last entry besides what the Trainer notes."""
        clocks = time.monotonic(), time.process_time()
        seconds, cpu_seconds = (now - before for now, before in zip(clocks, self._clocks, strict=True))
        self._clocks = clocks
        super().log(logs | {"seconds": seconds, "cpu_seconds": cpu_seconds}, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(str(self.args.output_dir))
        with new_checkpoint(folder, self.state.global_step) as part:
            self._save_rng_state(str(part))
            self._save_optimizer_and_scheduler(str(part))
            state = self.accelerator.get_state_dict(self._network, unwrap=False)  # every process has a part of it
            if is_main_process():
                weights = {name: tensor.contiguous() for name, tensor in state.items()}
                save_file(weights, part / SAFE_WEIGHTS_NAME)
                self.state.save_to_json(str(part / TRAINER_STATE_NAME))
        if is_main_process():
            keep_only(folder, needed_steps(evaluated_scores(self.state.log_history), self._optimisation.average))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        weights: dict[str, Any] = dict(load_weights(Path(resume_from_checkpoint)))
        set_model_state_dict(self._network, weights, options=StateDictOptions(full_state_dict=True))


def fine_tune(
    model: ArticleTagger,
    train: FeatureDataset,
    dev: FeatureDataset,
    *,
    taxonomy: Taxonomy,
    pad: int,
    optimisation: OptimisationConfig,
    folder: Path,
    task: Task = "multi_label",
    clusters: Sequence[str] | None = None,
) -> None:
    """Fine-tune ``model`` in place; goes on from the last checkpoint in ``folder``.

    What stays is the epoch with the best dev micro-F1, or the average of the last epochs where the recipe asks for it.
    Dev decisions come from thresholds fitted on other articles of dev (cross-fitted), or are the best label of each
    article in a ``single_label`` task. Started by ``accelerate launch``, every process calls this and gets the same
    weights; the main one writes.

    Args:
        model: the network; its ``loss`` is minimised.
        train: articles to learn from; NaN targets give no loss.
        dev: articles that choose the epoch; NaN targets are not scored.
        taxonomy: the labels, in the order of the targets' columns.
        pad: token id of padding.
        optimisation: how it is learned.
        folder: where checkpoints go.
        task: any number of labels per article, or exactly one.
        clusters: each dev article's cluster of near-duplicates; one cluster is never on both sides of a threshold.

    Raises:
        WusumError: a GPU asked for and absent, a batch that does not divide over the processes, more epochs to average
            than there are, a checkpoint that cannot be written, or ``torch.compile`` failed.
        KeyboardInterrupt: Ctrl-C, after a checkpoint where this process is alone.
    """
    if optimisation.average > math.ceil(optimisation.epochs):
        found = f"{optimisation.average} epochs of {optimisation.epochs:g}"
        raise WusumError(f"optimisation.average: {found}; set it to the number of epochs or less")
    processes = join_processes(optimisation.device)
    updates = math.ceil(math.ceil(len(train) / optimisation.batch_size) / optimisation.accumulation)
    saving, showing = SaveWithinEpoch(optimisation.checkpoint_steps, updates), ShowProgress()
    # FSDP cuts the weights of a network up for good.
    network = copy.deepcopy(model) if parse_flag_from_env("ACCELERATE_USE_FSDP") else model
    trainer = ArticleTrainer(
        network,
        train=train,
        task=task,
        optimisation=optimisation,
        args=trainer_arguments(optimisation, updates, processes.num_processes, folder),
        eval_dataset=dev,
        data_collator=Collator(pad, train.window),
        compute_metrics=scorer(model, taxonomy, task, clusters),
        callbacks=[saving, StopEarly(optimisation.patience), showing],
    )
    trainer.remove_callback(PrinterCallback)
    if processes.process_index:
        torch.manual_seed(optimisation.seed + processes.process_index)  # dropout must not repeat on every process
    if is_main_process():
        remove_incomplete(folder)
    wait_for_all()
    last = last_complete_checkpoint(folder)
    try:
        if last is None or not _is_finished(last, optimisation):
            if processes.num_processes > 1:
                _run(trainer, last, optimisation)
            else:
                with saving.stops_when_interrupted():
                    _run(trainer, last, optimisation)
    finally:
        showing.close()
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # takes autocast off again
    last = last_complete_checkpoint(folder)
    if last is None:
        raise WusumError(f"{folder}: holds no checkpoint any more; start again")
    scores = evaluated_scores(read_state(last)["log_history"])
    if is_main_process():
        keep_only(folder, needed_steps(scores, optimisation.average))  # a run that was killed right before did not
    load_mean(
        model.to(trainer.args.device),
        [checkpoint_at(folder, step) for step in chosen_steps(scores, optimisation.average)],
    )


def load_mean(model: ArticleTagger, checkpoints: Sequence[Path]) -> None:
    """Give ``model`` the mean of the checkpoints' weights.

    Of several, adapters are merged before: the mean of their products is not the product of their means.
    """
    if len(checkpoints) == 1:
        model.load_state_dict(load_weights(checkpoints[0]))
        return
    states = []
    for checkpoint in checkpoints:
        network = copy.deepcopy(model)
        network.load_state_dict(load_weights(checkpoint))
        states.append(merge_adapters(network).state_dict())
    merge_adapters(model).load_state_dict(mean_weights(states))


def _run(trainer: ArticleTrainer, last: Path | None, optimisation: OptimisationConfig) -> None:
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    except RuntimeError as fault:
        if not (optimisation.compile and type(fault).__module__.startswith(("torch._dynamo", "torch._inductor"))):
            raise
        reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise WusumError(f"optimisation.compile: torch.compile failed ({reason}); set it to false") from fault


def _is_finished(checkpoint: Path, optimisation: OptimisationConfig) -> bool:
    """Return whether nothing is left to learn after ``checkpoint``; the Trainer would make one more update."""
    state = read_state(checkpoint)
    scores = evaluated_scores(state["log_history"])
    if state["global_step"] not in scores:
        return False
    return state["global_step"] >= state["max_steps"] or out_of_patience(scores.values(), optimisation.patience)


def scorer(model: ArticleTagger, taxonomy: Taxonomy, task: Task, clusters: Sequence[str] | None) -> Score:
    """Return the function that scores dev: loss, micro-F1 and macro-F1 over the cells that were judged."""

    def score(outcome: EvalPrediction) -> dict[str, float]:
        logits, labels = (np.asarray(part, dtype=np.float32) for part in (outcome.predictions, outcome.label_ids))
        if not np.isfinite(logits).all():
            lost = "the network's scores are no numbers any more; lower it and delete the run's checkpoints"
            raise WusumError(f"optimisation.learning_rate: {lost}")
        judged, truth = ~np.isnan(labels), np.nan_to_num(labels) > 0.5
        if task == "single_label":
            decisions = np.arange(logits.shape[1]) == logits.argmax(1, keepdims=True)
        else:
            probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
            decisions = crossfit_decisions(probabilities, truth, judged=judged, clusters=clusters)
        overall = f1_report(decisions, truth, taxonomy, judged).overall
        # The Trainer's own dev loss is the mean of the batches' means, which depends on how dev was cut into them.
        device = next(model.parameters()).device
        with torch.no_grad():
            loss = model.loss(torch.from_numpy(logits).to(device), torch.from_numpy(labels).to(device)).item()
        return {"loss": loss, SCORE: overall.micro.f1, "macro_f1": overall.macro.f1}

    return score
