"""The mean of several runs' weights is a bundle like that of a run."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from wusum.inference import Tagger, cli  # noqa: E402
from wusum.inference.bundle import open_bundle  # noqa: E402
from wusum.labels import WusumError  # noqa: E402
from wusum.training.average import average  # noqa: E402
from wusum.training.config import load_config  # noqa: E402
from wusum.training.pipeline import train  # noqa: E402
from wusum.training.transformers_export import read_network  # noqa: E402

OPTIONS = ["export.least_equal=0.9", "export.least_equal_label=0.5"]


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: list[str]) -> Path:
    output = tmp_path_factory.mktemp("other") / "run"
    options = [*tiny_recipe[1:], *OPTIONS, f"output={output}", "optimisation.seed=7"]
    return train(load_config(Path(tiny_recipe[0]), options))


def test_every_weight_is_the_mean_of_those_of_the_runs(
    tiny_bundle: Path, other_bundle: Path, tiny_recipe: list[str], tmp_path: Path
) -> None:
    options = [*tiny_recipe[1:], *OPTIONS, f"output={tmp_path / 'mean'}"]
    mean = average(load_config(Path(tiny_recipe[0]), options), [tiny_bundle.parent, other_bundle])
    opened = open_bundle(mean)
    one, other, made = (read_network(open_bundle(folder)).state for folder in (tiny_bundle, other_bundle, mean))
    assert made.keys() == one.keys()
    assert not torch.equal(one["head.weight"], other["head.weight"])
    for name, tensor in made.items():
        torch.testing.assert_close(tensor, (one[name] + other[name]) / 2)
    assert len(set(opened.training["averaged"])) == 2
    assert "the mean of those of 2 runs" in (mean / "README.md").read_text("utf-8")
    assert Tagger.load(mean, threads=1).predict("اجتمع الوزراء في موسكو.").scores
    assert (mean.parent / "report.html").is_file()


def test_the_command_says_how_the_mean_does(
    tiny_bundle: Path, tiny_recipe: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["average", *tiny_recipe, *OPTIONS, f"output={tmp_path / 'mean'}", "--runs"]
    assert cli.main([*argv, str(tiny_bundle), str(tiny_bundle)]) == 0
    assert capsys.readouterr().out.startswith("dev micro_f1 0.")
    assert cli.main([*argv, str(tiny_bundle), str(tiny_bundle)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert json.loads((tmp_path / "mean" / "recipe.json").read_text("utf-8"))["averaged"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("input.window=32", "its input is not the recipe's"),
        ("model.pooling=mean", "set model.pooling=attention"),
        ("model.keep_layers=[0]", "num_hidden_layers is 2, the recipe's 1"),
    ],
)
def test_runs_of_another_recipe_are_refused(
    tiny_bundle: Path, tiny_recipe: list[str], tmp_path: Path, option: str, message: str
) -> None:
    config = load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"output={tmp_path / 'mean'}", option])
    with pytest.raises(WusumError, match=message):
        average(config, [tiny_bundle, tiny_bundle])


def test_one_run_is_no_average(tiny_bundle: Path, tiny_recipe: list[str], tmp_path: Path) -> None:
    config = load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"output={tmp_path / 'mean'}"])
    with pytest.raises(WusumError, match="1 runs to average, expected two or more"):
        average(config, [tiny_bundle])
