"""``wusum evaluate``: the right articles, the right figures, and no look at the test split without a trace."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wusum.inference.article import Article
from wusum.inference.prediction import Prediction
from wusum.inference.scoring import Scoring
from wusum.inference.tagger import Tagger
from wusum.labels import Label, Taxonomy, WusumError
from wusum.training import evaluate_command, evaluate_tables
from wusum.training.calibration import crossfit
from wusum.training.data import LabelledArticle, read_labelled
from wusum.training.evaluate import LabelledTexts, append_ledger, baseline_decisions, collect, compare, evaluate, view
from wusum.training.metrics import f1_report
from wusum.training.report import logits_of
from wusum.training.targets import label_matrix
from wusum.training.thresholds import choose_thresholds, crossfit_decisions

WORDS = {"diplomacy": "سفير", "war": "قصف", "egypt": "مصر"}
SCHEME = Taxonomy(
    "t",
    "1",
    tuple(Label(name, "actor" if name == "egypt" else "topic", word, name, "d") for name, word in WORDS.items()),
)


class StubTagger:
    """Finds two of the three words; of the third it sees only every other one."""

    taxonomy = SCHEME

    def __init__(self, folder: Path) -> None:
        scoring = Scoring("multi_label", (2.0, 1.0, 1.0), (0.5, 0.0, 0.0), (0.5, 0.5, 0.5))
        self.bundle = SimpleNamespace(
            name="stub", version="1.2", folder=folder, scoring=scoring, taxonomy=SCHEME, training={}
        )
        self.seen: list[Article] = []

    def stream(self, articles: Iterable[Article]) -> Iterator[Prediction]:
        for number, article in enumerate(articles):
            self.seen.append(article)
            text = f"{article.title or ''} {article.text}"
            scores = {name: 0.9 if word in text else 0.1 for name, word in WORDS.items()}
            if number % 2:
                scores["war"] = 0.2
            chosen = [name for name, score in scores.items() if score > 0.5]
            yield Prediction(*SCHEME.split(chosen), scores)


def write_articles(path: Path, count: int, prefix: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as lines:
        for number in range(count):
            labels = [name for name in WORDS if generator.random() < 0.5]
            body = " ".join(["كان اليوم", *(WORDS[name] for name in labels), "في الشارع"])
            topics, actors = SCHEME.split(labels)
            row = {"id": f"{prefix}{number}", "title": f"خبر {number}", "text": body}
            row |= {"topics": topics, "actors": actors}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a split file, a ledger's folder and a bundle, as the current directory."""
    (tmp_path / "data").mkdir()
    (tmp_path / "labels" / "gold").mkdir(parents=True)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    write_articles(tmp_path / "data" / "train.jsonl", 90, "a", seed=0)
    write_articles(tmp_path / "data" / "test.jsonl", 30, "t", seed=1)
    with (tmp_path / "labels" / "gold" / "split.jsonl").open("w") as lines:
        for number in range(90):
            part = "dev" if number < 30 else "train"
            lines.write(json.dumps({"id": f"a{number}", "cluster": f"a{number - number % 2}", "part": part}) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stub(place: Path, monkeypatch: pytest.MonkeyPatch) -> StubTagger:
    tagger = StubTagger(place / "bundle")
    monkeypatch.setattr(Tagger, "load", lambda path, **_: tagger)
    return tagger


def run(*words: str) -> int:
    parser = ArgumentParser()
    evaluate_command.COMMAND.add_arguments(parser)
    return evaluate_command.COMMAND.run(parser.parse_args(["bundle", *words]))


def report(name: str = "report.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(name).read_text(encoding="utf-8"))
    return content


def ledger() -> list[dict[str, Any]]:
    path = Path("labels/gold/test-ledger.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_a_folder_is_scored_on_dev_with_crossfitted_calibration_and_thresholds(
    stub: StubTagger, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", "data", "-o", "report.json") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*WORDS, "stub 1.2 on 30 articles", "topics", "actors", "cross-fitted"))
    articles = read_labelled(place / "data" / "train.jsonl", SCHEME)[:30]
    assert [article.id for article in stub.seen] == [article.id for article in articles]
    truth = label_matrix(articles, SCHEME)
    found = collect(StubTagger(place).stream(article.article for article in articles), SCHEME)
    clusters = [f"a{number - number % 2}" for number in range(30)]
    decisions = crossfit(logits_of(found.scores, stub.bundle.scoring), truth, clusters).decisions
    written = report()
    assert written["evaluation"]["report"] == json.loads(json.dumps(f1_report(decisions, truth, SCHEME).to_dict()))
    assert written["articles"] == 30
    assert written["micro_f1"]["low"] <= written["micro_f1"]["value"] <= written["micro_f1"]["high"]
    assert ledger() == []


def test_a_file_is_scored_whole_with_the_bundles_decisions(stub: StubTagger, place: Path) -> None:
    assert run("--data", "data/train.jsonl", "-o", "report.json") == 0
    articles = read_labelled(place / "data" / "train.jsonl", SCHEME)
    found = collect(StubTagger(place).stream(article.article for article in articles), SCHEME)
    expected = f1_report(found.decisions, label_matrix(articles, SCHEME), SCHEME)
    assert report()["evaluation"]["report"]["overall"]["micro"]["f1"] == pytest.approx(expected.overall.micro.f1)
    assert report()["split"] == "all"


def test_the_columns_may_have_other_names(stub: StubTagger, place: Path) -> None:
    write_articles(place / "all.jsonl", 30, "x", seed=2)
    assert run("--data", "all.jsonl", "-o", "plain.json") == 0
    rows = [json.loads(line) for line in (place / "all.jsonl").read_text("utf-8").splitlines()]
    renamed = [{"body" if key == "text" else key: value for key, value in row.items()} for row in rows]
    (place / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in renamed), "utf-8")
    with pytest.raises(WusumError, match=r"own\.jsonl:text: no such column"):
        run("--data", "own.jsonl")
    assert run("--data", "own.jsonl", "--column", "text=body", "-o", "own.json") == 0
    assert report("own.json")["evaluation"] == report("plain.json")["evaluation"]


def test_with_one_label_an_article_none_is_a_fault(stub: StubTagger, place: Path) -> None:
    write_articles(place / "all.jsonl", 30, "x", seed=2)
    stub.bundle.scoring = Scoring("single_label", (1.0,) * len(SCHEME), (0.0,) * len(SCHEME), ())
    with pytest.raises(WusumError, match="expected exactly one label"):
        run("--data", "all.jsonl")


def test_the_train_part_can_be_chosen(stub: StubTagger) -> None:
    assert run("--data", "data", "--split", "train") == 0
    assert [article.id for article in stub.seen] == [f"a{number}" for number in range(30, 90)]


def test_the_tagger_gets_all_and_opponents_what_the_annotators_read(stub: StubTagger, place: Path) -> None:
    row = {"id": "x", "title": "عنوان", "text": "س" * 3000, "topics": [], "actors": []}
    (place / "long.jsonl").write_text(json.dumps(row), encoding="utf-8")
    run("--data", "long.jsonl")
    assert (stub.seen[0].title, len(stub.seen[0].text)) == ("عنوان", 3000)
    assert view(LabelledArticle("x", "عنوان", "س" * 3000, ())) == "عنوان\n" + "س" * 2400
    assert view(LabelledArticle("x", None, "س", ())) == "س"


def test_a_look_at_test_is_recorded(stub: StubTagger, capsys: pytest.CaptureFixture[str]) -> None:
    for reason in ("first", "الثانية"):
        assert run("--data", "data", "--split", "test", "--reason", f" {reason} ") == 0
    entries = ledger()
    assert [entry["reason"] for entry in entries] == ["first", "الثانية"]
    entry = entries[0]
    assert (entry["bundle"], entry["version"], entry["articles"], entry["split"]) == ("stub", "1.2", 30, "test")
    assert entry["date"].endswith("+00:00")
    assert len(entry["bundle_sha256"]) == len(entry["data_sha256"]) == 64
    assert entry["micro_f1"]["low"] <= entry["micro_f1"]["value"] <= entry["micro_f1"]["high"]
    assert set(entry["macro_f1"]) == {"value", "low", "high", "level"}
    assert "30 articles" in capsys.readouterr().out


def test_the_record_is_written_before_any_figure_is_shown(stub: StubTagger, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_tables, "show", stop)
    with pytest.raises(KeyboardInterrupt):
        run("--data", "data", "--split", "test", "--reason", "r")
    assert len(ledger()) == 1


def test_without_a_record_no_figure_is_shown(stub: StubTagger, capsys: pytest.CaptureFixture[str]) -> None:
    Path("labels/gold/test-ledger.jsonl").mkdir()
    with pytest.raises(WusumError, match="cannot append to the ledger"):
        run("--data", "data", "--split", "test", "--reason", "r", "-o", "report.json")
    assert capsys.readouterr().out == ""
    assert not Path("report.json").exists()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--data", "data", "--split", "test"], "--reason"),
        (["--data", "data", "--split", "test", "--reason", "  "], "--reason"),
        (["--data", "data", "--split", "test", "--reason", "r", "--ledger", "no/ledger.jsonl"], "--ledger"),
        (["--data", "data/test.jsonl"], "--split test"),
        (["--data", "nowhere"], "not found"),
        (["--data", "data", "--split", "train", "--baselines"], "--baselines"),
        (["--data", "data/train.jsonl", "--split", "dev", "--baselines"], "--data DIR"),
        (["--data", "data", "--split-file", "none.jsonl"], "none.jsonl: not found"),
        (["--data", "data", "-o", "no/report.json"], "cannot write the report"),
        (["--data", "data", "--split", "test", "--reason", "r", "--report", "full"], "for dev only"),
        (["--data", "data/train.jsonl", "--report", "full"], "for dev only"),
    ],
)
def test_what_cannot_be_done_is_refused(stub: StubTagger, words: list[str], match: str) -> None:
    with pytest.raises(WusumError, match=match) as fault:
        run(*words)
    assert "\n" not in str(fault.value)
    assert ledger() == []


def test_too_small_a_dev_part_is_refused(stub: StubTagger, place: Path) -> None:
    path = place / "labels" / "gold" / "split.jsonl"
    for count, match in ((0, "no article"), (3, "expected 5 or more")):
        rows = ({"id": f"a{n}", "cluster": f"a{n}", "part": "dev" if n < count else "train"} for n in range(90))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(WusumError, match=match):
            run("--data", "data")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_baselines_stand_beside_the_model(stub: StubTagger, capsys: pytest.CaptureFixture[str], split: str) -> None:
    pytest.importorskip("sklearn")
    assert run("--data", "data", "--split", split, "--reason", "r", "--baselines", "-o", "report.json") == 0
    out = capsys.readouterr().out
    assert "TF-IDF + linear" in out
    by_name = {comparison["opponent"]: comparison for comparison in report()["comparisons"]}
    keywords = by_name["keywords"]
    # The words stand in the scheme and decide every label: keywords are right everywhere, the stub misses some.
    assert keywords["micro_f1"] == 1.0
    assert keywords["micro_ahead"]["value"] == pytest.approx(report()["micro_f1"]["value"] - 1, abs=1e-4)
    assert keywords["micro_ahead"]["high"] < 0
    assert by_name["TF-IDF + linear"]["micro_f1"] > 0.8


def test_the_full_report_says_what_the_terminal_says(stub: StubTagger) -> None:
    assert run("--data", "data", "-o", "report.json", "--report", "full") == 0
    full = report("full/report.json")
    assert full["averages"]["overall"]["micro_f1"]["value"] == pytest.approx(report()["micro_f1"]["value"], abs=1e-4)
    assert (full["name"], full["articles"], full["task"]) == ("stub", 30, "multi_label")
    assert "كان اليوم" in Path("full/report.html").read_text(encoding="utf-8")
    assert ledger() == []


def test_logits_come_back_from_a_bundles_probabilities() -> None:
    logits = np.array([[-3.0, 0.5], [2.0, -1.0]])
    many = Scoring("multi_label", (0.5, 2.0), (1.0, -0.25), (0.5, 0.5))
    assert logits_of(many.probabilities(logits), many) == pytest.approx(logits)
    one = Scoring("single_label", (0.5, 0.5), (0.0, 0.0), ())
    shares = one.probabilities(logits)
    assert one.probabilities(logits_of(shares, one)) == pytest.approx(shares)
    assert np.isfinite(logits_of([[0.0, 1.0]], many)).all()


class Fixed:
    """A baseline whose scores are the texts."""

    def fit(self, texts: object, truth: object, judged: object) -> None:
        self.fitted = texts

    def scores(self, texts: list[str]) -> np.ndarray:
        return np.array([[float(text)] for text in texts])


def test_baseline_thresholds_come_from_dev_only() -> None:
    texts = ["0.9", "0.8", "0.3", "0.2", "0.1"]
    truth = np.array([[True], [True], [False], [False], [False]])
    train = LabelledTexts(["0.5"], truth[:1], truth[:1])
    dev = LabelledTexts(texts, truth, np.ones_like(truth), texts)
    baseline = Fixed()
    decisions = baseline_decisions(baseline, train, dev, ["0.56", "0.54"])
    assert choose_thresholds(baseline.scores(texts), truth) == pytest.approx([0.55])
    assert decisions.tolist() == [[True], [False]]
    assert baseline.fitted == ["0.5"]
    crossed = baseline_decisions(baseline, train, dev)
    assert np.array_equal(crossed, crossfit_decisions(baseline.scores(texts), truth, clusters=texts))


def test_comparison_and_evaluation_agree_and_leave_out_what_was_not_judged() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random((50, 3)) < 0.4
    judged = generator.random((50, 3)) < 0.8
    good, poor = truth ^ (generator.random((50, 3)) < 0.05), truth ^ (generator.random((50, 3)) < 0.4)
    found = compare("poor", good, poor, LabelledTexts([], truth, judged))
    result = evaluate(good, truth, SCHEME, judged=judged)
    assert found.micro_f1 + found.micro_ahead.value == pytest.approx(result.intervals["overall"]["micro_f1"].value)
    assert found.micro_ahead.low > 0
    assert result.intervals["actors"]["micro_f1"].value == pytest.approx(result.report.actors.micro.f1)
    again = evaluate(good ^ ~judged, truth, SCHEME, judged=judged)
    assert again == result


def test_a_ledger_without_a_last_line_end_is_continued_on_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"reason": "old"}')
    append_ledger(path, {"reason": "new"})
    assert [json.loads(line)["reason"] for line in path.read_text().splitlines()] == ["old", "new"]
