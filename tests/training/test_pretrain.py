import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wusum.labels.errors import WusumError

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from wusum.training import pretrain as module
from wusum.training.encoder import resolve_encoder
from wusum.training.pretrain import MaskedLanguageModel, Pretrained, build_masked_model, pretrain
from wusum.training.pretrain_config import PretrainConfig, load_pretrain_config
from wusum.training.pretrain_data import Windows, read_windows
from wusum.training.run_folder import claim_folder

RECIPE = Path(__file__).resolve().parents[2] / "configs" / "pretrain.yaml"
STEPS = 12

Options = Callable[..., list[str]]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, samples: list[dict[str, Any]]) -> Options:
    articles = tmp_path_factory.mktemp("raw") / "articles.jsonl"
    rows = [{"id": row["id"], "title": row["title"], "text": row["text"]} for row in samples]
    articles.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    def build(output: Path, *more: str) -> list[str]:
        return [
            f"output={output}",
            f"model.encoder={tiny_encoder}",
            "model.keep_layers=null",
            f"data.articles=[{articles}]",
            "data.exclude=[]",
            "data.held_out=3",
            "input.window=64",
            f"optimisation.steps={STEPS}",
            "optimisation.batch_size=8",
            "optimisation.checkpoint_steps=2",
            "optimisation.evaluate_steps=4",
            "optimisation.log_steps=3",
            "optimisation.learning_rate=1.0e-2",
            "optimisation.precision=fp32",
            *more,
        ]

    return build


def config_of(options: list[str]) -> PretrainConfig:
    return load_pretrain_config(RECIPE, options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, options: Options) -> Pretrained:
    return pretrain(config_of(options(tmp_path_factory.mktemp("whole") / "run", "model.dropout=0.1")))


def weights(encoder: Path) -> dict[str, Any]:
    return load_file(encoder / "model.safetensors")


def test_the_held_out_loss_falls_and_is_measured_as_often_as_asked(finished: Pretrained) -> None:
    assert [step for step, _ in finished.curve] == [0, 4, 8, 12]
    assert finished.curve[-1][1] < finished.curve[0][1] - 0.2


def test_the_encoder_loads_like_the_checkpoint_that_it_came_from(finished: Pretrained, tiny_encoder: Path) -> None:
    assert resolve_encoder(str(finished.encoder)) == finished.encoder
    before, after = weights(tiny_encoder), weights(finished.encoder)
    assert {name: value.shape for name, value in after.items()} == {n: v.shape for n, v in before.items()}
    assert any(not torch.equal(after[name], before[name]) for name in before)
    model, info = AutoModel.from_pretrained(finished.encoder, add_pooling_layer=False, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert model.config.hidden_dropout_prob == 0.1
    text = "زار الوزير موسكو"
    old, new = (AutoTokenizer.from_pretrained(folder) for folder in (tiny_encoder, finished.encoder))
    assert new(text)["input_ids"] == old(text)["input_ids"]


def test_all_may_read_the_encoder_that_may_read_its_configuration(finished: Pretrained) -> None:
    assert len({path.stat().st_mode for path in finished.encoder.iterdir()}) == 1


def test_a_fine_tuning_recipe_takes_the_encoder(finished: Pretrained, tiny_recipe: list[str]) -> None:
    from wusum.training.config import load_config

    config = load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"model.encoder={finished.encoder}"])
    assert resolve_encoder(config.model.encoder) == finished.encoder


def test_layers_that_are_not_kept_are_gone_from_the_encoder(tmp_path: Path, options: Options) -> None:
    more = ("model.keep_layers=[1]", "optimisation.steps=1")
    done = pretrain(config_of(options(tmp_path / "run", *more)))
    names = set(weights(done.encoder))
    assert any(".layer.0." in name for name in names) and not any(".layer.1." in name for name in names)
    assert json.loads((done.encoder / "config.json").read_text("utf-8"))["num_hidden_layers"] == 1


def test_only_hidden_words_meet_the_vocabulary_and_the_loss_is_theirs(tmp_path: Path, options: Options) -> None:
    config = config_of(options(tmp_path / "run"))
    source = Path(config.model.encoder)
    model, _ = build_masked_model(source, config, torch.device("cpu"))
    assert isinstance(model, MaskedLanguageModel)
    assert model.head.predictions.decoder.weight is model.encoder.get_input_embeddings().weight
    ids = torch.randint(10, 100, (3, 7))
    targets = torch.full((3, 7), -100)
    targets[0, 2], targets[2, 5] = 11, 12
    seen: list[torch.Size] = []
    model.head.register_forward_hook(lambda _, inputs, output: seen.append(output.shape))
    model.eval()
    loss = model(ids, torch.ones_like(ids), targets)
    assert seen[0][0] == 2
    full = model.head(model.encoder(ids, torch.ones_like(ids)).last_hidden_state)
    expected = torch.nn.functional.cross_entropy(full.flatten(0, 1), targets.flatten(), reduction="sum")
    assert torch.allclose(loss, expected, atol=1e-4)


@pytest.mark.parametrize("stop", [1, 5, 10])
def test_an_interrupted_run_ends_with_the_same_weights(
    stop: int, tmp_path: Path, options: Options, finished: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(options(tmp_path / "run", "model.dropout=0.1"))
    step = module._Run._step

    def interrupted(run: Any, batch: Any) -> Any:
        if run._done == stop:
            raise KeyboardInterrupt
        return step(run, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module._Run, "_step", interrupted)
        pretrain(config)
    torch.manual_seed(99)
    done = pretrain(config)
    assert done.curve == finished.curve
    assert all(torch.equal(value, weights(done.encoder)[name]) for name, value in weights(finished.encoder).items())


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from wusum.training.pretrain import pretrain
from wusum.training.pretrain_config import load_pretrain_config
torch.set_num_threads(int(sys.argv[2]))
save, calls = torch.save, []
def dies(state, path):
    calls.append(path)
    if len(calls) == 3:
        Path(path).write_bytes(b"half a checkpoint")
        os.kill(os.getpid(), signal.SIGKILL)
    save(state, path)
torch.save = dies
pretrain(load_pretrain_config(Path(sys.argv[1]), sys.argv[3:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_process_killed_while_it_writes_a_checkpoint_goes_on_exactly(
    tmp_path: Path, options: Options, finished: Pretrained
) -> None:
    arguments = options(tmp_path / "run", "model.dropout=0.1")
    command = [sys.executable, "-c", KILLED, str(RECIPE), str(torch.get_num_threads()), *arguments]
    killed = subprocess.run(command, capture_output=True, timeout=600, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "run" / "encoder").exists()
    done = pretrain(config_of(arguments))
    assert done.curve == finished.curve
    assert all(torch.equal(value, weights(done.encoder)[name]) for name, value in weights(finished.encoder).items())


def test_a_full_disk_at_a_checkpoint_is_one_sentence_and_keeps_the_last_one(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(options(tmp_path / "run"))
    save, calls = torch.save, []

    def full(state: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WusumError, match=r"checkpoint-4: .*No space.*make room.*checkpoint-2"):
        pretrain(config)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-2"]


def test_faults_are_one_sentence_each(tmp_path: Path, options: Options, finished: Pretrained) -> None:
    with pytest.raises(WusumError, match="belongs to another run"):
        claim_folder(finished.encoder.parent, {"output": "another"})
    with pytest.raises(WusumError, match="exists already"):
        pretrain(config_of(options(finished.encoder.parent, "model.dropout=0.1")))
    with pytest.raises(WusumError, match=r"data\.held_out: 1000 of \d+ articles"):
        pretrain(config_of(options(tmp_path / "a", "data.held_out=1000")))
    with pytest.raises(WusumError, match=r"model\.keep_layers: 7 does not exist"):
        pretrain(config_of(options(tmp_path / "b", "model.keep_layers=[7]")))
    with pytest.raises(WusumError, match=r"optimisation\.mask_share: 1\.5"):
        config_of(options(tmp_path / "c", "optimisation.mask_share=1.5"))
    assert not (tmp_path / "b").exists()  # not claimed: the recipe may be mended
    if not torch.cuda.is_available():
        with pytest.raises(WusumError, match="torch sees no GPU"):
            pretrain(config_of(options(tmp_path / "d", "optimisation.device=cuda")))


def test_masks_differ_between_epochs_and_articles_that_changed_are_noticed(tmp_path: Path, options: Options) -> None:
    config = config_of(options(tmp_path / "run"))
    train, _ = read_windows(config, Path(config.model.encoder))
    rows = np.arange(4)
    first, again, later = (train.batch(rows, epoch) for epoch in (0, 0, 1))
    assert torch.equal(first["input_ids"], again["input_ids"]) and torch.equal(first["targets"], again["targets"])
    assert not torch.equal(first["targets"], later["targets"])
    assert train.sha256 != Windows(train.rows[1:], train.masker, train.pad, train.limit).sha256
