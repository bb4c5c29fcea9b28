"""A run that is killed, at whatever moment, ends with the very weights of a run that is left alone."""

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from wusum.training.checkpoints import complete_checkpoints, last_complete_checkpoint, read_curve


class Runs:
    """Starts fine-tunings in processes of their own, which one server forks so that torch is imported once."""

    def __init__(self, context: ForkServerContext, encoder: Path) -> None:
        self._context = context
        self._encoder = encoder

    def __call__(self, folder: Path, moment: str = "never", number: int = 0, **settings: Any) -> int | None:
        """Return the exit code; the result lies beside ``folder``."""
        import killable_run  # type: ignore[import-not-found]

        values = (self._encoder, folder, result_of(folder), settings, moment, number)
        process = self._context.Process(target=killable_run.tune_and_die, args=values)
        process.start()
        process.join(timeout=240)
        assert not process.is_alive()
        return process.exitcode


def result_of(folder: Path) -> Path:
    return folder.with_suffix(".safetensors")


@pytest.fixture(scope="module")
def runs(tiny_encoder: Path) -> Iterator[Runs]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killable_run"])
    with pytest.MonkeyPatch.context() as patch:
        here = str(Path(__file__).parent)
        patch.syspath_prepend(here)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])))  # the server's
        yield Runs(context, tiny_encoder)


def scores(folder: Path) -> list[dict[str, float]]:
    """The learning curve without its times."""
    return [{name: row[name] for name in row if "seconds" not in name} for row in read_curve(folder)]


@pytest.mark.parametrize(
    ("settings", "moments"),
    [
        ({"checkpoint_steps": 2}, ("update", "writing", "renaming", "deleting", "update")),
        ({"checkpoint_steps": 1, "average": 2, "accumulation": 2}, ("renaming", "update", "writing")),
    ],
)
def test_a_run_killed_again_and_again_ends_with_the_same_weights(
    runs: Runs, tmp_path: Path, settings: dict[str, Any], moments: tuple[str, ...]
) -> None:
    assert runs(tmp_path / "whole", **settings) == 0
    draw, folder = random.Random(0), tmp_path / "killed"
    deaths = [runs(folder, moment, draw.randint(2, 3), **settings) for moment in moments]
    assert deaths.count(-signal.SIGKILL) >= 3
    assert result_of(folder).exists() or runs(folder, **settings) == 0
    assert result_of(folder).read_bytes() == result_of(tmp_path / "whole").read_bytes()
    assert scores(folder) == scores(tmp_path / "whole")
    assert [row["epoch"] for row in scores(folder)] == [1, 2]
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}


NO_GAIN = {"epochs": 6, "patience": 1, "learning_rate": 1e-9, "head_learning_rate": 1e-9}


@pytest.mark.parametrize("settings", [NO_GAIN, {"epochs": 1.5}])
def test_a_finished_run_learns_no_more(runs: Runs, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    assert runs(folder, **settings) == 0
    first, last = result_of(folder).read_bytes(), last_complete_checkpoint(folder)
    assert len(read_curve(folder)) == 2
    result_of(folder).unlink()
    assert runs(folder, **settings) == 0
    assert (result_of(folder).read_bytes(), last_complete_checkpoint(folder)) == (first, last)


def test_ctrl_c_saves_the_update_under_way(runs: Runs, tmp_path: Path) -> None:
    assert runs(tmp_path / "whole") == 0
    folder = tmp_path / "stopped"
    assert runs(folder, "interrupt", 3) != 0
    assert [path.name for path in complete_checkpoints(folder)] == ["checkpoint-3"]
    assert not result_of(folder).exists()
    assert runs(folder, "interrupt", 3) != 0  # the third update from there is the last one of the first epoch
    state = json.loads((folder / "checkpoint-6" / "trainer_state.json").read_text(encoding="utf-8"))
    assert any("eval_micro_f1" in entry for entry in state["log_history"])
    assert runs(folder) == 0
    assert result_of(folder).read_bytes() == result_of(tmp_path / "whole").read_bytes()
