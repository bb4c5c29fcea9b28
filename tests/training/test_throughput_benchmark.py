"""The throughput benchmark: all sides read the same, and the figures are what they say."""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyarrow")
pytest.importorskip("transformers")

from wusum.inference.article import Article  # noqa: E402
from wusum.inference.bundle import Bundle, embedded_bundle, open_bundle  # noqa: E402
from wusum.inference.cleaner import clean_page  # noqa: E402
from wusum.inference.features import Features  # noqa: E402
from wusum.inference.tagger import Tagger  # noqa: E402
from wusum.labels.errors import WusumError  # noqa: E402
from wusum.training import speed_material, throughput_sides  # noqa: E402
from wusum.training.throughput_benchmark import main, race, report, start, summarise  # noqa: E402
from wusum.training.throughput_material import (  # noqa: E402
    TOKENS,
    Counter,
    EncoderShape,
    make_pages,
    read_shape,
    spread_out,
)
from wusum.training.throughput_sides import PlainPipeline, Setting, Side, int8_limit, tagging  # noqa: E402


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture
def setting(bundle: Bundle, tmp_path: Path) -> Setting:
    return Setting(bundle, make_pages(None, 12, bundle), 1, tmp_path, 4)


@pytest.fixture(autouse=True)
def small_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(speed_material.SHAPES, "base", (1, 16, 2))
    monkeypatch.setattr(throughput_sides, "_SIDE", 64)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # other tests run in this process too


def test_pages_hold_the_same_article_as_the_clean_text_and_every_token_is_read(setting: Setting) -> None:
    for page, tokens in zip(setting.pages, setting.tokens, strict=True):
        found = clean_page(page.page)
        assert found.dropped > 0
        assert Article(found.body, found.title) == page.article
        assert not setting.featurise(page.article).truncated
        assert tokens <= TOKENS + 2 * (setting.featurise(page.article).ids.shape[0] - 1)  # each window has its frame
    assert make_pages(None, 12, setting.bundle) == list(setting.pages)


def test_made_up_articles_are_as_long_as_news() -> None:
    bundle = open_bundle(embedded_bundle())
    counter = Counter(bundle)
    tokens = [counter.count(page.article) for page in make_pages(None, 60, bundle)]
    assert 220 < np.median(tokens) < 380
    assert 450 < np.quantile(tokens, 0.9) <= max(tokens) <= TOKENS


def test_articles_of_a_table_are_cut_and_what_no_engine_reads_is_left_out(tmp_path: Path) -> None:
    bundle = open_bundle(embedded_bundle())
    path = tmp_path / "articles.jsonl"
    sentence = "قال الوزير في بيان اليوم إن الوفد وصل إلى المدينة مساء أمس بعد رحلة طويلة."
    texts = [f"{sentence} " * 300, "The ministers met in Geneva on Monday. " * 20]
    path.write_text("".join(json.dumps({"text": text, "title": "زيارة الوفد"}) + "\n" for text in texts), "utf-8")
    [page] = make_pages(path, 2, bundle)
    assert Counter(bundle).fits(page.article)
    assert len(page.article.text) > 1000


def test_the_pipeline_reads_the_tokens_that_the_embedded_bundle_reads(tmp_path: Path) -> None:
    """Its vocabulary is folded: in another spelling the same words have more tokens."""
    bundle = open_bundle(embedded_bundle())
    setting = Setting(bundle, make_pages(None, 12, bundle), 1, tmp_path, 4)
    plain = PlainPipeline(setting)
    given = [json.loads(line)["text"] for line in plain._source.read_text("utf-8").splitlines()]
    frame = {setting.bundle.tokens.start, setting.bundle.tokens.end}

    def within(ids: Iterable[int]) -> list[int]:
        return [one for one in ids if one not in frame]

    read = [setting.featurise(setting.pages[place].article) for place in plain.chosen]
    theirs = plain.tokenizer(given, truncation=True, max_length=TOKENS).input_ids
    assert sorted(map(within, theirs)) == sorted(within(one.ids[one.mask == 1].tolist()) for one in read)
    assert not plain._pipeline.model.training
    assert list(plain.best_batch()) == [1, 8, 16]
    rows = [json.loads(line) for line in (setting.folder / "pipeline.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 4
    assert set(rows[0]["scores"]) == set(setting.bundle.taxonomy.ids)


def test_tagging_is_the_command_with_what_it_says_of_cleaned_pages(setting: Setting) -> None:
    side = tagging(setting, "onnx")
    side.run()
    rows = [json.loads(line) for line in (setting.folder / "onnx.jsonl").read_text("utf-8").splitlines()]
    assert [row["id"] for row in rows] == [str(number) for number in range(side.articles)]
    alone = Tagger(setting.bundle, 1).predict([page.page for page in setting.pages])
    assert [(tuple(row["topics"]), tuple(row["notes"])) for row in rows] == [(one.topics, one.notes) for one in alone]
    expected = [setting.shape.operations(setting.featurise(page.article)) for page in setting.pages]
    assert side.operations == pytest.approx(sum(expected))


def test_operations_are_those_of_a_matrix_product_and_attention() -> None:
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=np.int64)
    # One layer of width 2: weights 12 * 4; 7 tokens; 16 and 9 pairs, of 4 * 2 operations each.
    assert EncoderShape(1, 2, 48).operations(Features(mask, mask, False)) == 2 * 48 * 7 + 8 * (16 + 9)


def test_shapes_are_read_from_models_of_both_precisions(tiny_bundle: Path) -> None:
    assert read_shape(tiny_bundle / "model.onnx") == EncoderShape(2, 32, 2 * (4 * 32 * 32 + 2 * 32 * 64))
    own = read_shape(embedded_bundle() / "model.onnx")
    assert own.weights == 12 * own.layers * own.width**2


def test_chosen_articles_are_as_long_as_all() -> None:
    lengths = np.random.default_rng(0).lognormal(5, 1, 400).round().astype(int).tolist()
    chosen = spread_out(lengths, 24)
    assert len(set(chosen)) == 24
    assert np.mean([lengths[place] for place in chosen]) == pytest.approx(np.mean(lengths), rel=0.1)
    assert spread_out([3, 1, 2], 9) == [0, 1, 2]


def test_figures_are_quotients_round_by_round() -> None:
    sides = {
        "onnx": Side(print, 100, 80.0),
        "onnx, network alone": Side(print, 25, 20.0),
        "pipeline": Side(print, 10),
        "cleaning": Side(print, 100),
        "int8 limit": Side(print, 0, 50.0),
    }
    seconds = {
        "onnx": [4.0, 5.0, 8.0],
        "onnx, network alone": [1.0, 1.0, 1.0],
        "pipeline": [4.0, 4.0, 5.0],
        "cleaning": [0.2, 0.5, 0.4],
        "int8 limit": [1.0, 0.5, 1.0],
    }
    found = summarise(sides, seconds)
    assert found["rate"] == {"onnx": [25.0, 20.0, 12.5], "pipeline": [2.5, 2.5, 2.0]}
    assert found["ratio"] == {"onnx": [10.0, 8.0, 6.25]}
    assert found["share"]["onnx"] == pytest.approx([0.4, 0.16, 0.2])
    assert found["share"]["onnx, network alone"] == pytest.approx([0.4, 0.2, 0.4])
    assert found["text"]["cleaning, of onnx"] == pytest.approx([0.05, 0.1, 0.05])
    said = report(found).splitlines()
    assert said[0] == "onnx: 20.00 (12.50 to 25.00) articles/s, 8.00 (6.25 to 10.00) times the pipeline"
    assert "onnx: 20.0% (16.0% to 40.0%) of the int8 limit" in said
    assert "cleaning, of onnx: 5.0% (5.0% to 10.0%) of the time" in said


def test_every_round_begins_with_another_side() -> None:
    order: list[str] = []
    sides = {name: Side(lambda name=name: order.append(name), 1) for name in "abc"}  # type: ignore[misc]
    seconds = race(sides, 3)
    assert "".join(order) == "abcbcacab"
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_the_limit_counts_the_products() -> None:
    side = int8_limit(1)
    side.run()
    assert side.operations == 2 * 64**3 * 20


def test_a_side_whose_package_is_missing_is_left_out_with_a_sentence(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    sides = start(setting, ["fasttext", "tfidf"])
    assert "fasttext" not in sides
    assert sides["tfidf"].articles == 12
    assert "fasttext: left out; the fastText baseline needs a package" in capsys.readouterr().out


def test_a_fault_of_our_own_side_ends_the_race(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput_sides, "command", lambda _: 1)
    with pytest.raises(WusumError, match="onnx: not every article was tagged"):
        tagging(setting, "onnx").run()


def test_a_race_tells_rates_ratios_and_shares(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    options = ["--engines", "onnx", "pipeline", "--count", "6", "--pipeline-count", "2", "--rounds", "2"]
    main([*options, "--threads", "1", "--bundle", str(tiny_bundle), "--json", str(path)])
    said = capsys.readouterr().out
    assert re.search(r"^6 articles, tokens read: median \d+, .* 2 rounds, 1 threads$", said, re.MULTILINE)
    assert re.search(r"^onnx: [\d.]+ \(.*\) articles/s, [\d.]+ \(.*\) times the pipeline$", said, re.MULTILINE)
    assert re.search(r"^onnx, network alone: [\d.]+% \(.*\) of the int8 limit$", said, re.MULTILINE)
    assert re.search(r"^normalising and tokenising, of onnx: [\d.]+% ", said, re.MULTILINE)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["articles"]["onnx"] == 6
    assert found["articles"]["pipeline"] == 2
    assert {len(taken) for taken in found["seconds"].values()} == {2}
