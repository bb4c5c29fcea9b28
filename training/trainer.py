"""The transformers Trainer, set up from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.utils.data import Sampler
from transformers import EvalPrediction, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from ..labels import Taxonomy
from ..labels.errors import WusumError
from .batches import Collator, FeatureDataset, LengthGroupedSampler
from .config import OptimisationConfig
from .metrics import f1_report
from .model import ArticleTagger, parameter_groups
from .thresholds import crossfit_decisions

BEST_BY = "micro_f1"


class ArticleTrainer(Trainer):
    """A Trainer with length-grouped batches and learning rates by layer."""

    def __init__(self, model: ArticleTagger, *, optimisation: OptimisationConfig, **options: Any) -> None:
        """Take the recipe's optimisation section besides the Trainer's own arguments."""
        super().__init__(model, **options)
        self._network = model
        self._optimisation = optimisation

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        if not isinstance(dataset, FeatureDataset):
            raise TypeError(f"expected a FeatureDataset, got {type(dataset).__name__}")
        return LengthGroupedSampler(dataset.widths, self.args.train_batch_size, self._optimisation.seed)

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


def fine_tune(
    model: ArticleTagger,
    train: FeatureDataset,
    dev: FeatureDataset,
    *,
    taxonomy: Taxonomy,
    pad: int,
    optimisation: OptimisationConfig,
    folder: Path,
) -> None:
    """Fine-tune ``model`` in place; resumes from the last checkpoint in ``folder``.

    What stays is the epoch with the best dev micro-F1, or the average of the last epochs where the recipe asks for it.

    Dev decisions come from thresholds fitted on other articles of dev (cross-fitted).
    """

    def score(outcome: EvalPrediction) -> dict[str, float]:
        probabilities = 1 / (1 + np.exp(-np.asarray(outcome.predictions, dtype=np.float64)))
        truth = np.asarray(outcome.label_ids) > 0
        report = f1_report(crossfit_decisions(probabilities, truth), truth, taxonomy)
        return {"micro_f1": report.overall.micro.f1, "macro_f1": report.overall.macro.f1}

    trainer = ArticleTrainer(
        model,
        args=_arguments(optimisation, len(train), folder),
        train_dataset=train,
        eval_dataset=dev,
        data_collator=Collator(pad),
        compute_metrics=score,
        optimisation=optimisation,
    )
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None  # type: ignore[no-untyped-call]
    trainer.train(resume_from_checkpoint=last)
    if optimisation.average > 1:
        model.load_state_dict(average_checkpoints(folder, optimisation.average))


def average_checkpoints(folder: Path, count: int) -> dict[str, torch.Tensor]:
    """Return the mean of the weights of the last ``count`` checkpoints (Izmailov et al. 2018, equal weights).

    Raises:
        WusumError: there are fewer checkpoints.
    """
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))[-count:]
    if len(checkpoints) < count:
        raise WusumError(f"{folder}: {len(checkpoints)} checkpoints, optimisation.average asks for {count}")
    states = [load_file(checkpoint / "model.safetensors") for checkpoint in checkpoints]
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _arguments(optimisation: OptimisationConfig, articles: int, folder: Path) -> TrainingArguments:
    updates = optimisation.epochs * articles / (optimisation.batch_size * optimisation.accumulation)
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=optimisation.epochs,
        per_device_train_batch_size=optimisation.batch_size,
        per_device_eval_batch_size=optimisation.batch_size * 2,
        gradient_accumulation_steps=optimisation.accumulation,
        learning_rate=optimisation.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(optimisation.warmup * updates),
        max_grad_norm=optimisation.clip,
        bf16=uses_bf16(optimisation.precision),
        use_cpu=not torch.cuda.is_available(),
        seed=optimisation.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=max(2, optimisation.average + 1),  # the best one on dev may be older than the last ones
        load_best_model_at_end=True,
        metric_for_best_model=BEST_BY,
        logging_steps=20,
        report_to="none",
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def uses_bf16(precision: str) -> bool:
    """Return whether to multiply in bf16; ``auto`` does where the GPU or the CPU has instructions for it."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
