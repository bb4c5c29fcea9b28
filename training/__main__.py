"""``python -m wusum.training RECIPE``: the way in for launchers such as accelerate."""

import sys

from ..inference.cli import main

if __name__ == "__main__":
    code = main(["train", *sys.argv[1:]])
    if code == 0:
        from .device import leave_processes  # behind main, which tells in one sentence where torch is missing

        leave_processes()
    sys.exit(code)
