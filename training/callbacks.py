"""What happens between the updates: when to save, when to stop, what to show."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..inference.progress import say
from .checkpoints import SCORE, evaluated_scores, out_of_patience
from .progress import Bar


class SaveWithinEpoch(TrainerCallback):
    """Asks for checkpoints within an epoch: every so many updates, and before an interrupted run stops.

    Never after an epoch's last update: that checkpoint is written after the epoch's evaluation. A run that went on
    from one before it would go without.
    """

    def __init__(self, every: int | None, updates_per_epoch: int) -> None:
        """Take the updates between checkpoints (None writes none) and the updates of an epoch."""
        self._every = every
        self._epoch = updates_per_epoch
        self._interrupted = False

    @contextmanager
    def stops_when_interrupted(self) -> Iterator[None]:
        """Make Ctrl-C finish the update under way, save and stop; a second one stops at once.

        Only where this process is alone: several would not stop at the same update.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        say("stops after this update with a checkpoint; Ctrl-C again stops at once")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Ask for a checkpoint; its log entry, written first, keeps the training loss complete."""
        due = self._interrupted or (self._every is not None and state.global_step % self._every == 0)
        last = state.global_step % self._epoch == 0 or state.global_step >= state.max_steps
        if due and not last:
            control.should_log = control.should_save = True
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Stop where that was asked for.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed before.
        """
        if self._interrupted:
            raise KeyboardInterrupt


class StopEarly(TrainerCallback):
    """Stops when too many epochs brought no better dev score; knows it from the log, which checkpoints keep."""

    def __init__(self, patience: int | None) -> None:
        """Take the number of epochs; None never stops."""
        self._patience = patience

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Stop after this epoch's checkpoint."""
        if out_of_patience(evaluated_scores(state.log_history).values(), self._patience):
            control.should_training_stop = True
        return control


class ShowProgress(TrainerCallback):
    """A bar over the updates, and a line for each epoch; speaks in the main process only."""

    def __init__(self) -> None:
        """Start without a bar."""
        self._bar: Bar | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar where the run stands."""
        if state.is_world_process_zero:
            self._bar = Bar(state.max_steps, "training", state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.advance()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Tell how the epoch went."""
        if state.is_world_process_zero:
            loss, micro, macro = (more["metrics"][f"eval_{name}"] for name in ("loss", SCORE, "macro_f1"))
            say(f"epoch {state.epoch:g}: dev loss {loss:.4f}, micro-F1 {micro:.3f}, macro-F1 {macro:.3f}")

    def close(self) -> None:
        """Wipe the bar, also after a fault."""
        if self._bar is not None:
            self._bar.close()
