"""A whole run on a tiny encoder: recipe in, bundle out, the same tags with and without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wusum.inference import Tagger
from wusum.inference.bundle import open_bundle
from wusum.inference.cli import main
from wusum.inference.features import Featuriser
from wusum.labels import WusumError, load_taxonomy

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tokenizers import Tokenizer  # noqa: E402

from wusum.training.batches import Collator, FeatureDataset, LengthGroupedSampler  # noqa: E402
from wusum.training.config import ModelConfig, load_config  # noqa: E402
from wusum.training.data import label_matrix, read_labelled  # noqa: E402
from wusum.training.model import build_model, half_attention, keep_layers, parameter_groups  # noqa: E402
from wusum.training.pipeline import (  # noqa: E402
    load_tokenizer,
    onnx_probabilities,
    parity,
    read_material,
    torch_probabilities,
    train,
)
from wusum.training.trainer import average_checkpoints  # noqa: E402


def run_recipe(recipe: list[str], output: Path, *more: str) -> Path:
    return train(load_config(Path(recipe[0]), [*recipe[1:], f"output={output}", *more]))


def test_bundle_tells_what_it_is(tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "bundle.json").read_text(encoding="utf-8"))
    assert manifest["training"]["dev"]["served"]["articles"] > 0
    assert set(manifest["training"]["dev"]["served"]["labels"]) == set(load_taxonomy().ids)
    assert manifest["training"]["recipe"]["optimisation"]["epochs"] == 2.0
    assert not list(tiny_bundle.glob("*.p*"))


def test_int8_model_agrees_with_torch(tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "bundle.json").read_text(encoding="utf-8"))
    equality = manifest["training"]["dev"]["parity"]
    assert equality["decisions_equal"] >= 0.99
    assert equality["largest_difference"] <= 0.1


def test_fp32_export_equals_torch(tiny_bundle: Path, tiny_encoder: Path, tiny_recipe: list[str]) -> None:
    from safetensors.torch import load_file

    config = load_config(Path(tiny_recipe[0]), tiny_recipe[1:])
    material = read_material(config)
    tokenizer, special, mask_id = load_tokenizer(tiny_encoder)
    truth = label_matrix(material.dev, material.taxonomy)
    data = FeatureDataset(material.dev, truth, Featuriser(tokenizer, config.input, special))
    model = build_model(tiny_encoder, config.model, [0.1] * len(material.taxonomy), mask_id)
    best = sorted((tiny_bundle.parent / "checkpoints").glob("checkpoint-*"))
    runs = {}
    for checkpoint in best:
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
        runs[checkpoint.name] = torch_probabilities(model, data, special.pad, "fp32")
    exported = onnx_probabilities(tiny_bundle.parent / "model-fp32.onnx", data.features)
    assert min(np.abs(exported - scores).max() for scores in runs.values()) < 1e-5


def test_batched_training_forward_equals_one_by_one(tiny_encoder: Path, tiny_recipe: list[str]) -> None:
    config = load_config(Path(tiny_recipe[0]), tiny_recipe[1:])
    material = read_material(config)
    tokenizer, special, mask_id = load_tokenizer(tiny_encoder)
    truth = label_matrix(material.train, material.taxonomy)
    data = FeatureDataset(material.train[:12], truth[:12], Featuriser(tokenizer, config.input, special))
    assert len({len(features.ids) for features in data.features}) > 1
    model = build_model(tiny_encoder, config.model, truth.mean(0).tolist(), mask_id).eval()
    torch.nn.init.normal_(model.head.query)
    batch = Collator(special.pad)([data[index] for index in range(12)])
    together = model(**batch)["logits"].sigmoid().detach().numpy()
    assert np.allclose(together, torch_probabilities(model, data, special.pad, "fp32"), atol=1e-5)


def weights(model: Path) -> dict[str, bytes]:
    return {item.name: item.raw_data for item in onnx.load(model).graph.initializer}


def test_an_interrupted_run_ends_with_the_same_model(tiny_bundle: Path, tiny_recipe: list[str], tmp_path: Path) -> None:
    run_recipe(tiny_recipe, tmp_path / "again")
    checkpoints = tmp_path / "again" / "checkpoints"
    last = max(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(last)
    shutil.rmtree(tmp_path / "again" / "bundle")
    resumed = run_recipe(tiny_recipe, tmp_path / "again")
    assert last.exists()
    assert weights(resumed / "model.onnx") == weights(tiny_bundle / "model.onnx")
    assert open_bundle(resumed).thresholds == open_bundle(tiny_bundle).thresholds


def test_exported_model_names_no_folder_and_keeps_its_head_in_fp32(tiny_bundle: Path, tiny_encoder: Path) -> None:
    content = (tiny_bundle / "model.onnx").read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"site-packages" not in content
    products = [node.op_type for node in onnx.load(tiny_bundle / "model.onnx").graph.node]
    assert products.count("MatMulInteger") == 2 * 6


def test_a_finished_run_and_a_foreign_folder_are_refused(tiny_recipe: list[str], tmp_path: Path) -> None:
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    with pytest.raises(WusumError, match="exists already"):
        run_recipe(tiny_recipe, tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recipe.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WusumError, match="another recipe"):
        run_recipe(tiny_recipe, tmp_path / "other")


def test_a_fault_in_the_data_leaves_the_folder_free(tiny_recipe: list[str], tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="not found"):
        run_recipe(tiny_recipe, tmp_path / "run", f"data.articles={tmp_path / 'none.jsonl'}")
    assert not (tmp_path / "run").exists()


def test_a_dev_part_too_small_for_thresholds_is_refused(tiny_recipe: list[str], tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="dev holds 1 clusters"):
        run_recipe(tiny_recipe, tmp_path / "run", "data.dev_share=0.001", f"data.split={tmp_path / 's.jsonl'}")


def test_a_label_without_positives_is_named(tiny_recipe: list[str], tmp_path: Path) -> None:
    options = dict(option.split("=", 1) for option in tiny_recipe[1:])
    rows = [json.loads(line) for line in Path(options["data.articles"]).read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["actors"] = [label for label in row["actors"] if label != "nato"]
    articles = tmp_path / "articles.jsonl"
    articles.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    with pytest.raises(WusumError, match="no training article carries nato"):
        run_recipe(tiny_recipe, tmp_path / "run", f"data.articles={articles}", f"data.split={tmp_path / 's.jsonl'}")


def test_train_command_prints_dev_scores(
    tiny_recipe: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *tiny_recipe, f"output={tmp_path / 'run'}", "optimisation.epochs=1"]) == 0
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


def test_half_attention_is_attention() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4) for _ in range(3))
    mask = torch.zeros(2, 1, 1, 7)
    mask[1, ..., 4:] = -1e4
    ours, _ = half_attention(torch.nn.Module().eval(), query, key, value, mask, 0.5)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.5)
    assert torch.allclose(ours, theirs.transpose(1, 2), atol=1e-6)


def test_layers_are_kept_by_index(tiny_encoder: Path) -> None:
    whole = build_model(tiny_encoder, ModelConfig("", None), [0.1], 4)
    cut = build_model(tiny_encoder, ModelConfig("", (1,)), [0.1], 4)
    kept = cut.encoder.encoder.layer[0].state_dict()
    assert len(cut.encoder.encoder.layer) == 1
    assert all(torch.equal(kept[name], value) for name, value in whole.encoder.encoder.layer[1].state_dict().items())
    with pytest.raises(WusumError, match="has layers 0 to 1"):
        keep_layers(whole.encoder, [5])
    with pytest.raises(WusumError, match="is empty"):
        keep_layers(whole.encoder, [])


def test_rates_fall_by_layer_and_norms_do_not_decay(tiny_encoder: Path) -> None:
    model = build_model(tiny_encoder, ModelConfig("", None), [0.1], 4)
    groups = parameter_groups(model, learning_rate=1.0, head_learning_rate=5.0, layer_decay=0.5, weight_decay=0.1)
    by_parameter = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(by_parameter) == len(list(model.parameters()))
    expected = {
        "head.weight": (5.0, 0.0),
        "encoder.encoder.layer.1.intermediate.dense.weight": (1.0, 0.1),
        "encoder.encoder.layer.1.output.LayerNorm.weight": (1.0, 0.0),
        "encoder.encoder.layer.0.intermediate.dense.bias": (0.5, 0.0),
        "encoder.embeddings.word_embeddings.weight": (0.25, 0.1),
    }
    named = dict(model.named_parameters())
    for name, (rate, decay) in expected.items():
        group = by_parameter[id(named[name])]
        assert (group["lr"], group["weight_decay"]) == (rate, decay), name


def test_last_checkpoints_are_averaged(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        save_file({"weight": torch.full((2,), float(step))}, tmp_path / f"checkpoint-{step}" / "model.safetensors")
    assert average_checkpoints(tmp_path, 2)["weight"].tolist() == [55.0, 55.0]
    with pytest.raises(WusumError, match=r"3 checkpoints, optimisation\.average asks for 4"):
        average_checkpoints(tmp_path, 4)


def test_an_averaged_run_gives_a_bundle(tiny_recipe: list[str], tmp_path: Path) -> None:
    bundle = open_bundle(run_recipe(tiny_recipe, tmp_path / "run", "optimisation.average=2"))
    assert len(list((tmp_path / "run" / "checkpoints").glob("checkpoint-*"))) == 2
    assert bundle.training["recipe"]["optimisation"]["average"] == 2


def test_sampler_covers_all_and_depends_on_seed_and_epoch_alone() -> None:
    widths = [index * 7 % 50 for index in range(101)]
    sampler = LengthGroupedSampler(widths, 4, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(101))
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    spread = [
        max(widths[i] for i in first[low : low + 4]) - min(widths[i] for i in first[low : low + 4])
        for low in range(0, 100, 4)
    ]
    assert sum(spread) / len(spread) < 5


def test_parity_counts() -> None:
    equality = parity(np.array([[0.6, 0.4]]), np.array([[0.4, 0.4]]), np.array([0.5, 0.5]))
    assert equality["decisions_equal"] == 0.5
    assert equality["largest_difference"] == pytest.approx(0.2)


def test_tokenizer_of_bundle_is_the_encoders(tiny_bundle: Path, tiny_encoder: Path) -> None:
    text = "وزارة الخارجية في جنيف"
    ours = Tokenizer.from_file(str(tiny_bundle / "tokenizer.json")).encode(text).ids
    assert ours == Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")).encode(text).ids


def test_read_labelled_takes_what_join_writes(tiny_recipe: list[str]) -> None:
    options = dict(option.split("=", 1) for option in tiny_recipe[1:])
    assert len(read_labelled(Path(options["data.articles"]), load_taxonomy())) >= 60
