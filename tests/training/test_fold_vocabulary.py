"""A folded vocabulary: which pieces merge, and that a folded text falls into the pieces of the well-spelt one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from wusum.inference.features import read_tokenizer
from wusum.inference.normalise import e5_ar_1, e5_ar_2, fold_letters
from wusum.labels import WusumError, load_taxonomy

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from wusum.training import built_in  # noqa: E402
from wusum.training.config import TrainConfig, load_config  # noqa: E402
from wusum.training.encoder import check_encoder_folder  # noqa: E402
from wusum.training.fold_vocabulary import fold_encoder, fold_vocabulary, main  # noqa: E402
from wusum.training.losses import LabelLoss  # noqa: E402
from wusum.training.model import build_model  # noqa: E402
from wusum.training.pipeline import load_tokenizer, train  # noqa: E402
from wusum.training.start import load_start  # noqa: E402

BUILT_IN = Path(built_in.__file__).with_name("encoders") / built_in.BUILT_IN
PIECES: list[list[Any]] = [
    ["<s>", 0.0],
    ["<pad>", 0.0],
    ["</s>", 0.0],
    ["<unk>", 0.0],
    ["▁إلى", -4.0],
    ["▁الى", -6.0],
    ["▁", -3.0],
    ["ة", -5.0],
    ["ه", -5.0],
    ["<mask>", 0.0],
]


def unigram(folder: Path, pieces: list[list[Any]] = PIECES) -> Path:
    special = [piece for piece, _ in pieces if piece.startswith("<")]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": piece, "special": True, "normalized": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
            for number, (piece, _) in enumerate(pieces)
            if piece in special
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
    }
    folder.mkdir(exist_ok=True)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_pieces_that_become_one_are_merged_by_their_probabilities(tmp_path: Path) -> None:
    folded = fold_vocabulary(unigram(tmp_path))
    pieces = dict(folded.tokenizer["model"]["vocab"])
    assert list(pieces) == ["<s>", "<pad>", "</s>", "<unk>", "▁الي", "▁", "ه", "<mask>"]
    assert pieces["▁الي"] == pytest.approx(-4 + torch.log1p(torch.exp(torch.tensor(-2.0))).item())
    assert folded.sources[4:7] == ((4, 5), (6,), (7, 8))
    assert folded.tokenizer["added_tokens"][-1]["id"] == 7
    merged = folded.merge(torch.arange(10.0)[:, None])
    share = torch.sigmoid(torch.tensor(2.0)).item()  # of the first: e^-4 of e^-4 + e^-6
    assert merged[4].item() == pytest.approx(4 * share + 5 * (1 - share))
    assert merged[6].item() == pytest.approx(7.5)
    assert merged[[0, 5, 7], 0].tolist() == [0, 6, 9]


def test_the_folded_file_is_a_tokenizer(tmp_path: Path) -> None:
    folded = fold_vocabulary(unigram(tmp_path))
    tokenizer = Tokenizer.from_str(json.dumps(folded.tokenizer))
    assert tokenizer.encode("الي", add_special_tokens=False).tokens == ["▁الي"]


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": {"a": 0}}}', encoding="utf-8")
    with pytest.raises(WusumError, match="no tokenizer with a unigram model; expected that of multilingual E5"):
        fold_vocabulary(tmp_path / "tokenizer.json")


def test_the_embedded_vocabulary_splits_folded_text_nearly_as_it_split_the_text() -> None:
    text = "أعلنت الحكومة الإيرانية أن المحادثات التي جرت في القاهرة إلى مساء الأربعاء لم تؤدِّ إلى نتيجة"
    path = BUILT_IN / "tokenizer.json"
    before = read_tokenizer(path).encode(e5_ar_1(text), add_special_tokens=False)
    folded = Tokenizer.from_str(json.dumps(fold_vocabulary(path).tokenizer))
    after = folded.encode(e5_ar_2(text), add_special_tokens=False)
    assert after.tokens == [fold_letters(piece) for piece in before.tokens]


def unigram_encoder(source: Path, folder: Path) -> Path:
    """The tiny encoder with a unigram tokenizer."""
    shutil.copytree(source, folder)
    unigram(folder)
    shutil.copy(BUILT_IN / "tokenizer_config.json", folder)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if name.endswith("word_embeddings.weight")]:
        weights[name] = weights[name][: len(PIECES)].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(settings | {"vocab_size": len(PIECES)}), encoding="utf-8")
    return folder


def test_a_folded_encoder_is_whole_and_not_written_over(tiny_encoder: Path, tmp_path: Path) -> None:
    source, target = unigram_encoder(tiny_encoder, tmp_path / "source"), tmp_path / "runs" / "folded"
    main([str(source), str(target)])
    assert check_encoder_folder(target) == target
    before, after = load_file(source / "model.safetensors"), load_file(target / "model.safetensors")
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name].shape != after[name].shape]
    assert len(changed) == 1 and changed[0].endswith("word_embeddings.weight")
    assert all(torch.equal(before[name], after[name]) for name in before if name not in changed)
    with pytest.raises(WusumError, match="exists already; remove it, or name another folder"):
        fold_encoder(source, target)


def test_a_run_goes_on_from_a_bundle_whose_vocabulary_it_folds(
    tiny_encoder: Path, tiny_recipe: list[str], tmp_path: Path
) -> None:
    source, target = unigram_encoder(tiny_encoder, tmp_path / "source"), tmp_path / "folded"
    fold_encoder(source, target)
    config: TrainConfig = load_config(
        Path(tiny_recipe[0]), [*tiny_recipe[1:], f"model.encoder={source}", "ngrams=null", f"output={tmp_path / 'run'}"]
    )
    bundle = train(config)
    onwards = replace(config.model, encoder=str(target), start=str(bundle))
    taxonomy = load_taxonomy()
    network = build_model(target, onwards, LabelLoss(), [0.02] * len(taxonomy), 7)
    load_start(network, onwards, taxonomy, load_tokenizer(target)[0])
    trained = load_file(bundle / "network.safetensors")
    name = next(name for name in trained if name.endswith("word_embeddings.weight"))
    expected = fold_vocabulary(source / "tokenizer.json").merge(trained[name])
    assert torch.equal(network.state_dict()[name], expected)
    assert torch.equal(network.state_dict()["head.weight"], trained["head.weight"])
