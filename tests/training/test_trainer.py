"""The learning loop: what counts, what stays, what is refused."""

import errno
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402
from transformers import EvalPrediction, TrainerState  # noqa: E402

from wusum.inference.cli import main  # noqa: E402
from wusum.labels import WusumError, load_taxonomy  # noqa: E402
from wusum.training import arguments, checkpoints, pipeline, trainer  # noqa: E402
from wusum.training.adapters import merge_adapters  # noqa: E402
from wusum.training.batches import LengthGroupedSampler  # noqa: E402
from wusum.training.callbacks import SaveWithinEpoch  # noqa: E402
from wusum.training.checkpoints import (  # noqa: E402
    complete_checkpoints,
    keep_only,
    last_complete_checkpoint,
    load_weights,
    mean_weights,
    out_of_patience,
    read_curve,
    read_state,
    remove_incomplete,
)
from wusum.training.config import LoraConfig, ModelConfig  # noqa: E402
from wusum.training.losses import LabelLoss  # noqa: E402
from wusum.training.model import build_model  # noqa: E402
from wusum.training.sharding import BLANK, BlankableDataset, WholeBatchSampler  # noqa: E402
from wusum.training.trainer import load_mean, scorer  # noqa: E402

LABELS = len(load_taxonomy())


@pytest.fixture(scope="module")
def once() -> ModuleType:
    """The functions of the script that tests run in processes of their own."""
    spec = importlib.util.spec_from_file_location("killable_run_here", Path(__file__).with_name("killable_run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tune(once: ModuleType, tiny_encoder: Path) -> Any:
    """Fine-tune the tiny encoder; return its weights."""

    def run(folder: Path, *, articles: int = 22, unjudged: float = 0.0, plain: bool = False, **settings: Any) -> Any:
        model = once.make_model(tiny_encoder, 0.0, 0.0) if plain else once.make_model(tiny_encoder)
        once.tune(model, folder, once.make_data(articles, seed=0, unjudged=unjudged), **settings)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    return run


def distance(one: dict[str, Any], two: dict[str, Any]) -> float:
    assert one.keys() == two.keys()
    return max(float((one[name] - two[name]).abs().max()) for name in one)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tune: Any, tmp_path: Path) -> None:
    first, second = tune(tmp_path / "a"), tune(tmp_path / "b")
    assert distance(first, second) == 0
    assert distance(first, tune(tmp_path / "c", seed=1)) > 0


def test_accumulated_steps_learn_what_one_large_step_learns(tune: Any, tmp_path: Path) -> None:
    # All articles are in one update; a third of the cells was not judged, unevenly over the two steps.
    settings = {"articles": 8, "unjudged": 0.3, "plain": True, "epochs": 3}
    large = tune(tmp_path / "large", batch_size=8, **settings)
    small = tune(tmp_path / "small", batch_size=4, accumulation=2, **settings)
    assert read_state(complete_checkpoints(tmp_path / "small")[-1])["global_step"] == 3
    assert distance(large, small) < 1e-4
    assert distance(large, tune(tmp_path / "other", batch_size=4, **settings)) > 1e-3


def test_the_best_epoch_stays_and_the_curve_tells_all(tune: Any, tmp_path: Path) -> None:
    weights = tune(tmp_path / "run", epochs=4, head_learning_rate=0.05)
    curve = read_curve(tmp_path / "run")
    assert [(row["epoch"], row["step"]) for row in curve] == [(1, 6), (2, 12), (3, 18), (4, 24)]
    best = max(curve, key=lambda row: row["micro_f1"])
    kept = {path.name for path in complete_checkpoints(tmp_path / "run")}
    assert kept == {f"checkpoint-{best['step']}", "checkpoint-24"}
    assert distance(weights, load_weights(tmp_path / "run" / f"checkpoint-{best['step']}")) == 0
    assert curve[0]["train_loss"] > curve[-1]["train_loss"] > 0
    assert all(row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["dev_loss"] > 0 for row in curve)


def test_the_last_epochs_are_averaged(tune: Any, tmp_path: Path) -> None:
    weights = tune(tmp_path / "run", epochs=3, average=2, checkpoint_steps=2)
    last = [tmp_path / "run" / f"checkpoint-{step}" for step in (12, 18)]
    assert distance(weights, mean_weights([load_weights(path) for path in last])) == 0
    assert distance(weights, load_weights(last[1])) > 0
    with pytest.raises(WusumError, match=r"^optimisation\.average: 4 epochs of 3;"):
        tune(tmp_path / "other", epochs=3, average=4)


def test_the_curves_training_loss_is_the_mean_of_the_updates(
    tune: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    step = trainer.ArticleTrainer.training_step

    def noted(self: Any, *values: Any, **named: Any) -> Any:
        loss = step(self, *values, **named)
        losses.append(float(loss))
        return loss

    monkeypatch.setattr(trainer.ArticleTrainer, "training_step", noted)
    tune(tmp_path / "run", checkpoint_steps=4)
    expected = [np.mean(losses[:6]), np.mean(losses[6:])]
    assert [row["train_loss"] for row in read_curve(tmp_path / "run")] == pytest.approx(expected)


def test_a_full_disk_is_one_sentence_and_harms_nothing(
    tune: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    whole = tune(tmp_path / "whole", checkpoint_steps=2)
    save, calls = trainer.save_file, 0

    def fill_the_disk(weights: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(weights, path)

    monkeypatch.setattr(trainer, "save_file", fill_the_disk)
    with pytest.raises(
        WusumError, match=r"No space left on device.*MiB were free; make room.* the run goes on from checkpoint-2$"
    ) as told:
        tune(folder, checkpoint_steps=2)
    assert "\n" not in str(told.value)
    assert [path.name for path in folder.iterdir()] == ["checkpoint-2"]
    assert distance(tune(folder, checkpoint_steps=2), whole) == 0


def test_checkpoints_are_read_without_pickled_code(tune: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(tmp_path / "run", average=2)
    (tmp_path / "run" / "checkpoint-12").rename(tmp_path / "gone")
    read: dict[str, Any] = {}
    load = torch.load

    def noted(file: Any, **named: Any) -> Any:
        read[Path(file).name] = named.get("weights_only")
        return load(file, **named)

    monkeypatch.setattr(torch, "load", noted)
    tune(tmp_path / "run", average=2)
    assert read == {"optimizer.pt": True, "scheduler.pt": True, "rng_state.pth": True}
    for name in ("optimizer.pt", "model.safetensors", "rng_state.pth"):
        assert (tmp_path / "run" / "checkpoint-12" / name).read_bytes() == (tmp_path / "gone" / name).read_bytes()


def test_half_checkpoints_are_passed_over_and_removed(tmp_path: Path) -> None:
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-9", "checkpoint-11.part"):
        (tmp_path / name).mkdir()
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    remove_incomplete(tmp_path)
    keep_only(tmp_path, {2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]


def test_what_nobody_judged_is_not_scored(once: ModuleType, tiny_encoder: Path) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((40, LABELS)) < 0.3).astype(np.float32)
    logits = (labels * 8 - 4).astype(np.float32)
    score = scorer(once.make_model(tiny_encoder), load_taxonomy(), "multi_label", None)
    assert score(EvalPrediction(predictions=logits, label_ids=labels))["micro_f1"] == pytest.approx(1.0)
    wrong = rng.random(labels.shape) < 0.2
    outcome = EvalPrediction(predictions=np.where(wrong, -logits, logits), label_ids=labels)
    assert score(outcome)["micro_f1"] < 0.9
    outcome.label_ids = np.where(wrong, np.nan, labels).astype(np.float32)
    found = score(outcome)
    assert found["micro_f1"] == pytest.approx(1.0)
    assert found["loss"] == pytest.approx(np.log1p(np.exp(-4)), rel=1e-4)


def test_a_single_label_task_is_scored_by_the_best_label(once: ModuleType, tiny_encoder: Path) -> None:
    labels = np.eye(LABELS, dtype=np.float32)[[0, 1, 2, 3]]
    logits = labels - 9  # no label is likely, yet one is the best
    logits[3] = np.eye(LABELS)[7]
    score = scorer(once.make_model(tiny_encoder), load_taxonomy(), "single_label", None)
    assert score(EvalPrediction(predictions=logits, label_ids=labels))["micro_f1"] == pytest.approx(0.75)


def test_too_many_epochs_without_gain_stop_the_run() -> None:
    assert not out_of_patience([], 1)
    assert not out_of_patience([0.5, 0.4, 0.6], 2)
    assert out_of_patience([0.5, 0.4, 0.5], 2)
    assert not out_of_patience([0.5, 0.4, 0.4], None)


def test_no_checkpoint_is_written_after_an_epochs_last_update_without_its_score() -> None:
    from transformers import TrainerControl

    saving = SaveWithinEpoch(every=3, updates_per_epoch=6)
    saved = []
    for step in range(1, 15):
        control = saving.on_step_end(None, TrainerState(global_step=step, max_steps=14), TrainerControl())  # type: ignore[arg-type]
        assert control.should_save == control.should_log
        if control.should_save:
            saved.append(step)
    assert saved == [3, 9]


def test_blanks_fill_the_last_batch_and_teach_nothing(once: ModuleType) -> None:
    data = once.make_data(10, seed=0)
    order = LengthGroupedSampler(data.widths, 4, seed=0)
    filled = WholeBatchSampler(order, 4)
    assert list(filled) == [*order, BLANK, BLANK]
    assert len(filled) == 12
    blank = BlankableDataset(data)[BLANK]
    assert np.isnan(blank["labels"]).all()
    assert not np.isnan(data[int(np.argmin(data.widths))]["labels"]).any()


def test_slow_bf16_is_told(
    tune: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arguments, "has_bf16", lambda device: False)
    tune(tmp_path / "run", epochs=1, precision="bf16")
    assert "optimisation.precision: this cpu has no bf16 instructions; fp32 is faster here" in capsys.readouterr().err


def test_a_network_that_cannot_be_compiled_is_one_sentence(
    tune: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.exc import InternalTorchDynamoError

    def fail(*_: Any, **__: Any) -> None:
        raise InternalTorchDynamoError("no compiler\nand much more")

    monkeypatch.setattr(trainer.ArticleTrainer, "train", fail)
    with pytest.raises(WusumError, match=r"^optimisation\.compile: .* failed \(no compiler\); set it to false$"):
        tune(tmp_path / "run", epochs=1, compile=True)
    with pytest.raises(InternalTorchDynamoError):  # without compile it is our own fault
        tune(tmp_path / "run", epochs=1)


def test_ctrl_c_tells_how_to_go_on(
    tiny_recipe: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(config: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "train", interrupted)
    arguments = ["train", *tiny_recipe, f"output={tmp_path}"]
    assert main(arguments) == 130
    assert capsys.readouterr().err == "wusum: interrupted; the same command begins anew, nothing was saved yet\n"
    (tmp_path / "checkpoints" / "checkpoint-7").mkdir(parents=True)
    assert main(arguments) == 130
    assert capsys.readouterr().err.endswith(f"the same command goes on from {tmp_path}/checkpoints/checkpoint-7\n")


def test_average_of_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for step in (1, 2):
        (tmp_path / f"checkpoint-{step}").mkdir()
        save_file({"weight": torch.full((2,), float(step))}, tmp_path / f"checkpoint-{step}" / "model.safetensors")
    assert checkpoints.mean_weights([checkpoints.load_weights(path) for path in complete_checkpoints(tmp_path)])[
        "weight"
    ].tolist() == [1.5, 1.5]


def test_the_mean_of_adapted_networks_is_the_mean_of_their_merged_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    config = ModelConfig(str(tiny_encoder), lora=LoraConfig(rank=2))
    merged = []
    for number in (1, 2):
        torch.manual_seed(number)
        network = build_model(tiny_encoder, config, LabelLoss(), [0.1] * 3, 4)
        for name, parameter in network.named_parameters():
            if ".lora_" in name:
                torch.nn.init.normal_(parameter)
        (tmp_path / str(number)).mkdir()
        save_file(network.state_dict(), tmp_path / str(number) / "model.safetensors")
        merged.append(merge_adapters(network).state_dict())
    model = build_model(tiny_encoder, config, LabelLoss(), [0.1] * 3, 4)
    load_mean(model, [tmp_path / "1", tmp_path / "2"])
    wanted = mean_weights(merged)
    assert model.state_dict().keys() == wanted.keys()
    assert distance(model.state_dict(), wanted) == 0
