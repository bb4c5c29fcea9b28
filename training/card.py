"""The model card: the README of a bundle, generated from its manifest and its report, without any article's text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .report_html import template
from .transformers_export import CLASSIFIER_CONFIG

CARD = "README.md"

_LEAST_POSITIVES = 20
_LEAST_F1 = 0.6


def render_card(manifest: Mapping[str, Any], report: Mapping[str, Any], standard_head: bool) -> str:
    """Return the card; ``standard_head`` tells whether plain transformers opens the bundle.

    Example:
        >>> "## Limits" in render_card(manifest, report, standard_head=False)  # doctest: +SKIP
        True
    """
    labels, parity = report["labels"], manifest["training"]["dev"]["parity"]
    kinds = [label["kind"] for label in labels]
    return template("card.md.j2").render(
        manifest=manifest,
        training=manifest["training"],
        report=report,
        standard_head=standard_head,
        topics=kinds.count("topic"),
        actors=kinds.count("actor"),
        compared=[one for one in report["opponents"] if "absent" not in one],
        parity=parity,
        moved=min(parity["labels"], key=lambda label: (parity["labels"][label]["equal"], label)),
        rare=[label["id"] for label in labels if label["positives"] < _LEAST_POSITIVES],
        weak=[label["id"] for label in labels if label["positives"] and label["f1"]["value"] < _LEAST_F1],
        least_positives=_LEAST_POSITIVES,
        least_f1=_LEAST_F1,
    )


def write_card(folder: Path, manifest: Mapping[str, Any], report: Mapping[str, Any]) -> Path:
    """Write the card into a bundle's folder, after its other files and before the manifest, which hashes it.

    Example:
        >>> write_card(part, manifest, report)  # doctest: +SKIP
        PosixPath('runs/default/bundle.part/README.md')
    """
    path = folder / CARD
    path.write_text(render_card(manifest, report, (folder / CLASSIFIER_CONFIG).is_file()), encoding="utf-8")
    return path
