"""The model card: every figure is the report's, no text of an article, nothing left open."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

from wusum.labels import Label, Taxonomy  # after the check
from wusum.training.card import render_card, write_card
from wusum.training.data import LabelledArticle
from wusum.training.opponents import Opponent
from wusum.training.report import Subject, build_report

SCHEME = Taxonomy(
    "t",
    "1",
    (
        Label("war", "topic", "حرب", "War", "d"),
        Label("trade", "topic", "تجارة", "Trade", "d"),
        Label("egypt", "actor", "مصر", "Egypt", "d"),
    ),
)
MANIFEST: dict[str, Any] = {
    "name": "mine",
    "version": "1.2",
    "created": "2026-01-01",
    "licence": "MIT",
    "ngrams": 0,
    "task": "multi_label",
    "input": {"recipe": "arabert-v02", "prefix": "", "max_chars": 2400, "window": 256, "max_windows": 5},
    "training": {
        "encoder": "some/encoder",
        "averaged": [],
        "recipe": {"model": {"keep_layers": [0, 2], "start": None}, "export": {"precision": "int8"}},
        "articles": 1234,
        "soft_articles": 0,
        "train_sha256": "a" * 64,
        "dev_sha256": "b" * 64,
        "versions": {"torch": "2.13"},
        "dev": {
            "parity": {
                "decisions_equal": 0.99871,
                "mean_difference": 0.00234,
                "largest_difference": 0.08765,
                "labels": {name: {"equal": 0.99 - k / 100, "shift": 0.001} for k, name in enumerate(SCHEME.ids)},
            }
        },
    },
}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    truth = generator.random((60, 3)) < (0.4, 0.1, 0.5)
    logits = np.where(truth, 2.0, -2.0) + generator.normal(0, (1.0, 4.0, 1.0), truth.shape)
    ids = np.array(SCHEME.ids)
    articles = [LabelledArticle(f"a{k}", None, "نص من عندنا", tuple(ids[row].tolist())) for k, row in enumerate(truth)]
    opponents = [Opponent("keywords", truth ^ (generator.random((60, 3)) < 0.3)), Opponent("fastText", None, "absent")]
    epoch = {"epoch": 1.0, "step": 1, "train_loss": 0.3, "dev_loss": 0.2, "micro_f1": 0.8, "macro_f1": 0.7}
    curve = [epoch | {"seconds": 1234.0, "cpu_seconds": 2345.0}]
    return build_report(Subject(MANIFEST, SCHEME, articles, logits, list(map(str, range(60))), curve, opponents))


def rows(card: str, heading: str) -> list[list[str]]:
    """The body of the first table whose head begins with ``heading``, cell by cell."""
    block = card[card.index(f"| {heading}") :].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]


def with_interval(value: dict[str, float], sign: str = "") -> str:
    return f"{value['value']:{sign}.3f} ({value['low']:{sign}.3f}, {value['high']:{sign}.3f})"


def test_every_table_holds_the_reports_figures(report: dict[str, Any]) -> None:
    card = render_card(MANIFEST, report, standard_head=False)
    figures = ("precision", "recall", "f1", "average_precision")
    assert rows(card, "label |") == [
        [one["id"], str(one["positives"]), *(with_interval(one[name]) for name in figures)] for one in report["labels"]
    ]
    assert rows(card, "| micro precision") == [
        [
            group,
            *(f"{one['micro'][name]:.3f}" for name in ("precision", "recall")),
            *(with_interval(one[name]) for name in ("micro_f1", "macro_f1")),
        ]
        for group, one in report["averages"].items()
    ]
    assert rows(card, "| Brier") == [
        [name, f"{one['brier']:.4f}", f"{one['skill']:.3f}", f"{one['ece']:.4f}", f"{one['decisions']}"]
        for name, one in report["calibration"].items()
    ]
    keywords = report["opponents"][0]
    ahead = (with_interval(keywords[name], "+") for name in ("micro_ahead", "macro_ahead"))
    assert rows(card, "opponent") == [
        ["keywords", f"{keywords['micro_f1']:.3f}", f"{keywords['macro_f1']:.3f}", *ahead]
    ]


def test_what_stands_outside_the_tables_is_the_manifests_and_the_reports(report: dict[str, Any]) -> None:
    card = render_card(MANIFEST, report, standard_head=False)
    flat = " ".join(card.split())
    for words in (
        "# mine 1.2",
        "2 topics and 1 actors",
        "Licence: MIT",
        "Base model: `some/encoder`, layers 0, 2.",
        "1,234 labelled training articles",
        "60 dev articles in 60 clusters",
        "1,234 s wall time and 2,345 s CPU time",
        "99.87 % of the decisions are equal",
        "differ by 0.0023 in the mean and by 0.0877 at most",
        "moved most is `egypt` with 97.00 %",
        f"Exact match {with_interval(report['exact_match'])}",
        "torch 2.13",
        "does not open in `transformers.pipeline`",
        "Fewer than 20 positives on dev, so the figures say little: war, trade.",
        "F1 below 0.6: trade.",
    ):
        assert words in flat
    # Decimals outside the tables are the ones checked above, and versions.
    prose = "\n".join(line for line in card.splitlines() if not line.startswith("|"))
    found = set(re.findall(r"\d+\.\d+", prose))
    exact, mean = (re.findall(r"\d\.\d+", with_interval(report[k])) for k in ("exact_match", "mean_average_precision"))
    assert found == {"1.2", "99.87", "0.0023", "0.0877", "97.00", "2.13", "0.05", "0.95", "0.6", *exact, *mean}


def test_nothing_is_left_open_and_no_text_of_an_article_is_in_it(report: dict[str, Any]) -> None:
    for standard_head in (False, True):
        card = render_card(MANIFEST, report, standard_head)
        left = re.search(r".*(\{[{%#]|[}%#]\}|None|undefined|\bnan\b|TODO).*", card.replace("top_k=None", ""))
        assert left is None, left
        assert "نص من عندنا" not in card
        assert "\n\n\n" not in card
        assert ("from transformers import pipeline" in card) == standard_head


def test_a_card_of_another_past(report: dict[str, Any]) -> None:
    manifest = copy.deepcopy(MANIFEST) | {"task": "single_label"}
    manifest["training"]["recipe"]["model"] = {"keep_layers": None, "start": "old/bundle"}
    manifest["training"]["soft_articles"] = 9000
    agreement = {"articles": 250, "micro_f1": 0.971, "low": 0.963, "high": 0.978}
    card = render_card(manifest, report | {"opponents": [], "seconds": None, "agreement": agreement}, False)
    assert "exactly one of 3 labels" in card
    assert "Base model: `some/encoder`.\n" in card
    assert "from the bundle `old/bundle`" in card
    assert "9,000 articles of `data.soft`" in card
    assert "on 250 other articles: micro F1 0.971 (0.963, 0.978)" in card
    assert "opponent" not in card
    assert "CPU time" not in card


def test_it_lies_in_the_bundle_and_knows_whether_transformers_opens_it(report: dict[str, Any], tmp_path: Path) -> None:
    path = write_card(tmp_path, MANIFEST, report)
    assert path == tmp_path / "README.md"
    assert "does not open" in path.read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({}))
    assert "does not open" not in write_card(tmp_path, MANIFEST, report).read_text(encoding="utf-8")
