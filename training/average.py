"""The mean of several runs' weights as one network (model soups, Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from transformers import set_seed

from ..inference.bundle import Bundle
from ..inference.features import Featuriser
from ..inference.manifest import MANIFEST, file_sha256
from ..labels import Taxonomy
from ..labels.errors import WusumError
from .batches import FeatureDataset
from .bundle_writer import Trained, write_bundle
from .checkpoints import mean_weights
from .config import TrainConfig
from .earlier import open_earlier, warn_of_another_dev
from .encoder import resolve_encoder
from .material import fingerprint, read_material
from .pipeline import AFTER_TRAINING, load_tokenizer, make_network
from .run_folder import claim_folder
from .start import load_start
from .targets import target_matrix


def average(config: TrainConfig, runs: Sequence[Path]) -> Path:
    """Average the weights of runs of one recipe that differ in seed, loss, data or length; return the bundle's folder.

    All must have begun from the same encoder, or from one and what further pre-training made of it: weights of
    fine-tunings of one network can be averaged, others cannot. Calibration, thresholds, parity gate and report are
    those of a training, on the recipe's dev articles.

    Args:
        config: the recipe; its ``output`` is where the mean goes, its ``optimisation`` is not used.
        runs: bundles, or their run folders.

    Raises:
        WusumError: fewer than two runs, a fault in the recipe or the data, a bundle that exists already, runs whose
            labels, input or network are not the recipe's, or a mean that the parity gate refuses.

    Example:
        >>> recipe = load_config(Path("configs/default.yaml"), ["output=runs/mean"])  # doctest: +SKIP
        >>> average(recipe, [Path("runs/a"), Path("runs/b")])  # doctest: +SKIP
        PosixPath('runs/mean/bundle')
    """
    if len(runs) < 2:
        raise WusumError(f"{len(runs)} runs to average, expected two or more; name their folders")
    output = Path(config.output)
    bundle = output / "bundle"
    if bundle.exists():
        raise WusumError(f"{bundle}: exists already; move it away, or choose another output, to average anew")
    set_seed(config.optimisation.seed)
    material = read_material(config)
    sources = [open_earlier(run) for run in runs]
    for source in sources:
        _check(source, config, material.taxonomy)
        warn_of_another_dev(source, material.dev, "average")
    encoder = resolve_encoder(config.model.encoder)
    tokenizer, special, mask_id = load_tokenizer(encoder)
    model = make_network(encoder, config, material, tokenizer, mask_id)
    hashes = [file_sha256(source.folder / MANIFEST) for source in sources]
    run = {"recipe": asdict(config), "data": fingerprint(material, config), "averaged": hashes}
    claim_folder(output, run, AFTER_TRAINING)
    states = []
    for source in sources:
        load_start(model, replace(config.model, start=str(source.folder)), material.taxonomy, tokenizer)
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    model.load_state_dict(mean_weights(states))
    featurise = Featuriser(tokenizer, config.input, special)
    train = FeatureDataset(material.train, target_matrix(material.train, material.taxonomy), featurise)
    dev = FeatureDataset(material.dev, target_matrix(material.dev, material.taxonomy), featurise)
    trained = Trained(model, encoder, tokenizer, special, train, dev, material, config, curve=(), averaged=hashes)
    return write_bundle(trained, bundle)


def _check(source: Bundle, config: TrainConfig, taxonomy: Taxonomy) -> None:
    """Refuse what :func:`load_start` would take, because to go on from it makes sense."""
    for name, theirs, ours in (("labels", source.taxonomy.ids, taxonomy.ids), ("input", source.input, config.input)):
        if theirs != ours:
            raise WusumError(f"{source.folder}: its {name} is not the recipe's; average runs of one recipe")
