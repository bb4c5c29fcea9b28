"""What a run learns from: soft labels stay out of dev, and the identity of the data holds the labels' order."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from wusum.labels import Taxonomy
from wusum.labels.errors import WusumError
from wusum.training.config import load_config
from wusum.training.material import fingerprint, read_material


def test_soft_labels_of_dev_articles_are_refused(tiny_recipe: list[str], tmp_path: Path) -> None:
    config = load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"data.split={tmp_path / 'split.jsonl'}"])
    material = read_material(config)
    soft = tmp_path / "soft.jsonl"
    soften = replace(config, data=replace(config.data, soft=str(soft)))

    def write(name: str, text: str = "نص") -> None:
        row = {"id": name, "title": None, "text": text, "scores": {material.taxonomy.ids[0]: 0.5}}
        soft.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")

    write("another")
    assert len(read_material(soften).learned) == len(material.train) + 1
    for name, text in ((material.dev[0].id, "نص"), ("renamed", material.dev[0].text)):
        write(name, text)
        with pytest.raises(WusumError, match=r"soft\.jsonl: 1 of its articles are in dev"):
            read_material(soften)


def test_another_order_of_the_labels_is_other_data(tiny_recipe: list[str], tmp_path: Path) -> None:
    """A checkpoint's rows belong to the labels in their order."""
    config = load_config(Path(tiny_recipe[0]), [*tiny_recipe[1:], f"data.split={tmp_path / 'split.jsonl'}"])
    material = read_material(config)
    turned = Taxonomy(material.taxonomy.name, material.taxonomy.version, material.taxonomy.labels[::-1])
    assert fingerprint(material, config) == fingerprint(read_material(config), config)
    assert fingerprint(replace(material, taxonomy=turned), config) != fingerprint(material, config)
