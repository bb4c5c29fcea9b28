"""Recipes are read strictly."""

from pathlib import Path

import pytest
import yaml

from wusum.labels import WusumError
from wusum.training.config import load_config
from wusum.training.distil_config import load_distil_config
from wusum.training.pretrain_config import load_pretrain_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


OTHER_RECIPES = {"pretrain.yaml": load_pretrain_config, "distil.yaml": load_distil_config}


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_every_recipe_of_ours_loads(name: str) -> None:
    assert OTHER_RECIPES.get(name, load_config)(CONFIGS / name)


def test_override() -> None:
    config = load_config(CONFIGS / "default.yaml", ["optimisation.epochs=1", "model.keep_layers=[0, 2]", "name=mine"])
    assert (config.optimisation.epochs, config.model.keep_layers, config.name) == (1.0, (0, 2), "mine")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimisation.epoch=1", r"epoch: unknown key; did you mean 'epochs'\?"),
        ("modell.encoder=x", r"modell: unknown key; did you mean 'model'\?"),
        ("optimisation.epochs=many", "'many', expected a number"),
        ("optimisation.batch_size=1.5", "1.5, expected a whole number"),
        ("optimisation.learning_rate=1e-4", "write 1.0e-4"),
        ("optimisation.precision=fp8", "'fp8'; expected one of auto, bf16, fp32"),
        ("input.recipe=arabert-v2", "arabert-v02"),
        ("input.window=1", "too small"),
        ("model.keep_layers=3", "keep_layers: 3, expected"),
        ("model=3", "model: 3, expected a section with the keys encoder"),
        ("name.first=x", "'name' is no section"),
        ("optimisation.epochs=[", "not YAML"),
        ("optimisation.batch_size=0", "batch_size: 0, expected more than 0"),
        ("optimisation.checkpoint_steps=0", "checkpoint_steps: 0, expected more than 0"),
        ("optimisation.learning_rate=-1.0", "learning_rate: -1.0, expected more than 0"),
        ("optimisation.epochs=.nan", "epochs: nan, expected more than 0"),
        ("optimisation.warmup=2", "warmup: 2.0, expected 0 to 1"),
        ("optimisation.seed=-1", "seed: -1, expected 0 to 4294967295"),
        ("model.dropout=1.5", "dropout: 1.5, expected a share"),
        ("epochs", r"expected section\.key=value"),
    ],
)
def test_faults_are_one_line(override: str, message: str) -> None:
    with pytest.raises(WusumError, match=message) as caught:
        load_config(CONFIGS / "default.yaml", [override])
    assert "\n" not in str(caught.value)


def test_missing_key(tmp_path: Path) -> None:
    tree = yaml.safe_load((CONFIGS / "default.yaml").read_text(encoding="utf-8"))
    del tree["model"]["encoder"]
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    with pytest.raises(WusumError, match=r"recipe\.yaml:model:encoder: missing"):
        load_config(path)


@pytest.mark.parametrize("content", ["a: [", "- 1", "\x00"])
def test_no_yaml(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WusumError, match=r"recipe\.yaml"):
        load_config(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="not found"):
        load_config(tmp_path / "none.yaml")
