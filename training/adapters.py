"""Low-rank adapters (LoRA, Hu et al. 2021) in the encoder, through peft."""

from __future__ import annotations

import importlib.util
from typing import TypeVar

from torch import nn

from ..labels.errors import WusumError
from .config import LoraConfig

Network = TypeVar("Network", bound=nn.Module)


def add_adapters(encoder: nn.Module, layers: nn.ModuleList, config: LoraConfig) -> None:
    """Put adapters beside every trainable dense matrix of ``layers``, and freeze all else in ``encoder``.

    In a BERT-like layer these are the attention's query, key, value and output, and the two of the feed-forward part.
    A layer that is frozen already gets none. The network computes what it did before: an update starts at zero.

    Args:
        encoder: changed in place.
        layers: its transformer layers.
        config: rank, scale and dropout of the adapters.

    Raises:
        WusumError: peft is not installed, a number that makes no sense, or every layer is frozen.

    Example:
        >>> add_adapters(model.encoder, encoder_layers(model.encoder), LoraConfig(rank=8))  # doctest: +SKIP
    """
    if importlib.util.find_spec("peft") is None:
        raise WusumError("model.lora: needs the package peft; pip install 'wusum[train]'")
    if config.rank < 1:
        raise WusumError(f"model.lora.rank: {config.rank}, expected 1 or more")
    if not 0 <= config.dropout < 1:
        raise WusumError(f"model.lora.dropout: {config.dropout}, expected a share from 0 to below 1")
    wanted = {
        id(module) for module in layers.modules() if isinstance(module, nn.Linear) and module.weight.requires_grad
    }
    if not wanted:
        raise WusumError("model.lora: model.freeze leaves no layer to adapt; lower it, or set lora: null")
    from peft import LoraConfig as Settings
    from peft import inject_adapter_in_model

    names = [name for name, module in encoder.named_modules() if id(module) in wanted]
    settings = Settings(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # hinted as int, only ever divided by the rank
        lora_dropout=config.dropout,
        target_modules=names,
    )
    inject_adapter_in_model(settings, encoder)


def merge_adapters(model: Network) -> Network:
    """Add the adapters' updates to the matrices they stand beside, and take the adapters out.

    What is left, and returned, is the plain network, changed in place: the same outputs in evaluation mode, and all
    names as without adapters. A network without adapters stays as it is.

    Example:
        >>> model = merge_adapters(model)  # doctest: +SKIP
    """
    if not any(".lora_A." in name for name, _ in model.named_parameters()):
        return model  # peft may be absent
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.get_base_layer())
        elif hasattr(module, "peft_config"):
            del module.peft_config  # what the injection left on the encoder
    return model
