"""From a recipe to a bundle: read, split, fine-tune, export, choose thresholds, measure parity, write."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from tokenizers import Tokenizer
from transformers import AutoTokenizer, set_seed

from ..inference.bundle import FORMAT, HASHED_FILES, MANIFEST, MODEL, TAXONOMY, TOKENIZER, file_sha256, open_bundle
from ..inference.engine import OnnxEngine
from ..inference.features import Features, Featuriser, SpecialTokens
from ..labels import Taxonomy, load_taxonomy
from ..labels.errors import WusumError
from ..labels.taxonomy import PACKAGED_TAXONOMY
from .batches import Collator, FeatureDataset
from .config import TrainConfig
from .data import LabelledArticle, data_sha256, label_matrix, read_labelled
from .encoder import resolve_encoder
from .export import export_fp32, quantise
from .metrics import bootstrap_interval, f1_report
from .model import ArticleTagger, build_model
from .progress import watched
from .split import make_split, read_split, select_part, write_split
from .thresholds import choose_thresholds, crossfit_decisions
from .trainer import fine_tune, uses_bf16

FOLDS = 5  # of the cross-fitted thresholds
VERSIONS_TOLD = ("torch", "transformers", "onnxruntime", "tokenizers")

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """What a run learns from and is judged by."""

    taxonomy: Taxonomy
    train: list[LabelledArticle]
    dev: list[LabelledArticle]
    clusters: list[str]


def read_material(config: TrainConfig) -> Material:
    """Read the labelled articles and their split; the split is made and written where it does not exist."""
    taxonomy = load_taxonomy(Path(config.data.taxonomy) if config.data.taxonomy else None)
    articles = read_labelled(Path(config.data.articles), taxonomy)
    path = Path(config.data.split)
    if not path.exists():
        write_split(make_split(articles, config.data.dev_share, config.data.split_seed), path)
    split = read_split(path)
    dev = select_part(articles, split, "dev", path)
    train = select_part(articles, split, "train", path)
    if not dev or not train:
        empty = "dev" if train else "train"
        raise WusumError(f"{path}: leaves no article for {empty}; change data.dev_share and delete the file")
    clusters = [split[article.id][1] for article in dev]
    if len(set(clusters)) < FOLDS:
        found = f"dev holds {len(set(clusters))} clusters of articles"
        raise WusumError(f"{path}: {found}, expected {FOLDS} or more; raise data.dev_share and delete the file")
    return Material(taxonomy, train, dev, clusters)


def train(config: TrainConfig) -> Path:
    """Run a recipe and return the folder of the finished bundle.

    Interrupted, it goes on from the last checkpoint in ``output/checkpoints`` when called again with the same recipe.

    Raises:
        WusumError: a fault in the recipe or the data, an output folder that belongs to another recipe, a label without
            a positive training article, or a bundle that exists already.
    """
    output = Path(config.output)
    bundle = output / "bundle"
    if bundle.exists():
        raise WusumError(f"{bundle}: exists already; move it away, or choose another output, to train anew")
    set_seed(config.optimisation.seed)
    material = read_material(config)
    truth = label_matrix(material.train, material.taxonomy)
    _refuse_empty_labels(truth, material.taxonomy)
    encoder = resolve_encoder(config.model.encoder)
    tokenizer, special, mask_id = load_tokenizer(encoder)
    claim_output(output, config)
    featurise = Featuriser(tokenizer, config.input, special)
    train_set = FeatureDataset(material.train, truth, featurise)
    dev_set = FeatureDataset(material.dev, label_matrix(material.dev, material.taxonomy), featurise)
    model = build_model(encoder, config.model, truth.mean(0).tolist(), mask_id)
    fine_tune(
        model,
        train_set,
        dev_set,
        taxonomy=material.taxonomy,
        pad=special.pad,
        optimisation=config.optimisation,
        folder=output / "checkpoints",
    )
    return write_bundle(model, tokenizer, special, dev_set, material, config, bundle)


def claim_output(output: Path, config: TrainConfig) -> None:
    """Mark a run folder with its recipe; refuse one that another recipe has marked."""
    mark = output / "recipe.json"
    recipe = json.dumps(asdict(config), ensure_ascii=False, indent=1)
    if mark.exists() and mark.read_text(encoding="utf-8") != recipe:
        raise WusumError(f"{mark}: the folder belongs to a run of another recipe; choose another output or delete it")
    output.mkdir(parents=True, exist_ok=True)
    mark.write_text(recipe, encoding="utf-8")


def _refuse_empty_labels(truth: npt.NDArray[np.bool_], taxonomy: Taxonomy) -> None:
    empty = [label for label, count in zip(taxonomy.ids, truth.sum(0), strict=True) if count == 0]
    if empty:
        raise WusumError(f"no training article carries {', '.join(empty)}; add some or take it out of the scheme")


def load_tokenizer(encoder: Path) -> tuple[Tokenizer, SpecialTokens, int]:
    """Load the tokenizer of an encoder folder with the ids of its special tokens and of its mask."""
    fast = AutoTokenizer.from_pretrained(encoder, local_files_only=True, use_fast=True)
    names = ("cls_token_id", "sep_token_id", "pad_token_id", "mask_token_id")
    ids = [getattr(fast, name) for name in names]
    for name, value in zip(names, ids, strict=True):
        if value is None:
            raise WusumError(f"{encoder}: its tokenizer has no {name.removesuffix('_id')}; use a BERT-like encoder")
    return fast.backend_tokenizer, SpecialTokens(ids[0], ids[1], ids[2]), ids[3]


def write_bundle(
    model: ArticleTagger,
    tokenizer: Tokenizer,
    special: SpecialTokens,
    dev: FeatureDataset,
    material: Material,
    config: TrainConfig,
    target: Path,
) -> Path:
    """Export the model, choose thresholds on what will be served, and write the bundle folder at once."""
    scratch = target.with_name(target.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    reference = torch_probabilities(model, dev, special.pad, config.optimisation.precision)
    full = target.with_name("model-fp32.onnx")
    with Console(stderr=True).status("exporting"):  # shows on a terminal only
        export_fp32(model, full)
        quantise(full, scratch / MODEL)
    served = onnx_probabilities(scratch / MODEL, dev.features)
    truth = label_matrix(material.dev, material.taxonomy)
    thresholds = choose_thresholds(served, truth)
    scores = {
        "served": score(served, truth, material),
        "torch": score(reference, truth, material),
        "parity": parity(served, reference, thresholds),
    }
    tokenizer.save(str(scratch / TOKENIZER), pretty=False)
    shutil.copyfile(taxonomy_path(config), scratch / TAXONOMY)
    manifest = {
        "format": FORMAT,
        "name": config.name,
        "version": config.version,
        "created": datetime.now(UTC).strftime("%Y-%m-%d"),
        "licence": config.licence,
        "input": asdict(config.input),
        "tokens": asdict(special),
        "thresholds": dict(zip(material.taxonomy.ids, map(float, np.round(thresholds, 6)), strict=True)),
        "training": {
            "encoder": config.model.encoder,
            "recipe": asdict(config),
            "articles": len(material.train),
            "train_sha256": data_sha256(material.train),
            "dev_sha256": data_sha256(material.dev),
            "dev": scores,
            "versions": {name: metadata.version(name) for name in VERSIONS_TOLD},
        },
        "files": {name: file_sha256(scratch / name) for name in HASHED_FILES},
    }
    (scratch / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    open_bundle(scratch)
    os.replace(scratch, target)
    return target


def taxonomy_path(config: TrainConfig) -> Path:
    """Return the file of the recipe's label scheme."""
    return Path(config.data.taxonomy) if config.data.taxonomy else PACKAGED_TAXONOMY


def torch_probabilities(model: ArticleTagger, data: FeatureDataset, pad: int, precision: str) -> FloatArray:
    """Return the trained network's probabilities, shape (articles, labels)."""
    model.eval()
    device = next(model.parameters()).device
    collate = Collator(pad)
    rows: list[torch.Tensor] = []
    with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=uses_bf16(precision)):
        for index in watched(range(len(data)), len(data), "scoring dev with torch"):
            batch = {name: value.to(device) for name, value in collate([data[index]]).items() if name != "labels"}
            rows.append(model(**batch)["logits"].float().sigmoid().cpu())
    return torch.cat(rows).numpy().astype(np.float64)


def onnx_probabilities(path: Path, features: list[Features]) -> FloatArray:
    """Return the exported model's probabilities, shape (articles, labels)."""
    engine = OnnxEngine(path)
    rows = [engine.logits(one) for one in watched(features, len(features), "scoring dev")]
    logits = np.stack(rows).astype(np.float64)
    return 1 / (1 + np.exp(-logits))


def score(probabilities: FloatArray, truth: npt.NDArray[np.bool_], material: Material) -> dict[str, Any]:
    """Return dev scores with cross-fitted thresholds and 95 % bootstrap intervals over near-duplicate clusters."""
    decisions = crossfit_decisions(probabilities, truth, FOLDS, clusters=material.clusters)
    report = f1_report(decisions, truth, material.taxonomy)
    micro = bootstrap_interval(decisions, truth, "micro_f1", clusters=material.clusters)
    macro = bootstrap_interval(decisions, truth, "macro_f1", clusters=material.clusters)
    return {
        "articles": len(truth),
        "micro_f1": asdict(micro),
        "macro_f1": asdict(macro),
        "exact_match": report.exact_match,
        "labels": {label.id: round(label.f1, 4) for label in report.labels},
    }


def parity(served: FloatArray, reference: FloatArray, thresholds: FloatArray) -> Mapping[str, float]:
    """Compare the served int8 model with the trained network on dev."""
    return {
        "decisions_equal": float(((served >= thresholds) == (reference >= thresholds)).mean()),
        "largest_difference": float(np.abs(served - reference).max()),
        "mean_difference": float(np.abs(served - reference).mean()),
    }
