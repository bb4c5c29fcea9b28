"""``python -m wusum.training RECIPE``: the way in for launchers such as accelerate."""

import sys

from ..inference.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
