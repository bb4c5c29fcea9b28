"""The speed benchmark: both sides read the same, and the numbers are what they say."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from wusum.training import speed_benchmark, speed_material  # noqa: E402
from wusum.training.speed_benchmark import main, model_flops, ratio_interval  # noqa: E402
from wusum.training.speed_material import TOKENS, padded, synthesise_articles  # noqa: E402


@pytest.fixture
def tiny_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(speed_material.SHAPES, "small", (1, 16, 2))
    monkeypatch.setattr(speed_material, "VOCABULARY", 2000)


def test_the_interval_holds_the_ratio_and_narrows_with_even_steps() -> None:
    value, low, high = ratio_interval([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert value == 2.5
    assert low < value < high
    assert ratio_interval([2.0] * 5, [6.0] * 5) == (3.0, 3.0, 3.0)


def test_articles_are_the_same_every_time_and_as_long_as_news() -> None:
    articles = synthesise_articles(200)
    assert articles == synthesise_articles(200)
    assert np.mean([bool(article.labels) for article in articles]) > 0.9
    words = np.quantile([len(article.text.split()) for article in articles], [0.5, 0.9])
    assert 180 < words[0] < 300
    assert 450 < words[1] < 800


@pytest.mark.usefixtures("tiny_shape")
def test_both_sides_read_the_same_tokens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[speed_material.Material] = []
    monkeypatch.setattr(speed_benchmark, "report", lambda material, *_: seen.append(material))
    main(["--steps", "3", "--batch", "4"])
    (material,) = seen
    wide = padded(material.data, material.pad)
    assert len(wide) == len(material.data) == 12
    assert any(width < TOKENS for width in material.data.widths)
    assert set(wide.widths) == {TOKENS}
    for one, other in zip(material.data.features, wide.features, strict=True):
        assert one.ids[one.mask == 1].tolist() == other.ids[other.mask == 1].tolist()
    lengths = [one.mask.sum() for one in material.data.features]
    layer = sum(parameter.numel() for parameter in material.model.encoder.encoder.layer.parameters())
    expected = sum(6 * layer * length + 12 * 16 * length**2 for length in lengths)
    assert model_flops(material.model, material.data) == pytest.approx(expected)


@pytest.mark.usefixtures("tiny_shape")
def test_a_race_tells_speed_ratio_and_share_of_the_peak(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--steps", "3", "--batch", "4", "--peak", "1"])
    told = capsys.readouterr().out
    assert re.search(r"^ours: [\d.]+ examples/s", told)
    assert re.search(r"^plain: [\d.]+ examples/s", told, re.MULTILINE)
    for clock in ("wall", "CPU"):
        ratio = rf"^{clock} time: [\d.]+ times the speed \(95 % [\d.]+ to [\d.]+, 3 steps\)$"
        assert re.search(ratio, told, re.MULTILINE)
    assert re.search(r"TFLOP/s, [\d.]+% of 1$", told, re.MULTILINE)


@pytest.mark.usefixtures("tiny_shape")
def test_both_sides_learn_equally_well(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--steps", "6", "--batch", "8", "--score", "3"])
    told = re.search(r"dev micro-F1: ours ([\d.]+), plain ([\d.]+)", capsys.readouterr().out)
    assert told is not None
    ours, plain = map(float, told.groups())
    assert min(ours, plain) > 0.1
    assert abs(ours - plain) < 0.1
