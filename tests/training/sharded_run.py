"""``killable_run.py`` for FSDP on processors: accelerate shards networks on accelerators only.

On processors it would quietly train as DDP does. So these processes are told to be of the kind ``MULTI_GPU``; the
device, the process group (gloo) and all of FSDP2 stay what they are.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FSDPModule
from transformers.utils import logging

from wusum.training.trainer import ArticleTrainer

begin, save = PartialState.__init__, ArticleTrainer._save_checkpoint


def begin_as_gpu(self: PartialState, *values: Any, **named: Any) -> None:
    """Take the place of ``PartialState.__init__``."""
    begin(self, *values, **named)
    if self.distributed_type is DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


def tell_and_save(self: ArticleTrainer, model: Any, trial: Any) -> None:
    """Tell which modules are sharded before a checkpoint is written."""
    sharded = sorted({type(part).__name__ for part in model.modules() if isinstance(part, FSDPModule)})
    sys.stderr.write(f"sharded: {' '.join(sharded)}\n")
    save(self, model, trial)


if __name__ == "__main__":
    import killable_run  # type: ignore[import-not-found]  # beside this script, not beside pytest

    PartialState.__init__ = begin_as_gpu
    ArticleTrainer._save_checkpoint = tell_and_save  # type: ignore[method-assign]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    killable_run.main(*sys.argv[1:])
