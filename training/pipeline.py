"""From a recipe to a bundle: read the articles, fine-tune, and hand the network to the bundle's writer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from transformers import AutoTokenizer, set_seed

from ..inference.features import Featuriser, SpecialTokens
from ..labels.errors import WusumError
from .batches import FeatureDataset
from .bundle_writer import Trained, write_bundle
from .checkpoints import read_curve
from .config import TrainConfig
from .device import is_main_process, join_processes, resolve_device, wait_for_all
from .earlier import open_earlier, warn_of_another_dev
from .encoder import resolve_encoder
from .encoder_network import check_window
from .losses import make_loss
from .material import Material, fingerprint, read_material
from .model import ArticleTagger, build_model
from .run_folder import claim_folder
from .start import load_start
from .targets import target_matrix
from .trainer import fine_tune

# What may change between training and writing the bundle; a run's folder may be moved.
AFTER_TRAINING = [f"recipe.{key}" for key in ("name", "version", "licence", "output", "export", "ngrams")]


def train(config: TrainConfig) -> Path:
    """Run a recipe and return the folder of the finished bundle.

    Interrupted, it goes on from the last checkpoint in ``output/checkpoints`` when called again with the same recipe.
    Where the training is complete, nothing is trained again, and the recipe's sections export and ngrams, its name,
    version and licence may be others. Started by ``accelerate launch``, every process calls this; the main one writes.

    Raises:
        WusumError: a fault in the recipe or the data, an output folder that belongs to another recipe or other
            articles, a bundle that exists already, or an exported model that is too far from the trained one.

    Example:
        >>> train(load_config(Path("configs/default.yaml")))  # doctest: +SKIP
        PosixPath('runs/default/bundle')
    """
    output = Path(config.output)
    bundle = output / "bundle"
    processes = join_processes(config.optimisation.device)
    if bundle.exists():
        raise WusumError(f"{bundle}: exists already; move it away, or choose another output, to train anew")
    set_seed(config.optimisation.seed)
    material = read_material(config)
    with processes.main_process_first():  # it may have to fetch or build the encoder
        encoder = resolve_encoder(config.model.encoder)
    tokenizer, special, mask_id = load_tokenizer(encoder)
    model = make_network(encoder, config, material, tokenizer, mask_id)
    if is_main_process():
        run = {"recipe": asdict(config), "data": fingerprint(material, config)}
        claim_folder(output, run, AFTER_TRAINING)
    wait_for_all()
    featurise = Featuriser(tokenizer, config.input, special)
    weights = material.weights(config.data.soft_weight)
    train_set = FeatureDataset(material.learned, material.targets, featurise, weights)
    dev_set = FeatureDataset(material.dev, target_matrix(material.dev, material.taxonomy), featurise)
    fine_tune(
        model,
        train_set,
        dev_set,
        taxonomy=material.taxonomy,
        pad=special.pad,
        optimisation=config.optimisation,
        folder=output / "checkpoints",
        task=config.model.task,
        clusters=material.clusters,
    )
    try:
        if is_main_process():
            curve = read_curve(output / "checkpoints")
            write_bundle(
                Trained(model, encoder, tokenizer, special, train_set, dev_set, material, config, curve), bundle
            )
    finally:
        wait_for_all()
    return bundle


def make_network(
    encoder: Path, config: TrainConfig, material: Material, tokenizer: Tokenizer, mask_id: int
) -> ArticleTagger:
    """Build the network of a recipe, with the loss that the training articles call for and the weights it starts from.

    Raises:
        WusumError: as :func:`~wusum.training.model.build_model` and :func:`~wusum.training.start.load_start`, or a
            window that is longer than the encoder reads.
    """
    targets = material.targets
    loss = make_loss(config.optimisation.loss, config.model.task, np.nansum(targets, axis=0).tolist(), len(targets))
    device = resolve_device(config.optimisation.device).type
    shares = np.nanmean(targets, axis=0).tolist()
    model = build_model(encoder, config.model, loss, shares, mask_id, device_type=device)
    check_window(model.encoder.config, config.input.window)
    pieces = model.encoder.config.vocab_size
    if max(tokenizer.get_vocab().values()) >= pieces:
        raise WusumError(f"{encoder}: its tokenizer has more pieces than its weights ({pieces}); copy both anew")
    if config.model.start is not None:
        load_start(model, config.model, material.taxonomy, tokenizer)
        warn_of_another_dev(open_earlier(Path(config.model.start)), material.dev, "model.start")
    return model


def load_tokenizer(encoder: Path) -> tuple[Tokenizer, SpecialTokens, int]:
    """Load the tokenizer of an encoder folder with the ids of its special tokens and of its mask.

    Raises:
        WusumError: the tokenizer lacks one of them.
    """
    try:
        fast = AutoTokenizer.from_pretrained(encoder, local_files_only=True, use_fast=True)
    except Exception as fault:  # what it raises for a broken file depends on the file and on the tokenizer's class
        raise WusumError(f"{encoder}: its tokenizer cannot be read ({fault!r}); copy it again") from fault
    names = ("cls_token_id", "sep_token_id", "pad_token_id", "mask_token_id")
    ids = [getattr(fast, name) for name in names]
    for name, value in zip(names, ids, strict=True):
        if value is None:
            raise WusumError(f"{encoder}: its tokenizer has no {name.removesuffix('_id')}; use a BERT-like encoder")
    return fast.backend_tokenizer, SpecialTokens(ids[0], ids[1], ids[2]), ids[3]
