"""The report: its figures are those of the parts, its page is whole, safe and needs nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wusum.labels import Label, Taxonomy, WusumError, load_taxonomy
from wusum.labels.standoff import GOLD_FOLDER, read_gold
from wusum.training.agreement import packaged_agreement
from wusum.training.calibration import crossfit
from wusum.training.data import LabelledArticle
from wusum.training.evaluate import LabelledTexts, compare, evaluate
from wusum.training.opponents import Opponent
from wusum.training.reliability import reliability
from wusum.training.report import REPORT_HTML, REPORT_JSON, Subject, build_report, write_report
from wusum.training.report_html import render_html

SCHEME = Taxonomy(
    "t",
    "1",
    (
        Label("war", "topic", "حرب", "War", "d"),
        Label("trade", "topic", "تجارة", "Trade", "d"),
        Label("egypt", "actor", "مصر", "Egypt", "d"),
    ),
)
TRAINING = {
    "encoder": "some-encoder",
    "recipe": {"model": {"encoder": "some-encoder"}},
    "articles": 1234,
    "train_sha256": "a" * 64,
    "dev_sha256": "b" * 64,
    "versions": {"torch": "2.13"},
}
MANIFEST = {
    "name": "mine",
    "version": "1",
    "created": "2026-01-01",
    "licence": "MIT",
    "task": "multi_label",
    "training": TRAINING,
}
CURVE = [
    {
        "epoch": float(epoch),
        "step": 10 * epoch,
        "train_loss": 1 / epoch,
        "dev_loss": 0.5,
        "micro_f1": 0.8,
        "macro_f1": 0.7,
        "seconds": 2.0,
        "cpu_seconds": 3.0,
    }
    for epoch in (1, 2)
]


def subject(task: str = "multi_label") -> Subject:
    """Sixty made-up articles whose logits know the truth, mostly; some cells were not judged."""
    generator = np.random.default_rng(0)
    truth = generator.random((60, 3)) < 0.4
    judged = generator.random((60, 3)) < 0.9
    if task == "single_label":
        truth, judged = np.eye(3, dtype=bool)[generator.integers(0, 3, 60)], np.ones((60, 3), dtype=bool)
    logits = np.where(truth, 2.0, -2.0) + generator.normal(0, 2.5, truth.shape)
    ids = np.array(SCHEME.ids)
    articles = [
        LabelledArticle(
            f"a{row}",
            f"عنوان <b>{row}</b> & co",
            "نص <script>alert(1)</script> من عندنا",
            tuple(ids[truth[row] & judged[row]].tolist()),
            None if judged[row].all() else tuple(ids[judged[row]].tolist()),
        )
        for row in range(60)
    ]
    keywords = Opponent("keywords", truth ^ (generator.random((60, 3)) < 0.3))
    clusters = [f"c{row // 2}" for row in range(60)]
    absent = Opponent("fastText", None, "no <pkg>")
    return Subject({**MANIFEST, "task": task}, SCHEME, articles, logits, clusters, CURVE, [keywords, absent])


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return build_report(subject())


def test_its_figures_are_those_of_the_parts(built: dict[str, Any]) -> None:
    given = subject()
    texts = LabelledTexts.of(given.articles, SCHEME, given.clusters)
    fitted = crossfit(given.logits, texts.truth, given.clusters, judged=texts.judged)
    result = evaluate(fitted.decisions, texts.truth, SCHEME, given.clusters, texts.judged)
    for group, found in result.intervals.items():
        for kind in ("micro_f1", "macro_f1"):
            assert built["averages"][group][kind] == pytest.approx(dataclasses.asdict(found[kind]), abs=1e-6)
    assert built["exact_match"]["value"] == pytest.approx(result.report.exact_match, abs=1e-6)
    for entry, label in zip(built["labels"], result.report.labels, strict=True):
        values = [entry[name]["value"] for name in ("precision", "recall", "f1")]
        assert values == pytest.approx([label.precision, label.recall, label.f1], abs=1e-6)
        assert (entry["positives"], entry["given"]) == (label.support, label.predicted)
        assert entry["judged"] == texts.judged[:, SCHEME.index(label.id)].sum()
        assert entry["f1"]["low"] <= entry["f1"]["value"] <= entry["f1"]["high"]
    trust = reliability(fitted.probabilities, texts.truth, texts.judged)
    plain = reliability(1 / (1 + np.exp(-given.logits)), texts.truth, texts.judged)
    for name, expected in (("calibrated", trust), ("uncalibrated", plain)):
        assert built["calibration"][name]["ece"] == pytest.approx(expected.ece, abs=1e-6)
        assert built["calibration"][name]["skill"] == pytest.approx(expected.skill, abs=1e-6)
    known = compare("keywords", fitted.decisions, given.opponents[0].decisions, texts)
    keywords, absent = built["opponents"]
    assert keywords["micro_ahead"] == pytest.approx(dataclasses.asdict(known.micro_ahead), abs=1e-6)
    assert absent == {"opponent": "fastText", "absent": "no <pkg>"}
    assert (built["seconds"], built["clusters"], built["agreement"]) == ({"wall": 4.0, "cpu": 6.0}, 30, None)


def test_errors_are_wrong_judged_decisions_with_their_text(built: dict[str, Any]) -> None:
    given = subject()
    by_id = {article.id: article for article in given.articles}
    assert built["errors"]
    assert [one["cost"] for one in built["errors"]] == sorted((one["cost"] for one in built["errors"]), reverse=True)
    for one in built["errors"]:
        article = by_id[one["id"]]
        assert one["missed"] == (one["label"] in article.labels) == (one["label"] not in one["given"])
        assert article.judged is None or one["label"] in article.judged
        assert one["text"] == f"{article.title}\n{article.text}"
        assert one["labels"] == list(article.labels)


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_asks_for_nothing_from_elsewhere(built: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path / "run", built)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [REPORT_HTML, REPORT_JSON]
    assert json.loads((tmp_path / "run" / REPORT_JSON).read_text(encoding="utf-8")) == built
    source = (tmp_path / "run" / REPORT_HTML).read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    assert page.open == []
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert not any(name in ("src", "href", "onclick") for _, attributes in page.tags for name in attributes)
    assert "http" not in source.replace("http-equiv", "")
    assert "url(" not in source
    assert "<script>alert(1)</script>" in page.text  # escaped: text, not a tag
    assert names.count("svg") == 3
    assert ("td", {"dir": "rtl", "lang": "ar"}) in page.tags
    assert any(attributes.get("dir") == "auto" for tag, attributes in page.tags if tag == "div")
    for label in built["labels"]:
        assert label["ar"] in page.text
        assert f"{label['f1']['value']:.3f}" in page.text
    assert all(word in page.text for word in ("not compared: no <pkg>", "a" * 64, "b" * 64, "torch 2.13", "4 s wall"))
    places = [float(value) for value in re.findall(r'c[xy]="([-\d.]+)"', source)]
    assert min(places) >= 0
    assert max(places) <= 300


def test_a_single_label_scheme_and_a_bundle_without_a_past_have_a_page_too() -> None:
    given = dataclasses.replace(subject("single_label"), curve=(), opponents=())
    report = build_report(dataclasses.replace(given, manifest={"name": "x", "version": "1", "task": "single_label"}))
    assert report["task"] == "single_label"
    assert sum(label["given"] for label in report["labels"]) == 60
    assert report["seconds"] is None
    assert "None were fitted" in render_html(report)


def test_a_report_without_errors_has_a_page() -> None:
    given = subject()
    truth = LabelledTexts.of(given.articles, SCHEME).truth
    report = build_report(dataclasses.replace(given, logits=np.where(truth, 5.0, -5.0)))
    assert report["errors"] == report["confusions"] == []
    assert report["exact_match"]["value"] == 1.0
    assert render_html(report)


def test_a_folder_that_cannot_be_written_is_one_sentence(built: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WusumError, match="cannot be written") as fault:
        write_report(tmp_path / "file" / "run", built)
    assert "\n" not in str(fault.value)


def test_the_annotators_agreement_is_that_of_the_gold_file() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    scheme = load_taxonomy()
    found = packaged_agreement(scheme)
    assert found is not None
    records = read_gold(GOLD_FOLDER / "test.jsonl")
    first, second = (
        np.array([[label in (getattr(one, name) or ()) for label in scheme.ids] for one in records])
        for name in ("annotator_a", "annotator_b")
    )
    assert found.articles == len(records)
    assert found.micro_f1 == pytest.approx(sklearn_metrics.f1_score(first, second, average="micro"))
    assert found.low < found.micro_f1 < found.high
    for k, label in enumerate(found.labels):
        assert label.kappa == pytest.approx(sklearn_metrics.cohen_kappa_score(first[:, k], second[:, k]))
        assert label.f1 == pytest.approx(sklearn_metrics.f1_score(second[:, k], first[:, k]))
    assert packaged_agreement(SCHEME) is None
