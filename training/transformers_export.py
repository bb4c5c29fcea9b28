"""The trained weights that a bundle keeps beside the served model: to go on from, and to open in plain transformers.

A recipe with ``pooling: first`` has the head that transformers calls sequence classification. Its bundle opens there:
``pipeline("text-classification", model=bundle, top_k=None)`` gives every label by name with its uncalibrated
probability. Four things the pipeline does not do, and the tagger does: it reads one window, takes the text as the
recipe's normalisation and ``input.prefix`` would leave it, knows neither calibration nor thresholds, and adds no
n-grams.

These recipes give plain transformers up, because it has no such head:

- ``pooling: attention`` (the default), ``mean`` and ``max``;
- ``export.network: false``, which keeps no weights but the served ones (with attention pooling they can be read back,
  :mod:`~wusum.training.served_network`).

The first kind is kept as ``network.safetensors`` and ``encoder.json``, names that transformers does not know, so that
it refuses the folder instead of opening it with a random head.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from ..inference.bundle import Bundle
from ..labels import Taxonomy
from .config import TrainConfig
from .heads import standard_head
from .model import ArticleTagger
from .served_network import read_served

NETWORK = "network.safetensors"
ENCODER = "encoder.json"
CLASSIFIER = "model.safetensors"
CLASSIFIER_CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

# Where each family's sequence classifier keeps its dense layer and its output layer.
CLASSIFIERS = {
    "bert": ("bert.pooler.dense", "classifier"),
    "roberta": ("classifier.dense", "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
    "camembert": ("classifier.dense", "classifier.out_proj"),
    "electra": ("classifier.dense", "classifier.out_proj"),
    "distilbert": ("pre_classifier", "classifier"),
}

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Network:
    """Trained weights under the names of :class:`~wusum.training.model.ArticleTagger`, and the encoder's settings."""

    settings: dict[str, Any]
    state: State


def write_network(model: ArticleTagger, config: TrainConfig, taxonomy: Taxonomy, encoder: Path, folder: Path) -> None:
    """Write a trained network, its adapters merged, into a bundle's folder.

    Args:
        model: the network.
        config: its recipe.
        taxonomy: gives the labels' names.
        encoder: folder with the encoder's tokenizer.
        folder: where the bundle is being written.

    Example:
        >>> write_network(model, config, taxonomy, Path("encoder"), Path("run/bundle.part"))  # doctest: +SKIP
    """
    settings = model.encoder.config
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if not standard_head(config.model):
        _save(state, folder / NETWORK)
        (folder / ENCODER).write_text(settings.to_json_string(), encoding="utf-8")
        return
    names = classifier_names(settings, state)
    _save({names[name]: state[name] for name in names}, folder / CLASSIFIER)
    rest = {name: tensor for name, tensor in state.items() if name not in names}
    if rest:  # the queries of `windows: attention`, which play no part where there is one window
        _save(rest, folder / NETWORK)
    described = describe_classifier(settings, config, taxonomy)
    (folder / CLASSIFIER_CONFIG).write_text(described.to_json_string(), encoding="utf-8")
    _write_tokenizer_config(encoder, config.input.window, folder)


def _save(state: State, path: Path) -> None:
    path.touch()
    readers = path.stat().st_mode
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(readers)  # safetensors lets only the owner read what it writes


def read_network(bundle: Bundle) -> Network:
    """Read what :func:`write_network` wrote into an opened bundle, in either form, or else the served weights.

    Raises:
        WusumError: as :func:`~wusum.training.served_network.read_served`, where the bundle keeps no other weights.

    Example:
        >>> sorted(read_network(open_bundle(Path("run/bundle"))).state)[-1]  # doctest: +SKIP
        'head.weight'
    """
    state: State = load_file(bundle.folder / NETWORK) if NETWORK in bundle.files else {}
    if CLASSIFIER in bundle.files and CLASSIFIER_CONFIG in bundle.files:
        settings = json.loads((bundle.folder / CLASSIFIER_CONFIG).read_text(encoding="utf-8"))
        return Network(settings, state | _our_names(load_file(bundle.folder / CLASSIFIER), settings["model_type"]))
    if NETWORK in bundle.files and ENCODER in bundle.files:
        return Network(json.loads((bundle.folder / ENCODER).read_text(encoding="utf-8")), state)
    return Network(*read_served(bundle.model_path))


def classifier_names(settings: PreTrainedConfig, state: State) -> dict[str, str]:
    """Return, for each of our weights that transformers' sequence classifier has too, its name there."""
    base = classifier_class(settings).base_model_prefix
    dense, output = CLASSIFIERS[settings.model_type]
    names = {name: f"{base}.{name.removeprefix('encoder.')}" for name in state if name.startswith("encoder.")}
    for part in ("weight", "bias"):
        names |= {f"head.dense.{part}": f"{dense}.{part}", f"head.{part}": f"{output}.{part}"}
    return names


def classifier_class(settings: PreTrainedConfig) -> type[PreTrainedModel]:
    """Return the class of transformers that does sequence classification with this encoder."""
    return cast(type[PreTrainedModel], MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(settings)])


def describe_classifier(settings: PreTrainedConfig, config: TrainConfig, taxonomy: Taxonomy) -> PreTrainedConfig:
    """Return the encoder's settings with what a sequence classifier needs besides: class, labels, kind of problem."""
    described = copy.deepcopy(settings)
    described.architectures = [classifier_class(settings).__name__]
    described.id2label = dict(enumerate(taxonomy.ids))
    described.label2id = {label: index for index, label in enumerate(taxonomy.ids)}
    single = config.model.task == "single_label"
    described.problem_type = "single_label_classification" if single else "multi_label_classification"
    return described


def _our_names(theirs: State, family: str) -> State:
    dense, output = CLASSIFIERS[family]
    ours: State = {}
    for name, tensor in theirs.items():
        layer, _, part = name.rpartition(".")
        if layer == dense:
            ours[f"head.dense.{part}"] = tensor
        elif layer == output:
            ours[f"head.{part}"] = tensor
        else:
            ours[f"encoder.{name.partition('.')[2]}"] = tensor
    return ours


def _write_tokenizer_config(encoder: Path, window: int, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True, use_fast=True)
    tokenizer.model_max_length = window
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer.save_pretrained(scratch)
        shutil.copyfile(Path(scratch) / TOKENIZER_CONFIG, folder / TOKENIZER_CONFIG)
