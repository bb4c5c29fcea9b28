"""From a trained network to a bundle: export, calibrate, choose thresholds, pass the gate, report, write at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from safetensors import SafetensorError
from tokenizers import Tokenizer

from ..inference.bundle import MODEL, NGRAMS, TAXONOMY, TOKENIZER, open_bundle
from ..inference.engine import OnnxEngine
from ..inference.features import Features, SpecialTokens
from ..inference.manifest import FORMAT, file_sha256, write_manifest
from ..inference.ngrams import write_ngrams
from ..inference.scoring import Scoring, Task
from ..labels.errors import WusumError
from ..labels.taxonomy import PACKAGED_TAXONOMY
from .adapters import merge_adapters
from .batches import Collator, FeatureDataset
from .bootstrap import bootstrap_interval
from .calibration import crossfit, fit_calibration, fit_temperature
from .card import write_card
from .config import TrainConfig
from .evaluate import LabelledTexts
from .export import export_model
from .material import FOLDS, Material
from .metrics import f1_report
from .model import ArticleTagger
from .ngrams import fit_ngrams
from .opponents import fit_opponents
from .parity import check_parity, measure_parity
from .precision import measure_precision, precision_curves
from .progress import watched
from .report import Subject, build_report, write_report
from .targets import data_sha256, judged_matrix, label_matrix
from .thresholds import choose_thresholds
from .transformers_export import write_network

VERSIONS_TOLD = ("torch", "transformers", "onnxruntime", "tokenizers")
DIGITS = 6  # of the numbers in the manifest; those are what the gate judges

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trained:
    """A trained network and all that a bundle tells of it.

    Attributes:
        model: the network.
        encoder: folder of the encoder it began with.
        tokenizer: the encoder's tokenizer.
        special: ids that frame a window.
        train: features of the training articles.
        dev: features of the articles that choose calibration and thresholds.
        material: the articles themselves.
        config: the recipe.
        curve: the learning curve, as :func:`~wusum.training.checkpoints.read_curve` gives it.
        averaged: sha256 of the manifests of the bundles whose weights' mean the network is, if it is one.
    """

    model: ArticleTagger
    encoder: Path
    tokenizer: Tokenizer
    special: SpecialTokens
    train: FeatureDataset
    dev: FeatureDataset
    material: Material
    config: TrainConfig
    curve: Sequence[Mapping[str, float]]
    averaged: Sequence[str] = ()


@dataclass(frozen=True)
class Judgement:
    """What the trained and the served model say of dev; arrays have the shape (articles, labels).

    Attributes:
        trained: logits of the network in torch.
        served: logits of the exported model.
        truth: whether an article carries a label.
        judged: whether somebody judged that.
        clusters: each article's cluster of near-duplicates.
    """

    trained: FloatArray
    served: FloatArray
    truth: BoolArray
    judged: BoolArray
    clusters: list[str]


def write_bundle(trained: Trained, target: Path) -> Path:
    """Export the network, fit calibration and thresholds to what will be served, and write the bundle folder at once.

    Adapters are merged before. The report, which shows texts of articles, goes beside the bundle, not into it. Where
    anything fails, nothing is left under ``target``; the run's checkpoints stay.

    Raises:
        WusumError: the exported model differs too much from the trained one, or the folder cannot be written.

    Example:
        >>> write_bundle(trained, Path("runs/default/bundle"))  # doctest: +SKIP
        PosixPath('runs/default/bundle')
    """
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write_report(target.parent, _fill(trained, part))
        open_bundle(part)
        os.replace(part, target)
    except (OSError, SafetensorError) as fault:  # a full disk is an OSError to Python and the other to safetensors
        message = f"{target}: cannot be written ({fault}); free some space and run the same again, the training is kept"
        raise WusumError(message) from fault
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _fill(trained: Trained, folder: Path) -> dict[str, Any]:
    """Write a bundle's files and return the report."""
    config, taxonomy = trained.config, trained.material.taxonomy
    merge_adapters(trained.model)
    reference = torch_logits(trained.model, trained.dev, trained.special.pad)
    scratch = folder / "export"
    scratch.mkdir()
    with Console(stderr=True).status("exporting"):  # shows on a terminal only
        served = export_model(trained.model, config.export, trained.train.features, scratch / "full.onnx")
    os.replace(served, folder / MODEL)
    shutil.rmtree(scratch)
    served_logits = onnx_logits(folder / MODEL, trained.dev.features)
    added = add_ngrams(trained, folder)
    judgement = judge(trained, reference + added, served_logits + added)
    scoring = fit_scoring(judgement, config.model.task)
    parity = measure_parity(
        scoring.probabilities(judgement.served), scoring.probabilities(judgement.trained), scoring, taxonomy.ids
    )
    check_parity(parity, config.export)
    dev = {
        "served": score(judgement, judgement.served, trained),
        **({"without_ngrams": score(judgement, served_logits, trained)} if config.ngrams else {}),
        "torch": score(judgement, judgement.trained, trained),
        "parity": parity.to_dict(),
        "min_precision": score_precision(judgement, config.model.task),
    }
    trained.tokenizer.save(str(folder / TOKENIZER), pretty=False)
    shutil.copyfile(taxonomy_path(config), folder / TAXONOMY)
    if config.export.network:
        write_network(trained.model, config, taxonomy, trained.encoder, folder)
    manifest = describe(trained, scoring, dev)
    report = make_report(trained, manifest, judgement.served)
    write_card(folder, manifest, report)
    manifest["files"] = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    write_manifest(folder, manifest)
    return report


def add_ngrams(trained: Trained, folder: Path) -> FloatArray:
    """Fit and write the table of n-grams, where the recipe asks for one; return what it adds to the logits of dev."""
    material, config = trained.material, trained.config.ngrams
    if config is None:
        return np.zeros((len(material.dev), len(material.taxonomy)))
    truth, judged = (make(material.train, material.taxonomy) for make in (label_matrix, judged_matrix))
    table = fit_ngrams(trained.train.features[: len(material.train)], truth, judged, config)
    write_ngrams(table, folder / NGRAMS)
    return np.stack([table.logits(one) for one in trained.dev.features]).astype(np.float64)


def judge(trained: Trained, reference: FloatArray, served: FloatArray) -> Judgement:
    """Put the logits of both models beside what dev's labels say."""
    material = trained.material
    truth, judged = (make(material.dev, material.taxonomy) for make in (label_matrix, judged_matrix))
    return Judgement(reference, served, truth, judged, material.clusters)


def fit_scoring(judgement: Judgement, task: Task) -> Scoring:
    """Fit calibration to the served model's logits on dev, and thresholds to the calibrated probabilities.

    The precision curves come from cross-fitted probabilities, because a calibration flatters its own articles. All
    numbers are rounded as the manifest stores them, so that what is judged is what will be served.
    """
    served, truth, judged = judgement.served, judgement.truth, judgement.judged
    fitted = fit_temperature(served, truth) if task == "single_label" else fit_calibration(served, truth, judged)
    scale, shift = (np.round(part, DIGITS).tolist() for part in (fitted.scale, fitted.shift))
    if task == "single_label":
        return Scoring(task, scale, shift, ())
    probabilities = Scoring(task, scale, shift, ()).probabilities(served)
    thresholds = choose_thresholds(probabilities, truth, judged=judged)
    fair = crossfit(served, truth, judgement.clusters, FOLDS, judged=judged).probabilities
    curves = precision_curves(fair, truth, judged)
    return Scoring(task, scale, shift, np.round(thresholds, DIGITS).tolist(), curves)


def score_precision(judgement: Judgement, task: Task) -> list[dict[str, float]]:
    """Return what asking for a least precision brings on dev; nothing where each article gets exactly one label."""
    if task == "single_label":
        return []
    served, truth, judged = judgement.served, judgement.truth, judgement.judged
    reached = measure_precision(served, truth, judgement.clusters, FOLDS, judged)
    return [{key: round(value, 4) for key, value in asdict(one).items()} for one in reached]


def score(judgement: Judgement, logits: FloatArray, trained: Trained) -> dict[str, Any]:
    """Return dev scores whose calibration and thresholds were fitted on other articles of dev (cross-fitted).

    The intervals are 95 % bootstrap intervals over clusters of near-duplicates.
    """
    truth, judged, clusters = judgement.truth, judgement.judged, judgement.clusters
    task = trained.config.model.task
    decisions = crossfit(logits, truth, clusters, FOLDS, judged=judged, task=task).decisions
    report = f1_report(decisions, truth, trained.material.taxonomy, judged)
    micro = bootstrap_interval(decisions, truth, "micro_f1", judged=judged, clusters=clusters)
    macro = bootstrap_interval(decisions, truth, "macro_f1", judged=judged, clusters=clusters)
    return {
        "articles": len(truth),
        "micro_f1": asdict(micro),
        "macro_f1": asdict(macro),
        "exact_match": report.exact_match,
        "labels": {label.id: round(label.f1, 4) for label in report.labels},
    }


def describe(trained: Trained, scoring: Scoring, dev: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest, all but the hashes of the files."""
    config, material = trained.config, trained.material
    ids = material.taxonomy.ids
    pairs = zip(ids, scoring.scale, scoring.shift, strict=True)
    curves = {} if scoring.curves is None else {"precision": dict(zip(ids, scoring.curves, strict=True))}
    return {
        "format": FORMAT,
        "name": config.name,
        "version": config.version,
        "created": datetime.now(UTC).strftime("%Y-%m-%d"),
        "licence": config.licence,
        "input": asdict(config.input),
        "tokens": asdict(trained.special),
        "ngrams": config.ngrams.order if config.ngrams else 0,
        "task": scoring.task,
        "calibration": {label: {"scale": scale, "shift": shift} for label, scale, shift in pairs},
        "thresholds": dict(zip(ids, scoring.thresholds, strict=False)),  # with single_label there are none
        **curves,
        "training": {
            "encoder": config.model.encoder,
            "recipe": asdict(config),
            "averaged": list(trained.averaged),
            "articles": len(material.train),
            "soft_articles": len(trained.train) - len(material.train),
            "train_sha256": data_sha256(material.train),
            "dev_sha256": data_sha256(material.dev),
            "dev": dev,
            "versions": {name: metadata.version(name) for name in VERSIONS_TOLD},
        },
    }


def make_report(trained: Trained, manifest: Mapping[str, Any], logits: FloatArray) -> dict[str, Any]:
    """Return the report on dev, beside baselines that learned from the same articles."""
    material = trained.material
    scheme, task = material.taxonomy, trained.config.model.task
    learn, tune = LabelledTexts.of(material.train, scheme), LabelledTexts.of(material.dev, scheme, material.clusters)
    opponents = fit_opponents(scheme, learn, tune, task=task)
    return build_report(Subject(manifest, scheme, material.dev, logits, material.clusters, trained.curve, opponents))


def taxonomy_path(config: TrainConfig) -> Path:
    """Return the file of the recipe's label scheme."""
    return Path(config.data.taxonomy) if config.data.taxonomy else PACKAGED_TAXONOMY


@torch.no_grad()
def torch_logits(model: ArticleTagger, data: FeatureDataset, pad: int) -> FloatArray:
    """Return the trained network's logits in full precision, one article at a time, shape (articles, labels)."""
    model.eval()
    device = next(model.parameters()).device
    collate = Collator(pad)
    rows: list[torch.Tensor] = []
    for index in watched(range(len(data)), len(data), "scoring dev with torch"):
        batch = collate([data[index]])
        inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask", "windows")}
        rows.append(model(**inputs)["logits"].float().cpu())
    return torch.cat(rows).numpy().astype(np.float64)


def onnx_logits(path: Path, features: list[Features]) -> FloatArray:
    """Return the exported model's logits, shape (articles, labels)."""
    engine = OnnxEngine(path)
    return np.stack([engine.logits(one) for one in watched(features, len(features), "scoring dev")]).astype(np.float64)
