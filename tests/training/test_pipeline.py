"""A whole run on a tiny encoder: recipe in, bundle out, the same tags with and without torch."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wusum.inference import Tagger
from wusum.inference.bundle import open_bundle
from wusum.inference.cli import main
from wusum.inference.features import Featuriser
from wusum.labels import WusumError, load_taxonomy

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from wusum.training import bundle_writer, trainer  # noqa: E402
from wusum.training.batches import FeatureDataset  # noqa: E402
from wusum.training.bundle_writer import torch_logits  # noqa: E402
from wusum.training.config import load_config  # noqa: E402
from wusum.training.data import LabelledArticle  # noqa: E402
from wusum.training.material import read_material  # noqa: E402
from wusum.training.pipeline import train  # noqa: E402

TEXTS = 500
NEAR = 1e-4  # a probability closer to its threshold may fall on either side where additions are ordered otherwise


def run_recipe(recipe: list[str], output: Path, *more: str) -> Path:
    return train(load_config(Path(recipe[0]), [*recipe[1:], f"output={output}", *more]))


def manifest_of(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture
def finished_run(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run, trained to the end, whose bundle is gone."""
    return copy_run(tiny_bundle.parent, tmp_path / "run")


def copy_run(run: Path, target: Path) -> Path:
    """What is there when the training is done and no bundle is written yet."""
    shutil.copytree(run / "checkpoints", target / "checkpoints")
    shutil.copyfile(run / "recipe.json", target / "recipe.json")
    return target


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any further training fails the test."""

    def refuse(*_: Any) -> None:
        pytest.fail("trained again")

    monkeypatch.setattr(trainer, "_run", refuse)


@pytest.fixture
def quick_export(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Skip the export, which takes seconds: the tiny bundle's model is served instead, and the gate stands open."""

    def export(model: Any, config: Any, features: Any, full: Path) -> Path:
        return Path(shutil.copyfile(tiny_bundle / "model.onnx", full))

    monkeypatch.setattr(bundle_writer, "export_model", export)
    return ["export.least_equal=0", "export.least_equal_label=0", "export.largest_shift=1"]


@pytest.fixture(scope="module")
def fp32_bundle(tiny_bundle: Path, tiny_recipe: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run's bundle in full precision, made after a failed gate and without training again."""
    run = copy_run(tiny_bundle.parent, tmp_path_factory.mktemp("fp32") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_run", lambda *_: pytest.fail("trained again"))
        with pytest.raises(WusumError, match=r"probability moved by .*export\.precision=fp32") as caught:
            run_recipe(tiny_recipe, run, "export.largest_shift=0.0")
        assert "\n" not in str(caught.value)
        assert {path.name for path in run.iterdir()} == {"checkpoints", "recipe.json"}
        return run_recipe(tiny_recipe, run, "export.precision=fp32", "name=tiny-fp32", "version=0.0.1")


def test_bundle_tells_what_it_is(tiny_bundle: Path) -> None:
    manifest = manifest_of(tiny_bundle)
    training = manifest["training"]
    assert training["dev"]["served"]["articles"] > 0
    assert set(training["dev"]["served"]["labels"]) == set(load_taxonomy().ids)
    assert training["recipe"]["optimisation"]["epochs"] == 2.0
    assert manifest["task"] == "multi_label"
    assert len({entry["scale"] for entry in manifest["calibration"].values()}) > 1
    assert {path.name for path in tiny_bundle.iterdir()} == {*manifest["files"], "bundle.json"}
    assert not list(tiny_bundle.glob("*.p*"))


def test_int8_model_passed_the_gate(tiny_bundle: Path) -> None:
    parity = manifest_of(tiny_bundle)["training"]["dev"]["parity"]
    assert parity["decisions_equal"] >= 0.98
    assert set(parity["labels"]) == set(load_taxonomy().ids)
    assert min(label["equal"] for label in parity["labels"].values()) >= 0.85
    assert 0 < max(label["shift"] for label in parity["labels"].values()) <= 0.02


def test_a_failed_gate_costs_no_second_training(tiny_bundle: Path, fp32_bundle: Path) -> None:
    manifest = manifest_of(fp32_bundle)
    assert (manifest["name"], manifest["version"]) == ("tiny-fp32", "0.0.1")
    assert manifest["training"]["dev"]["parity"]["decisions_equal"] == 1.0
    assert manifest["training"]["dev"]["parity"]["largest_difference"] < 1e-5
    trained, again = (load_file(bundle / "network.safetensors") for bundle in (tiny_bundle, fp32_bundle))
    assert all(torch.equal(trained[name], again[name]) for name in trained)


def make_texts(samples: list[dict[str, str]]) -> list[LabelledArticle]:
    """Articles of every length from a few words to several windows, with and without a title."""
    draw = random.Random(0)
    words = [word for row in samples for word in row["text"].split()]

    def run(length: int) -> str:
        start = draw.randrange(len(words) - length)
        return " ".join(words[start : start + length])

    return [
        LabelledArticle(str(number), run(6) if number % 3 else None, run(2 + number % 150), ())
        for number in range(TEXTS)
    ]


def tags_by_command(bundle: Path, articles: list[LabelledArticle], folder: Path) -> list[list[str]]:
    source, target = folder / "texts.jsonl", folder / "tags.jsonl"
    rows = [{"id": article.id, "title": article.title, "text": article.text} for article in articles]
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert main(["tag", str(source), "--bundle", str(bundle), "-o", str(target), "--force"]) == 0
    tagged = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in tagged] == [article.id for article in articles]
    assert not any("no label given" in note for row in tagged for note in row["notes"])
    return [sorted([*row["topics"], *row["actors"]]) for row in tagged]


def test_tags_of_500_texts_equal_those_of_torch(
    tiny_bundle: Path, fp32_bundle: Path, tiny_network: Any, samples: list[dict[str, str]], tmp_path: Path
) -> None:
    articles = make_texts(samples)
    for bundle, least_equal in ((fp32_bundle, 1.0), (tiny_bundle, 0.98)):
        opened = open_bundle(bundle)
        featurise = Featuriser(Tokenizer.from_file(str(opened.tokenizer_path)), opened.input, opened.tokens)
        data = FeatureDataset(articles, np.zeros((TEXTS, len(opened.taxonomy))), featurise)
        assert len({len(features.ids) for features in data.features}) > 2
        probabilities = opened.scoring.probabilities(torch_logits(tiny_network, data, opened.tokens.pad))
        decided = opened.scoring.decide(probabilities)
        tagged = tags_by_command(bundle, articles, tmp_path)
        served = np.array([[label in tags for label in opened.taxonomy.ids] for tags in tagged])
        assert 0.01 < decided.mean() < 0.9
        clear = np.abs(probabilities - np.array(opened.scoring.thresholds)) > NEAR
        assert clear.mean() > 0.99
        assert (served == decided)[clear].mean() >= least_equal


def test_an_interrupted_run_ends_with_the_same_model(
    tiny_bundle: Path, tiny_recipe: list[str], finished_run: Path, quick_export: list[str]
) -> None:
    checkpoints = finished_run / "checkpoints"
    last = max(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(last)
    resumed = run_recipe(tiny_recipe, finished_run, *quick_export)
    assert last.exists()
    before, after = (load_file(bundle / "network.safetensors") for bundle in (tiny_bundle, resumed))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert open_bundle(resumed).scoring == open_bundle(tiny_bundle).scoring


def test_exported_model_names_no_folder_and_keeps_its_head_in_fp32(tiny_bundle: Path, fp32_bundle: Path) -> None:
    onnx = pytest.importorskip("onnx")
    for bundle in (tiny_bundle, fp32_bundle):
        for name in ("model.onnx", "network.safetensors", "encoder.json"):
            content = (bundle / name).read_bytes()
            assert str(Path(__file__).parents[2]).encode() not in content
            assert b"site-packages" not in content
            assert b"/pytest-" not in content
    products = [node.op_type for node in onnx.load(tiny_bundle / "model.onnx").graph.node]
    assert products.count("MatMulInteger") == 2 * 6


def test_a_finished_run_and_a_foreign_folder_are_refused(tiny_recipe: list[str], tmp_path: Path) -> None:
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    with pytest.raises(WusumError, match="exists already"):
        run_recipe(tiny_recipe, tmp_path / "run")
    (tmp_path / "other").mkdir()
    for mark in ("{}", "[]", "{"):
        (tmp_path / "other" / "recipe.json").write_text(mark, encoding="utf-8")
        with pytest.raises(WusumError, match="belongs to another run"):
            run_recipe(tiny_recipe, tmp_path / "other")


@pytest.mark.usefixtures("no_training")
def test_a_run_belongs_to_its_recipe_and_its_articles(
    tiny_recipe: list[str], finished_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(WusumError, match=r"another run \(recipe\.optimisation\.seed differs\)"):
        run_recipe(tiny_recipe, finished_run, "optimisation.seed=1")
    source = edit_articles(tiny_recipe, tmp_path, lambda row: row.update(text=row["text"] + " نهاية"))
    shutil.copyfile(source, options_of(tiny_recipe)["data.articles"] + ".kept")
    recipe = json.loads((finished_run / "recipe.json").read_text(encoding="utf-8"))
    recipe["recipe"]["data"]["articles"] = str(source)
    (finished_run / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    with pytest.raises(WusumError, match=r"another run \(data differs\)"):
        run_recipe(tiny_recipe, finished_run, f"data.articles={source}")


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), "safetensors"])
@pytest.mark.usefixtures("no_training")
def test_a_full_disk_leaves_no_half_bundle(
    tiny_recipe: list[str],
    finished_run: Path,
    quick_export: list[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: OSError | str,
) -> None:
    from safetensors import SafetensorError

    def full(*arguments: Any) -> None:
        (arguments[-1] / "network.safetensors").write_bytes(b"half")
        raise fault if isinstance(fault, OSError) else SafetensorError("Error while serializing: No space left")

    with monkeypatch.context() as patch:
        patch.setattr(bundle_writer, "write_network", full)
        with pytest.raises(
            WusumError, match=r"bundle: cannot be written \(.*No space left.*the training is kept"
        ) as told:
            run_recipe(tiny_recipe, finished_run, *quick_export)
    assert "\n" not in str(told.value)
    assert {path.name for path in finished_run.iterdir()} == {"checkpoints", "recipe.json"}
    assert open_bundle(run_recipe(tiny_recipe, finished_run, *quick_export)).name == "tiny"


def test_a_fault_in_the_data_leaves_the_folder_free(tiny_recipe: list[str], tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="not found"):
        run_recipe(tiny_recipe, tmp_path / "run", f"data.articles={tmp_path / 'none.jsonl'}")
    assert not (tmp_path / "run").exists()


def test_a_dev_part_too_small_for_thresholds_is_refused(tiny_recipe: list[str], tmp_path: Path) -> None:
    with pytest.raises(WusumError, match=r"dev holds [1-4] clusters"):
        run_recipe(tiny_recipe, tmp_path / "run", "data.dev_share=0.02", f"data.split={tmp_path / 's.jsonl'}")


def options_of(recipe: list[str]) -> dict[str, str]:
    return dict(option.split("=", 1) for option in recipe[1:])


def edit_articles(recipe: list[str], folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of the recipe's articles, each row changed in place."""
    lines = Path(options_of(recipe)["data.articles"]).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        change(row)
    articles = folder / "articles.jsonl"
    articles.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return articles


def test_a_label_without_positives_is_named(tiny_recipe: list[str], tmp_path: Path) -> None:
    def without_nato(row: dict[str, Any]) -> None:
        row["actors"] = [label for label in row["actors"] if label != "nato"]

    articles = edit_articles(tiny_recipe, tmp_path, without_nato)
    with pytest.raises(WusumError, match="no training article carries nato"):
        run_recipe(tiny_recipe, tmp_path / "run", f"data.articles={articles}", f"data.split={tmp_path / 's.jsonl'}")


def test_labels_that_nobody_judged_are_neither_learned_nor_scored(
    tiny_recipe: list[str], tmp_path: Path, quick_export: list[str]
) -> None:
    def unjudge(row: dict[str, Any]) -> None:
        if row["id"].endswith("#0"):
            row["topics"] = None

    articles = edit_articles(tiny_recipe, tmp_path, unjudge)
    changed = [f"data.articles={articles}", f"data.split={tmp_path / 's.jsonl'}", "optimisation.epochs=1"]
    material = read_material(load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], *changed]))
    assert np.isnan(material.targets).any()
    bundle = open_bundle(run_recipe(tiny_recipe, tmp_path / "run", *changed, *quick_export))
    assert 0 <= bundle.training["dev"]["served"]["micro_f1"]["value"] <= 1
    assert all(np.isfinite(bundle.scoring.scale))


def test_one_label_per_article_from_the_recipe_to_the_tags(
    tiny_recipe: list[str], samples: list[dict[str, Any]], tmp_path: Path, quick_export: list[str]
) -> None:
    taxonomy = load_taxonomy()
    rows = []
    for label in taxonomy.ids:
        kind = "topics" if label in taxonomy.topics else "actors"
        carriers = [row for row in samples if label in row[kind]]
        for part in range(6):
            words = carriers[part % len(carriers)]["text"].split()[part::6]
            rows.append({"id": f"{label}#{part}", "text": " ".join(words), "topics": [], "actors": [], kind: [label]})
    articles = tmp_path / "single.jsonl"
    articles.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    split = tmp_path / "s.jsonl"
    parts = {row["id"]: "dev" if row["id"].endswith("#5") else "train" for row in rows}
    split.write_text(
        "\n".join(json.dumps({"id": id_, "part": part, "cluster": id_}) for id_, part in parts.items()),
        encoding="utf-8",
    )
    changed = [f"data.articles={articles}", f"data.split={split}", "model.task=single_label", "optimisation.epochs=1"]
    bundle = run_recipe(tiny_recipe, tmp_path / "run", *changed, *quick_export)
    tagger = Tagger.load(bundle)
    assert tagger.bundle.scoring.task == "single_label"
    assert tagger.bundle.thresholds == {}
    prediction = tagger.predict({"text": rows[0]["text"]})
    assert len(prediction.topics + prediction.actors) == 1
    assert sum(prediction.scores.values()) == pytest.approx(1, abs=0.01)
    with pytest.raises(WusumError, match="expected exactly one label"):
        run_recipe(tiny_recipe, tmp_path / "other", "model.task=single_label")


def test_train_command_prints_dev_scores(
    tiny_recipe: list[str], tmp_path: Path, quick_export: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*tiny_recipe, f"output={tmp_path / 'run'}", "optimisation.epochs=1", *quick_export]
    assert main(["train", *arguments]) == 0
    out = capsys.readouterr().out
    assert "dev micro_f1 0." in out
    assert str(tmp_path / "run" / "bundle") in out


def test_a_fresh_process_tags_with_the_bundle_without_torch(tiny_bundle: Path, samples: list[dict[str, str]]) -> None:
    program = (
        "import sys, json; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from wusum.inference import Tagger\n"
        "row = json.load(sys.stdin)\n"
        "print(json.dumps(Tagger.load(sys.argv[1]).predict({'title': row['title'], 'text': row['text']}).to_dict()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_bundle)],
        input=json.dumps(samples[0]),
        capture_output=True,
        text=True,
        check=True,
    )
    here = Tagger.load(tiny_bundle).predict({"title": samples[0]["title"], "text": samples[0]["text"]})
    assert json.loads(done.stdout) == here.to_dict()


def test_an_averaged_run_with_adapters_and_other_heads_gives_a_bundle(
    tiny_recipe: list[str], tmp_path: Path, quick_export: list[str]
) -> None:
    pytest.importorskip("peft")
    changed = ["optimisation.average=2", "model.lora={rank: 2}", "model.pooling=mean", "model.windows=max"]
    folder = run_recipe(tiny_recipe, tmp_path / "run", *changed, *quick_export)
    names = set(load_file(folder / "network.safetensors"))
    assert not any("lora" in name or "base_layer" in name for name in names)
    assert "head.query" not in names
    assert open_bundle(folder).training["recipe"]["optimisation"]["average"] == 2


def test_tokenizer_of_bundle_is_the_encoders(tiny_bundle: Path, tiny_encoder: Path) -> None:
    text = "وزارة الخارجية في جنيف"
    ours = Tokenizer.from_file(str(tiny_bundle / "tokenizer.json")).encode(text).ids
    assert ours == Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")).encode(text).ids
