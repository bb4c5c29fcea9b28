"""The ready recipes: what each names, and that each trains, on a tiny random encoder laid out like its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wusum.inference import Tagger

pytest.importorskip("transformers", reason="needs the extra: pip install 'wusum[train]'")
pytest.importorskip("safetensors", reason="needs the extra: pip install 'wusum[train]'")
from wusum.training.config import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
E5_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@dataclass(frozen=True)
class Ready:
    """What a ready recipe names, and how its encoder's folder is laid out."""

    encoder: str
    recipe: str
    layout: str
    prefix: str = ""


READY = {
    "arabert": Ready("aubmindlab/bert-base-arabertv02", "arabert-v02", "arabert"),
    "arabert-large": Ready("aubmindlab/bert-large-arabertv02", "arabert-v02", "arabert"),
    "arabert-twitter": Ready("aubmindlab/bert-base-arabertv02-twitter", "arabert-v02-twitter", "vocabulary"),
    "camelbert-msa": Ready(
        "CAMeL-Lab/bert-base-arabic-camelbert-msa@5f73f6d061ac7c07950d8f55a9b17dcc7ff8033f", "plain-1", "vocabulary"
    ),
    "marbertv2": Ready("UBC-NLP/MARBERTv2@6f218da63c9249f14dedc87cde07fdb374bf7094", "ubc-1", "uncased"),
    "arbertv2": Ready("UBC-NLP/ARBERTv2", "ubc-1", "uncased"),
    "conflibert-arabic": Ready("eventdata-utd/ConfliBERT-Arabic-Multilingual-Cased-v2", "plain-1", "arabert"),
    "e5-small": Ready("intfloat/multilingual-e5-small", "e5-ar-1", "e5-small", "query: "),
    "e5-base": Ready("intfloat/multilingual-e5-base", "e5-ar-1", "e5-base", "query: "),
}
TESTED_ELSEWHERE = {"default", "distil", "own-labels", "pretrain", "tiny"}
# One recipe of each layout; the others differ from one of these in nothing that a tiny encoder would show.
TRAINED = ("arabert", "arabert-twitter", "marbertv2", "e5-small", "e5-base")


@pytest.fixture(scope="module")
def encoders(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, samples: list[dict[str, Any]]
) -> Callable[[str], Path]:
    """Makes tiny random encoders: the classes and files of a layout."""
    texts = [row["text"] for row in samples]
    made = {"arabert": tiny_encoder}

    def make(layout: str) -> Path:
        if layout not in made:
            folder = tmp_path_factory.mktemp(layout)
            made[layout] = write_e5(folder, texts, layout) if "e5" in layout else write_bert(folder, texts, layout)
        return made[layout]

    return make


def write_bert(folder: Path, texts: list[str], layout: str) -> Path:
    """A checkpoint without ``tokenizer.json``, cased or not, as CAMeL Lab's, UBC-NLP's and AraBERT Twitter's are."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM

    uncased = layout == "uncased"
    trainer = BertWordPieceTokenizer(strip_accents=uncased, lowercase=uncased)
    trainer.train_from_iterator(texts, vocab_size=1500, min_frequency=2, special_tokens=BERT_SPECIAL)
    trainer.save_model(str(folder))
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), BERT_SPECIAL, strict=True))
    settings = named | {"do_lower_case": uncased, "strip_accents": None, "tokenizer_class": "BertTokenizer"}
    (folder / "special_tokens_map.json").write_text(json.dumps(named), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(vocab_size=trainer.get_vocab_size(), **SHAPE)).save_pretrained(folder)
    return folder


def write_e5(folder: Path, texts: list[str], layout: str) -> Path:
    """A checkpoint with the SentencePiece tokenizer of XLM-R: in BERT's classes (small) or XLM-R's own (base)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=1200, special_tokens=E5_SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token", "cls_token", "sep_token")
    named = dict(zip(roles, [*E5_SPECIAL, "<s>", "</s>"], strict=True))
    settings = named | {"tokenizer_class": "XLMRobertaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(0)
    pieces = tokenizer.get_vocab_size()
    if layout == "e5-small":
        BertModel(BertConfig(vocab_size=pieces, **SHAPE)).save_pretrained(folder)
    else:
        config = XLMRobertaConfig(
            vocab_size=pieces, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, **SHAPE
        )
        XLMRobertaModel(config).save_pretrained(folder)
    return folder


def test_every_recipe_in_the_folder_is_known_here() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} - TESTED_ELSEWHERE == set(READY)


@pytest.mark.parametrize("name", READY)
def test_a_ready_recipe_names_its_encoder_and_what_belongs_to_it(name: str) -> None:
    config, ready = load_config(CONFIGS / f"{name}.yaml"), READY[name]
    assert config.name == f"wusum-{name}"
    assert config.output == f"runs/{name}"
    assert (config.model.encoder, config.input.recipe, config.input.prefix) == (
        ready.encoder,
        ready.recipe,
        ready.prefix,
    )
    # Whoever passes the weights on must know whose licence holds.
    assert ready.encoder.partition("@")[0] in config.licence
    # All these encoders have 512 positions; the labels describe the title and 2,400 characters, about 700 tokens.
    assert config.input.window <= 512
    assert config.input.max_chars == 2400
    assert (config.input.window - 2) * config.input.max_windows >= 1000


def test_every_layout_is_trained() -> None:
    assert {READY[name].layout for name in TRAINED} == {ready.layout for ready in READY.values()}


@pytest.mark.parametrize("name", TRAINED)
def test_a_ready_recipe_trains_to_a_bundle(
    name: str, encoders: Callable[[str], Path], tiny_recipe: list[str], tmp_path: Path
) -> None:
    from wusum.training.pipeline import train

    data = [override for override in tiny_recipe if override.startswith("data.")]
    small = ["data.dev_share=0.3", "input.window=64", "input.max_windows=4", "input.max_chars=600"]
    brief = ["optimisation.epochs=1", "optimisation.precision=fp32", "optimisation.device=cpu", "export.precision=fp32"]
    encoder = f"model.encoder={encoders(READY[name].layout)}"
    config = load_config(CONFIGS / f"{name}.yaml", [*data, *small, *brief, encoder, f"output={tmp_path / 'run'}"])
    tagger = Tagger.load(train(config))
    text = "قال الرئيس الروسي فلاديمير بوتين 😀 في موسكو إن المحادثات مع تركيا «بنّاءة» https://example.org"
    assert list(tagger.predict({"text": text}).scores) == list(tagger.taxonomy.ids)
    manifest = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    assert manifest["input"]["recipe"] == READY[name].recipe
    assert manifest["licence"] == config.licence
