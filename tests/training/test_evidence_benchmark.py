"""The evidence benchmark: what it takes out, what it counts, and what it tells."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from wusum.training import evidence_benchmark
from wusum.training.evidence_benchmark import Measured, draw_others, main, mean_interval, report


@pytest.fixture
def material(tmp_path: Path, samples: list[dict[str, Any]]) -> tuple[Path, Path]:
    """Five of our own articles, the last of which is none of dev."""
    articles, split = tmp_path / "articles.jsonl", tmp_path / "split.jsonl"
    rows = samples[:5]
    articles.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    parts = ["dev"] * 4 + ["train"]
    lines = [{"id": row["id"], "part": part, "cluster": row["id"]} for row, part in zip(rows, parts, strict=True)]
    split.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return articles, split


def test_others_are_as_many_and_about_as_long() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = draw_others([100, 10, 400, 90, 110, 12], [0, 1], rng)
        assert drawn is not None
        assert not set(drawn) & {0, 1}
        assert sorted(drawn) in ([3, 5], [4, 5])
    assert draw_others([5, 5, 5], [0, 1], rng) is None


def test_articles_are_drawn_whole() -> None:
    values, clusters = np.array([0.0, 0.0, 1.0, 1.0]), [0, 0, 1, 1]
    whole, single = mean_interval(values, clusters), mean_interval(np.tile(values, 50), np.arange(200))
    assert (whole.value, whole.low, whole.high) == (0.5, 0.0, 1.0)
    assert single.low > 0.4


def test_it_measures_dev_and_tells_what_came_out(
    material: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Measured] = []
    monkeypatch.setattr(evidence_benchmark, "report", lambda found, tell: (seen.append(found), report(found, tell)))
    main([str(material[0]), "--split", str(material[1]), "--threads", "1"])
    (found,) = seen
    assert 1 <= len(found.tokens) <= 4
    assert set(found.clusters.tolist()) <= set(range(4))
    ratios = found.tokens[:, 1] / found.tokens[:, 0]
    assert (ratios > 1).all()
    assert (ratios <= 3).all()
    drop, _, others = found.pairs.T[:3]
    assert drop.mean() > others.mean()
    assert set(found.pairs[:, 4].tolist()) <= {1.0, 2.0, 3.0}
    told = capsys.readouterr().out
    assert re.search(rf"^{len(found.tokens)} articles with {len(found.pairs)} labels; \d+ more", told)
    assert f"log-odds lost without the evidence: {drop.mean():.2f} (95 % " in told
    assert re.search(r"^cost in tokens: [12]\.\d\d plain predictions .*; [12]\.\d\d at most$", told, re.MULTILINE)
    assert re.search(r"^cost in wall time: [\d.]+ plain predictions \(95 % ", told, re.MULTILINE)


def test_a_mistake_is_one_line(material: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(material[0]), "--split", str(material[0].with_name("none.jsonl"))])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "none.jsonl: not found" in told
    assert told.count("\n") == 1
