"""Two processes that share every batch learn what one process learns."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from safetensors.torch import load_file  # noqa: E402

from wusum import training  # noqa: E402
from wusum.inference.bundle import open_bundle  # noqa: E402
from wusum.inference.engine import OnnxEngine  # noqa: E402
from wusum.inference.features import Features  # noqa: E402
from wusum.training.checkpoints import read_curve  # noqa: E402
from wusum.training.config import load_config  # noqa: E402
from wusum.training.pipeline import train  # noqa: E402

SCRIPT = Path(__file__).with_name("killable_run.py")
# The last batch holds one article: one of the two processes gets none of it. A third of the cells was not judged.
FEATURES = Features(np.arange(5, 21)[None], np.ones((1, 16), dtype=np.int64), False)
SETTINGS = ["articles=21", "unjudged=0.3", "batch_size=4", "accumulation=2", "plain=true", "epochs=3"]


def launch_two(*arguments: str) -> str:
    """Run a script, or a module, in two processes and return what they said."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # With --cpu, accelerate starts one process whatever the number, unless through MPI.
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    quiet = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(port)]
    command = [sys.executable, "-m", *launcher, *quiet, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(training.__file__).parents[2])}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stderr
    return run.stderr


def launch_one(*arguments: str) -> None:
    subprocess.run([sys.executable, str(SCRIPT), *arguments], check=True, timeout=600)


def test_two_processes_give_the_loss_curve_of_one(tiny_encoder: Path, tmp_path: Path) -> None:
    places = {name: (str(tmp_path / name), str(tmp_path / f"{name}.safetensors")) for name in ("one", "two")}
    launch_one(str(tiny_encoder), *places["one"], *SETTINGS)
    said = launch_two(str(SCRIPT), str(tiny_encoder), *places["two"], *SETTINGS)
    assert said.count("wusum: epoch") == 3  # one process speaks
    names = ("epoch", "step", "train_loss", "dev_loss", "micro_f1", "macro_f1")
    one, two = (
        torch.tensor([[row[name] for name in names] for row in read_curve(Path(folder))])
        for folder, _ in places.values()
    )
    assert one.shape == (3, len(names))
    assert (one - two).abs().max() < 1e-4
    assert one[0, 2] - one[-1, 2] > 1e-3  # it learns, so that equality says something
    first, second = (load_file(result) for _, result in places.values())
    assert max((first[name] - second[name]).abs().max() for name in first) < 1e-3
    written = {path.name for path in next(iter((tmp_path / "two").iterdir())).iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "model.safetensors"} <= written


def test_a_recipe_launched_twice_over_ends_in_one_bundle_of_the_same_scores(
    tiny_recipe: list[str], tmp_path: Path
) -> None:
    recipe = [*tiny_recipe, "model.dropout=0", "model.token_dropout=0", "optimisation.precision=fp32"]
    two, one = (
        [*recipe, f"output={tmp_path / name}", f"data.split={tmp_path / name}.jsonl"] for name in ("two", "one")
    )
    said = launch_two("-m", "wusum.training", *two)
    assert said.count("wusum: epoch") == load_config(Path(recipe[0])).optimisation.epochs
    train(load_config(Path(one[0]), one[1:]))
    bundles = [open_bundle(tmp_path / name / "bundle") for name in ("two", "one")]
    curves = [[row["dev_loss"] for row in read_curve(tmp_path / name / "checkpoints")] for name in ("two", "one")]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    logits = [OnnxEngine(bundle.model_path).logits(FEATURES) for bundle in bundles]
    assert abs(logits[0] - logits[1]).max() < 1e-2
