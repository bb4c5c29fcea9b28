"""Pretrained encoders as networks: which families are supported, strict loading, and their layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from ..labels.errors import WusumError


@dataclass(frozen=True)
class Family:
    """What differs between the encoders that are supported.

    Attributes:
        stack: the module that holds the list ``layer``.
        dropouts: settings of the dropout inside the layers.
        activation: after the dense layer of the family's sequence classifier in transformers.
        counts_from_pad: position numbers start behind the id of the padding token.
    """

    stack: str = "encoder"
    dropouts: tuple[str, str] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    activation: type[nn.Module] = nn.Tanh
    counts_from_pad: bool = False


# Others are refused rather than tried: the exporter hands the layers a ready mask, which ModernBERT's sliding windows
# and DeBERTa's attention would read wrongly without a word.
FAMILIES = {
    "bert": Family(),
    "roberta": Family(counts_from_pad=True),
    "xlm-roberta": Family(counts_from_pad=True),
    "camembert": Family(counts_from_pad=True),
    "electra": Family(activation=nn.GELU),
    "distilbert": Family("transformer", ("dropout", "attention_dropout"), nn.ReLU),
}


def read_settings(folder: Path) -> PreTrainedConfig:
    """Read the ``config.json`` of an encoder.

    Raises:
        WusumError: a value in it makes no sense.

    Example:
        >>> read_settings(Path("encoder")).num_hidden_layers  # doctest: +SKIP
        12
    """
    try:
        return cast(PreTrainedConfig, AutoConfig.from_pretrained(folder, local_files_only=True))
    except (StrictDataclassError, ValueError, TypeError) as fault:
        reason = " ".join(str(fault).split())
        raise WusumError(f"{folder / 'config.json'}: cannot be used ({reason}); copy or download it again") from fault


def load_checkpoint(kind: Any, folder: Path, settings: PreTrainedConfig) -> PreTrainedModel:
    """Load a model whose encoder is there in whole; a pooler, and parts behind the encoder, may begin fresh.

    Transformers fills any gap with random numbers, and its report of them is silenced: of a missing pooler, which is
    not used, it would worry users.

    Args:
        kind: ``AutoModel`` or one of its kin.
        folder: where the weights lie.
        settings: what to build.

    Raises:
        WusumError: weights of the encoder are missing or of another shape.

    Example:
        >>> load_checkpoint(AutoModel, Path("encoder"), read_settings(Path("encoder")))  # doctest: +SKIP
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        network, report = kind.from_pretrained(
            folder,
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (RuntimeError, ValueError) as fault:
        reason = " ".join(str(fault).split())[:200]
        message = f"{folder}: the weights do not fit config.json ({reason}); the two are not of one model"
        raise WusumError(message) from fault
    inside = "" if network.base_model is network else f"{network.base_model_prefix}."
    gaps = [name for name in sorted(report["missing_keys"]) if name.startswith(inside) and "pooler." not in name]
    if gaps:
        found = f"{len(gaps)} weights of the encoder are missing, the first {gaps[0]}"
        raise WusumError(f"{folder}: {found}; copy or download it again, or make config.json fit")
    return cast(PreTrainedModel, network)


def encoder_family(settings: PreTrainedConfig) -> Family:
    """Return what an encoder's family is like.

    Raises:
        WusumError: a family that is not supported.

    Example:
        >>> from transformers import ElectraConfig
        >>> encoder_family(ElectraConfig()).activation.__name__
        'GELU'
    """
    family = FAMILIES.get(settings.model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise WusumError(f"model.encoder: is of the family {settings.model_type}, expected one of {known}; use another")
    return family


def check_window(settings: PreTrainedConfig, window: int) -> None:
    """Refuse a window that is longer than what the encoder has position vectors for.

    RoBERTa and its kin number positions from behind the padding token's id: of 514 vectors 512 are for tokens.

    Args:
        settings: the encoder's configuration.
        window: tokens per window, special tokens included (``input.window``).

    Raises:
        WusumError: the window is too long.

    Example:
        >>> from transformers import BertConfig
        >>> check_window(BertConfig(max_position_embeddings=512), 512)
    """
    limit = settings.max_position_embeddings
    if encoder_family(settings).counts_from_pad:
        limit -= settings.pad_token_id + 1
    if window > limit:
        raise WusumError(
            f"input.window: {window}, but the encoder reads {limit} tokens at most; set input.window={limit}"
        )


def encoder_layers(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the list of transformer layers of an encoder.

    Raises:
        WusumError: an encoder of a family that is not supported.
    """
    layers = encoder.get_submodule(f"{encoder_family(encoder.config).stack}.layer")
    if not isinstance(layers, nn.ModuleList):
        raise TypeError(f"expected a ModuleList, got {type(layers).__name__}")
    return layers


def keep_layers(encoder: PreTrainedModel, indices: Sequence[int]) -> None:
    """Drop all layers of ``encoder`` but those named.

    Raises:
        WusumError: none is named, or one that does not exist.
    """
    layers = encoder_layers(encoder)
    if not indices:
        raise WusumError("model.keep_layers: is empty, expected at least one layer, or null for all")
    wrong = [index for index in indices if not 0 <= index < len(layers)]
    if wrong:
        raise WusumError(f"model.keep_layers: {wrong[0]} does not exist, the encoder has layers 0 to {len(layers) - 1}")
    encoder.get_submodule(encoder_family(encoder.config).stack).layer = nn.ModuleList([layers[i] for i in indices])
    encoder.config.num_hidden_layers = len(indices)


def freeze_layers(encoder: PreTrainedModel, count: int) -> None:
    """Keep the embeddings and the ``count`` lowest layers of ``encoder`` out of the training.

    Raises:
        WusumError: there are not so many layers.
    """
    layers = encoder_layers(encoder)
    if not 0 <= count <= len(layers):
        raise WusumError(f"model.freeze: {count}, but {len(layers)} layers are kept; expected 0 to {len(layers)}")
    encoder.requires_grad_(False)
    layers[count:].requires_grad_(True)
