"""Fixtures that several packages' tests share."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

# Two cores are often busy in CI; threads that spin while they wait would take turns at blocking one another.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Run in the background, the tests ignore Ctrl-C, and the commands that they start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout: third-party texts that are never committed."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "gold").is_dir():
        pytest.skip(f"needs the folder `shared` beside the checkout (with data/gold); none at {folder}")
    return folder


@pytest.fixture(scope="session")
def samples() -> list[dict[str, Any]]:
    """Our own sample articles as labelled rows: id, title, text, topics, actors (pages are left out)."""
    folder = Path(__file__).resolve().parents[1] / "labels" / "samples"
    rows: list[dict[str, Any]] = []
    for line in (folder / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        expected = json.loads(line)
        if "furniture" not in expected:
            title, _, text = (folder / expected["path"]).read_text(encoding="utf-8").partition("\n")
            row = {"id": expected["path"], "title": title.strip(), "text": text.strip()}
            rows.append(row | {kind: expected[kind] for kind in ("topics", "actors")})
    return rows


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, samples: list[dict[str, Any]]) -> Path:
    """A folder with the files and classes of an AraBERT checkpoint: random, two layers, 32 wide."""
    torch = pytest.importorskip("torch")
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-encoder")
    trainer = BertWordPieceTokenizer(strip_accents=False, lowercase=False)
    trainer.train_from_iterator([row["text"] for row in samples], vocab_size=1500, min_frequency=2)
    trainer.save_model(str(folder))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=False, strip_accents=False)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), **shape), add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_recipe(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, samples: list[dict[str, Any]]
) -> list[str]:
    """Arguments of `wusum train` for a run of seconds on our samples: the recipe and what the tests put into it."""
    folder = tmp_path_factory.mktemp("tiny-data")
    # Three copies, so that each label has positives in train and in dev; their texts differ enough to stay apart.
    rows = [
        row | {"id": f"{row['id']}#{part}", "text": " ".join(row["text"].split()[part::3])}
        for row in samples
        for part in range(3)
    ]
    articles = folder / "articles.jsonl"
    articles.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    recipe = Path(__file__).resolve().parents[1] / "configs" / "tiny.yaml"
    return [
        str(recipe),
        f"model.encoder={tiny_encoder}",
        f"data.articles={articles}",
        f"data.split={folder / 'split.jsonl'}",
        # A network that has learned for seconds keeps all its scores close to the thresholds, and dev is small.
        "export.least_equal=0.98",
        "export.least_equal_label=0.85",
    ]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: list[str]) -> Path:
    """A real bundle, trained for seconds on our own samples: every file is in place, its tags mean little."""
    pytest.importorskip("transformers")
    from wusum.training.config import load_config
    from wusum.training.pipeline import train

    output = tmp_path_factory.mktemp("tiny-run") / "run"
    return train(load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"output={output}"]))


@pytest.fixture(scope="session")
def tiny_ngram_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: list[str]) -> Path:
    """As the tiny bundle, and with a table of 500 n-grams beside its network."""
    pytest.importorskip("transformers")
    from wusum.training.config import load_config
    from wusum.training.pipeline import train

    output = tmp_path_factory.mktemp("tiny-ngram-run") / "run"
    return train(load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"output={output}", "ngrams.features=500"]))


@pytest.fixture(scope="session")
def tiny_network(tiny_bundle: Path, tiny_encoder: Path, tiny_recipe: list[str]) -> Any:
    """The network of the tiny bundle in torch (an ArticleTagger in evaluation mode), read back from the bundle."""
    from dataclasses import replace

    from tokenizers import Tokenizer

    from wusum.labels import load_taxonomy
    from wusum.training.config import load_config
    from wusum.training.losses import LabelLoss
    from wusum.training.model import build_model
    from wusum.training.start import load_start

    config = replace(load_config(Path(tiny_recipe[0]), tiny_recipe[1:]).model, start=str(tiny_bundle))
    taxonomy = load_taxonomy()
    model = build_model(tiny_encoder, config, LabelLoss(), [0.1] * len(taxonomy), 4)
    load_start(model, config, taxonomy, Tokenizer.from_file(str(tiny_bundle / "tokenizer.json")))
    return model.eval()
