"""Goes on from an existing bundle: its encoder, and the head's rows of the labels that both schemes have."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import Unigram

from ..inference.bundle import Bundle
from ..inference.features import read_tokenizer
from ..labels import Taxonomy
from ..labels.errors import WusumError
from .config import ModelConfig
from .earlier import open_earlier
from .encoder import WORDS
from .fold_vocabulary import fold_vocabulary
from .model import ArticleTagger
from .transformers_export import State, read_network

LABEL_ROWS = ("head.query", "head.weight", "head.bias")  # one row per label; all else is common to the labels
ADAPTED = ".base_layer"  # what peft puts into the name of a matrix that has an adapter


def load_start(model: ArticleTagger, config: ModelConfig, taxonomy: Taxonomy, tokenizer: Tokenizer) -> None:
    """Put the weights of the bundle ``config.start`` into a network that the recipe has built.

    Labels are matched by id, whatever their order. A label that the bundle does not know keeps its fresh row, whose
    bias comes from its share of the training articles; a label that the scheme lost is left out. Where the recipe's
    encoder has the bundle's pieces folded (:mod:`~wusum.training.fold_vocabulary`), the embeddings are folded likewise.

    Args:
        model: the network, changed in place; adapters are left as they are.
        config: names the bundle, or its run's folder, in ``start``, and what the network is built of.
        taxonomy: label scheme of this training.
        tokenizer: the one of the recipe's encoder.

    Raises:
        WusumError: no readable bundle, one without its trained weights, or one whose encoder, tokenizer or pooling is
            not the recipe's.

    Example:
        >>> load_start(model, config.model, load_taxonomy(), tokenizer)  # doctest: +SKIP
    """
    bundle = open_earlier(Path(config.start or ""))
    folder = bundle.folder
    network = read_network(bundle)
    _check_pooling(bundle, config)
    state = _with_vocabulary(bundle, network.state, tokenizer)
    own = model.encoder.config
    for key, setting in (
        ("model_type", "encoder"),
        ("hidden_size", "encoder"),
        ("num_hidden_layers", "keep_layers"),
    ):
        theirs, ours = _setting(network.settings, key), getattr(own, key)
        if theirs is not None and theirs != ours:  # served weights do not tell the encoder's family
            message = f"its encoder's {key} is {theirs}, the recipe's {ours}; change model.{setting}"
            raise WusumError(f"model.start: {folder}: {message} or start from another bundle")
    _copy(state, model, bundle.taxonomy, taxonomy, folder)


def _with_vocabulary(bundle: Bundle, state: State, tokenizer: Tokenizer) -> State:
    """Return weights whose embeddings are those of ``tokenizer``'s pieces: the bundle's own, or its folded ones."""
    vocabulary = tokenizer.get_vocab()
    if read_tokenizer(bundle.tokenizer_path).get_vocab() == vocabulary:
        return state
    if isinstance(tokenizer.model, Unigram):
        folded = fold_vocabulary(bundle.tokenizer_path)
        if folded.pieces == vocabulary:
            return {name: folded.merge(tensor) if name.endswith(WORDS) else tensor for name, tensor in state.items()}
    raise WusumError(f"model.start: {bundle.folder} has another vocabulary than model.encoder; name its encoder")


def _setting(settings: dict[str, object], key: str) -> object:
    """Return a setting; DistilBERT has names of its own in its file."""
    return settings.get(key, settings.get({"hidden_size": "dim", "num_hidden_layers": "n_layers"}.get(key, key)))


def _check_pooling(bundle: Bundle, config: ModelConfig) -> None:
    recipe = bundle.training.get("recipe")
    trained = recipe.get("model") if isinstance(recipe, dict) else None
    if not isinstance(trained, dict):
        raise WusumError(f"model.start: {bundle.folder} does not tell its recipe; start from another bundle")
    for key in ("pooling", "windows"):
        theirs, ours = trained.get(key), getattr(config, key)
        if theirs != ours:
            found = f"{bundle.folder} was trained with model.{key}: {theirs}, the recipe has {ours}"
            raise WusumError(f"model.start: {found}; set model.{key}={theirs} or start from another bundle")


@torch.no_grad()
def _copy(state: State, model: ArticleTagger, before: Taxonomy, now: Taxonomy, folder: Path) -> None:
    common = [label for label in now.ids if label in before]
    rows, sources = ([scheme.index(label) for label in common] for scheme in (now, before))
    own = {name.replace(ADAPTED, ""): tensor for name, tensor in model.state_dict().items() if ".lora_" not in name}
    for name, tensor in own.items():
        found = state.get(name)
        expected = (len(before), *tensor.shape[1:]) if name in LABEL_ROWS else tuple(tensor.shape)
        if found is None or tuple(found.shape) != expected:
            shape = "no such weights" if found is None else f"shape {tuple(found.shape)}"
            message = f"{name}: {shape}, expected shape {expected}; name the encoder that the bundle was trained from"
            raise WusumError(f"model.start: {folder}: {message}")
        if name in LABEL_ROWS:
            tensor[rows] = found[sources]
        else:
            tensor.copy_(found)
