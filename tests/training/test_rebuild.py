"""The embedded model is built stage by stage, and a stage that is done is not done again."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from wusum.training import rebuild
from wusum.training.config import TrainConfig, load_config
from wusum.training.pretrain_config import PretrainConfig, load_pretrain_config


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Stages that only write down how they are called, and leave their result."""
    monkeypatch.chdir(tmp_path)
    results = {tuple(stage.arguments): stage.result for stage in rebuild.stages(["a.jsonl"])}
    calls: list[list[str]] = []

    def run(argv: Sequence[str], check: bool) -> SimpleNamespace:
        calls.append(list(argv[1:]))
        results[tuple(argv[1:])].mkdir(parents=True)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(rebuild.subprocess, "run", run)
    return calls


def test_what_is_missing_is_made_in_order_and_only_once(
    called: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = rebuild.stages(["a.jsonl"])
    plan[2].result.mkdir(parents=True)
    assert rebuild.main(["a.jsonl"]) == 0
    assert called == [list(stage.arguments) for stage in (*plan[:2], *plan[3:])]
    assert f"stage 3 of {len(plan)}: runs/pretrain/encoder is there" in capsys.readouterr().err
    called.clear()
    assert rebuild.main(["a.jsonl"]) == 0
    assert called == []


def test_a_stage_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert rebuild.main(["no-such-corpus.jsonl"]) == 2  # `wusum labels join` says so itself
    assert not (tmp_path / "data").exists()


def test_the_mean_is_of_the_runs_that_were_made_and_the_last_ones_begin_there() -> None:
    plan = rebuild.stages(["a.jsonl"])
    *runs, onwards, last = [stage for stage in plan if "train" in stage.arguments]
    encoders = {stage.result.as_posix() for stage in plan if "pretrain" in stage.arguments}
    for stage in runs:
        config = _fine_tuning(stage.arguments)
        assert Path(config.output, "bundle") == stage.result
        assert config.model.encoder in encoders
    assert plan[-1] == last
    [averaging] = [stage for stage in plan if "average" in stage.arguments]
    arguments = list(averaging.arguments)
    place = arguments.index("--runs")
    assert [Path(run, "bundle") for run in arguments[place + 1 :]] == [stage.result for stage in runs]
    mean = _fine_tuning(arguments[:place])
    assert Path(mean.output, "bundle") == averaging.result
    assert mean.model.encoder in encoders
    next_one, shipped = _fine_tuning(onwards.arguments), _fine_tuning(last.arguments)
    assert next_one.model.start == mean.output
    assert next_one.model.encoder == mean.model.encoder
    assert Path(next_one.output, "bundle") == onwards.result
    assert shipped.model.start == next_one.output
    assert Path(shipped.output, "bundle") == last.result


def test_the_last_run_reads_folded_text_with_the_folded_encoder_and_excerpts() -> None:
    plan = rebuild.stages(["a.jsonl"])
    shipped = _fine_tuning(plan[-1].arguments)
    [folding] = [stage for stage in plan if "wusum.training.fold_vocabulary" in stage.arguments]
    [cutting] = [stage for stage in plan if "wusum.training.excerpts" in stage.arguments]
    assert shipped.input.recipe == "e5-ar-2"
    assert shipped.model.encoder == folding.result.as_posix() == folding.arguments[-1]
    assert folding.arguments[-2] in {stage.result.as_posix() for stage in plan if "pretrain" in stage.arguments}
    assert shipped.data.soft == cutting.result.as_posix() == cutting.arguments[-1]
    assert Path(cutting.arguments[2]) == plan[0].result


def _fine_tuning(arguments: Sequence[str]) -> TrainConfig:
    recipe = Path(__file__).resolve().parents[2] / "configs" / "default.yaml"
    return load_config(recipe, arguments[arguments.index("configs/default.yaml") + 1 :])


def test_the_second_pre_training_goes_on_from_the_first() -> None:
    first, second = [stage for stage in rebuild.stages(["a.jsonl"]) if "pretrain" in stage.arguments]
    configs = [_pretraining(stage) for stage in (first, second)]
    assert [Path(config.output, "encoder") for config in configs] == [first.result, second.result]
    assert configs[1].model.encoder == first.result.as_posix()
    assert configs[1].model.keep_layers is None


def _pretraining(stage: rebuild.Stage) -> PretrainConfig:
    place = stage.arguments.index("configs/pretrain.yaml")
    recipe = Path(__file__).resolve().parents[2] / "configs" / "pretrain.yaml"
    return load_pretrain_config(recipe, stage.arguments[place + 1 :])
