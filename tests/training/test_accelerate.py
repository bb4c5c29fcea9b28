"""The configurations for accelerate, tried with processes on this machine's cores instead of GPUs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from safetensors.torch import load_file  # noqa: E402

from wusum import training  # noqa: E402
from wusum.training.checkpoints import complete_checkpoints, read_curve  # noqa: E402

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs" / "accelerate"
# kind, machines, processes
PROMISED = {
    "one-gpu": ("NO", 1, 1),
    "ddp-8gpu": ("MULTI_GPU", 1, 8),
    "ddp-2x8gpu": ("MULTI_GPU", 2, 16),
    "fsdp2-8gpu": ("FSDP", 1, 8),
    "fsdp2-2x8gpu": ("FSDP", 2, 16),
}
# The last batch holds one article: one of the two processes gets none of it. A third of the cells was not judged.
SETTINGS = ["articles=21", "unjudged=0.3", "batch_size=4", "accumulation=2", "plain=true"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(training.__file__).parents[2])}


def launch(config: str, script: str, encoder: Path, folder: Path, *settings: str, machines: int = 1) -> str:
    """Run a script in two processes, under as many launchers as machines; return what was said."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = ["accelerate.commands.launch", "--config_file", str(CONFIGS / f"{config}.yaml"), "--num_processes", "2"]
    meeting = ["--main_process_ip", "127.0.0.1", "--main_process_port", str(port)]
    work = [str(HERE / script), str(encoder), str(folder), str(result_of(folder)), *SETTINGS, *settings]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", *launcher, *meeting, "--machine_rank", str(rank), *work],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(machines)
    ]
    try:
        said = [run.communicate(timeout=900)[1] for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert [run.returncode for run in runs] == [0] * machines, "\n".join(said)
    return "".join(said)


def result_of(folder: Path) -> Path:
    return folder.with_suffix(".safetensors")


def curve_of(folder: Path) -> Any:
    names = ("step", "train_loss", "dev_loss", "micro_f1", "macro_f1")
    return torch.tensor([[row[name] for name in names] for row in read_curve(folder)])


def farthest(one: Path, other: Path) -> float:
    """The largest difference between the weights that two runs ended with."""
    first, second = load_file(result_of(one)), load_file(result_of(other))
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def assert_goes_on_exactly(
    config: str, script: str, encoder: Path, folder: Path, resumed: Path, machines: int = 1
) -> None:
    """Repeat the second of two epochs from the checkpoint after the first."""
    first, last = complete_checkpoints(folder)
    shutil.copytree(first, resumed / first.name)
    said = launch(config, script, encoder, resumed, "epochs=2", machines=machines)
    assert said.count("wusum: epoch") == 1
    assert [path.name for path in complete_checkpoints(resumed)] == [first.name, last.name]
    assert farthest(resumed, folder) == 0


@pytest.fixture(scope="module")
def alone(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs in one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    command = [str(HERE / "killable_run.py"), str(tiny_encoder), str(folder), str(result_of(folder)), *SETTINGS]
    subprocess.run([sys.executable, *command, "epochs=2"], env=ENVIRONMENT, check=True, timeout=900)
    return folder


def test_every_configuration_is_known_here() -> None:
    assert {path.stem for path in CONFIGS.iterdir()} == set(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_a_configuration_is_what_its_name_says_and_has_no_key_that_accelerate_ignores(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))  # refuses unknown keys, but for those of FSDP
    assert (config.distributed_type.value, config.num_machines, config.num_processes) == PROMISED[name]
    assert config.mixed_precision == "no"  # else it would speak against the recipe's own precision
    options = {option for action in launch_command_parser()._actions for option in action.option_strings}
    sharding = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")).get("fsdp_config", {})
    assert {f"--{key}" for key in sharding} <= options
    assert bool(sharding) == name.startswith("fsdp2")
    assert sharding.get("fsdp_version", 2) == 2


def test_two_machines_learn_what_one_process_learns_and_go_on_exactly(
    tiny_encoder: Path, alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    said = launch("ddp-2x8gpu", "killable_run.py", tiny_encoder, folder, "epochs=2", machines=2)
    assert said.count("wusum: epoch") == 2  # one process of one machine speaks
    assert (curve_of(folder) - curve_of(alone)).abs().max() < 1e-4
    assert farthest(folder, alone) < 1e-3
    assert_goes_on_exactly("ddp-2x8gpu", "killable_run.py", tiny_encoder, folder, tmp_path / "resumed", machines=2)


def test_sharded_processes_learn_what_one_process_learns_and_go_on_exactly(
    tiny_encoder: Path, alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    said = launch("fsdp2-8gpu", "sharded_run.py", tiny_encoder, folder, "epochs=2")
    assert "sharded: FSDPArticleTagger FSDPBertLayer" in said
    assert (curve_of(folder) - curve_of(alone)).abs().max() < 1e-4
    assert farthest(folder, alone) < 1e-3
    assert_goes_on_exactly("fsdp2-8gpu", "sharded_run.py", tiny_encoder, folder, tmp_path / "resumed")
