"""Two processes that share every batch learn what one process learns."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from safetensors.torch import load_file  # noqa: E402

from wusum.training.checkpoints import read_curve  # noqa: E402

SCRIPT = Path(__file__).with_name("killable_run.py")
# The last batch holds one article: one of the two processes gets none of it. A third of the cells was not judged.
SETTINGS = ["articles=21", "unjudged=0.3", "batch_size=4", "accumulation=2", "plain=true", "epochs=3"]


def launch_two(*arguments: str) -> str:
    """Run the script in two processes and return what they said."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # With --cpu, accelerate starts one process whatever the number, unless through MPI.
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    quiet = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(port)]
    command = [sys.executable, "-m", *launcher, *quiet, str(SCRIPT), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stderr
    return run.stderr


def launch_one(*arguments: str) -> None:
    subprocess.run([sys.executable, str(SCRIPT), *arguments], check=True, timeout=600)


def test_two_processes_give_the_loss_curve_of_one(tiny_encoder: Path, tmp_path: Path) -> None:
    places = {name: (str(tmp_path / name), str(tmp_path / f"{name}.safetensors")) for name in ("one", "two")}
    launch_one(str(tiny_encoder), *places["one"], *SETTINGS)
    said = launch_two(str(tiny_encoder), *places["two"], *SETTINGS)
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
