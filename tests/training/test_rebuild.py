"""The embedded model is built stage by stage, and a stage that is done is not done again."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from wusum.training import rebuild
from wusum.training.config import TrainConfig, load_config
from wusum.training.pretrain_config import PretrainConfig, load_pretrain_config

RECIPES = Path(__file__).resolve().parents[2] / "configs"


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
    assert f"stage 3 of {len(plan)}: runs/rebuild/folded/encoder is there" in capsys.readouterr().err
    called.clear()
    assert rebuild.main(["a.jsonl"]) == 0
    assert called == []


def test_a_stage_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert rebuild.main(["no-such-corpus.jsonl"]) == 2  # `wusum labels join` says so itself
    assert not any(tmp_path.iterdir())


def test_a_part_of_the_articles_is_not_taken_for_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = rebuild.stages(["a.jsonl"])[0].result

    def join(argv: Sequence[str], check: bool) -> SimpleNamespace:
        result.parent.mkdir(parents=True, exist_ok=True)
        result.write_text("half of the articles", encoding="utf-8")
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(rebuild.subprocess, "run", join)
    assert rebuild.main(["a.jsonl"]) == 1
    assert not result.exists()


def test_what_other_trainings_left_is_no_result_of_a_stage() -> None:
    others = {Path(load_config(recipe).output) for recipe in (RECIPES / "default.yaml", RECIPES / "own-labels.yaml")}
    for stage in rebuild.stages(["a.jsonl"]):
        assert Path("runs/rebuild") in stage.result.parents
    assert not any(Path("runs/rebuild") in (output, *output.parents) for output in others)


def test_each_stage_takes_what_the_ones_before_made() -> None:
    joining, drawing, folding, adapting, cutting, training = rebuild.stages(["a.jsonl", "b"])
    pretraining, shipped = _pretraining(adapting), _fine_tuning(training.arguments)
    assert drawing.arguments[-1] == drawing.result.as_posix() == str(pretraining.data.articles[0])
    assert folding.arguments[-2:] == ("me5-small-ar", folding.result.as_posix())
    assert pretraining.model.encoder == folding.result.as_posix()
    assert Path(pretraining.output, "encoder") == adapting.result
    assert shipped.model.encoder == adapting.result.as_posix()
    assert shipped.model.keep_layers is None  # the pre-training kept six of twelve, all are wanted now
    assert Path(cutting.arguments[2]) == joining.result == Path(shipped.data.articles)
    assert shipped.data.soft == cutting.result.as_posix() == cutting.arguments[-1]
    assert Path(shipped.output, "bundle") == training.result


def test_pre_training_and_training_read_text_folded_as_the_vocabulary_is() -> None:
    *_, adapting, _, training = rebuild.stages(["a.jsonl"])
    assert _pretraining(adapting).input == _fine_tuning(training.arguments).input
    assert _pretraining(adapting).input.recipe == "e5-ar-2"


def test_copies_without_the_test_articles_will_do() -> None:
    joining, drawing, *_ = rebuild.stages(["a.jsonl", "b"])
    assert joining.arguments[-2:] == ("--split", "train")
    for stage in (joining, drawing):
        place = stage.arguments.index("a.jsonl")
        assert stage.arguments[place : place + 2] == ("a.jsonl", "b")


def _fine_tuning(arguments: Sequence[str]) -> TrainConfig:
    return load_config(RECIPES / "default.yaml", arguments[arguments.index("configs/default.yaml") + 1 :])


def _pretraining(stage: rebuild.Stage) -> PretrainConfig:
    place = stage.arguments.index("configs/pretrain.yaml")
    return load_pretrain_config(RECIPES / "pretrain.yaml", stage.arguments[place + 1 :])
