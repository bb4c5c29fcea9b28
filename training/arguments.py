"""A recipe's optimisation section in the words of the transformers Trainer."""

from __future__ import annotations

from pathlib import Path

from transformers import TrainingArguments

from ..inference.progress import say
from .checkpoints import SCORE
from .config import OptimisationConfig
from .device import has_bf16, is_main_process, resolve_device, share_of_batch, uses_bf16


def trainer_arguments(
    optimisation: OptimisationConfig, updates: int, processes: int, folder: Path
) -> TrainingArguments:
    """Return the Trainer's settings for a recipe.

    Args:
        optimisation: the recipe's section.
        updates: of the weights in an epoch.
        processes: that train together.
        folder: where checkpoints go.

    Raises:
        WusumError: a GPU asked for and absent, or a batch that does not divide over the processes.

    Example:
        >>> trainer_arguments(OptimisationConfig(epochs=2), 50, 1, Path("checkpoints")).warmup_steps  # doctest: +SKIP
        6
    """
    device = resolve_device(optimisation.device)
    bf16 = uses_bf16(optimisation.precision, optimisation.device)
    if bf16 and not has_bf16(device) and is_main_process():
        say(f"optimisation.precision: this {device.type} has no bf16 instructions; fp32 is faster here")
    share = share_of_batch(optimisation.batch_size, processes)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=optimisation.epochs,
        per_device_train_batch_size=share,
        per_device_eval_batch_size=share * 2,
        gradient_accumulation_steps=optimisation.accumulation,
        learning_rate=optimisation.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(optimisation.warmup * optimisation.epochs * updates),
        max_grad_norm=optimisation.clip,
        bf16=bf16,
        use_cpu=device.type == "cpu",
        torch_compile=optimisation.compile,
        ddp_find_unused_parameters=False,
        seed=optimisation.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model=SCORE,
        greater_is_better=True,
        logging_strategy="epoch",
        disable_tqdm=True,
        report_to="none",
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
    )
    # Several GPUs without a launcher: the Trainer would cut the windows of a batch apart from their articles.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
