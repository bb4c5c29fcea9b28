"""The benchmark of ONNX Runtime's rewritings: both sides compute the same, as often."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from wusum.inference.article import Article
from wusum.inference.bundle import open_bundle
from wusum.inference.engine import OnnxEngine
from wusum.inference.features import Featuriser, read_tokenizer
from wusum.training import rewriting_benchmark
from wusum.training.rewriting_benchmark import main, race


def test_sides_are_timed_as_often_and_a_warm_up_does_not_count(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting_benchmark, "_ARTICLES", 2)
    found = race(open_bundle(tiny_bundle), [10, 20], 3)
    assert {tokens: {name: len(taken) for name, taken in sides.items()} for tokens, sides in found.items()} == {
        tokens: {"as served": 6, "with all rewritings": 6} for tokens in (10, 20)
    }


def test_rewritings_change_no_logit_beyond_rounding(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    features = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)(Article("اجتمع الوزراء"))
    served, whole = (OnnxEngine(bundle.model_path, 1, disabled=disabled) for disabled in (("SkipLayerNormFusion",), ()))
    np.testing.assert_allclose(served.logits(features), whole.logits(features), atol=1e-4)


def test_it_prints_a_line_for_each_length(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rewriting_benchmark, "LENGTHS", (10, 20))
    monkeypatch.setattr(rewriting_benchmark, "_ARTICLES", 1)
    main(["--bundle", str(tiny_bundle), "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["10 tokens", "20 tokens"]
    assert all("times as long" in line for line in lines)
