"""A split that no near-duplicate crosses, with each label in equal shares, or by date."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wusum.labels import WusumError, load_taxonomy
from wusum.training.config import DataConfig
from wusum.training.data import LabelledArticle
from wusum.training.split import (
    make_split,
    near_duplicate_clusters,
    read_split,
    select_part,
    stratify,
    write_split,
)
from wusum.training.targets import label_matrix

TAXONOMY = load_taxonomy()
COMMITTED = Path(__file__).resolve().parents[2] / "labels" / "gold" / "split.jsonl"


def invented(count: int, seed: int, dates: Sequence[str | None] = (None,)) -> list[LabelledArticle]:
    rng = random.Random(seed)
    words = [f"كلمة{number}" for number in range(3000)]
    weights = [0.5 / (1 + rank) for rank in range(len(TAXONOMY))]
    return [
        LabelledArticle(
            str(number),
            None,
            " ".join(rng.choices(words, k=80)),
            tuple(label for label, weight in zip(TAXONOMY, weights, strict=True) if rng.random() < weight),
            date=dates[number % len(dates)],
        )
        for number in range(count)
    ]


def copies_of(articles: Sequence[LabelledArticle], day: str | None = None) -> list[LabelledArticle]:
    return [LabelledArticle(f"copy{one.id}", None, one.text + " خاتمة جديدة", one.labels, date=day) for one in articles]


def config(share: float = 0.25, seed: int = 3, dev_from: str | None = None) -> DataConfig:
    return DataConfig("articles", "split", dev_share=share, split_seed=seed, dev_from=dev_from)


def dev_of(split: Mapping[str, tuple[str, str]]) -> set[str]:
    return {name for name, (part, _) in split.items() if part == "dev"}


def assert_no_cluster_crosses(split: Mapping[str, tuple[str, str]]) -> None:
    parts = defaultdict(set)
    for part, cluster in split.values():
        parts[cluster].add(part)
    assert all(len(found) == 1 for found in parts.values())


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    articles = invented(60, 1)
    everything = articles + copies_of(articles[:20])
    clusters = near_duplicate_clusters(everything)
    assert clusters[60:] == list(range(20))
    assert len(set(clusters)) == 60
    split = make_split(everything, config(), TAXONOMY)
    assert_no_cluster_crosses(split)
    for number in range(20):
        assert split[str(number)] == split[f"copy{number}"]
    assert 18 <= len(dev_of(split)) <= 22
    path = tmp_path / "split.jsonl"
    write_split(split, path)
    assert read_split(path) == split
    assert make_split(everything, config(), TAXONOMY) == split
    assert dev_of(make_split(everything, config(seed=4), TAXONOMY)) != dev_of(split)
    assert [one.id for one in select_part(everything, split, "dev", path)] == [
        one.id for one in everything if one.id in dev_of(split)
    ]


def test_each_label_has_the_same_share() -> None:
    articles = invented(400, 2)
    everything = articles + copies_of(articles[:50])
    split = make_split(everything, config(0.2), TAXONOMY)
    truth = label_matrix(everything, TAXONOMY)
    in_dev = np.array([split[one.id][0] == "dev" for one in everything])
    assert abs(in_dev.mean() - 0.2) < 0.01
    assert (np.abs(truth[in_dev].sum(0) - 0.2 * truth.sum(0)) <= 2).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.5), st.integers(30, 200), st.integers(1, 12))
def test_stratification_keeps_shares(seed: int, share: float, groups: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 1, 1, 1, 2, 3], groups)
    each = rng.binomial(sizes[:, None], rng.uniform(0.02, 0.4, labels))
    chosen = stratify(each, sizes, share, seed % 100)
    assert (chosen == stratify(each, sizes, share, seed % 100)).all()
    # A group is dealt out whole, so that a part may miss its share by groups of the largest size, no more.
    assert abs(sizes[chosen].sum() - share * sizes.sum()) <= labels + 2 * sizes.max()
    rarest = each[:, each.sum(0).argmin()] if (each.sum(0) > 0).all() else None
    if rarest is not None:
        assert abs(rarest[chosen].sum() - share * rarest.sum()) <= 3


def test_stratification_beats_a_plain_draw() -> None:
    rng = np.random.default_rng(0)
    each = rng.binomial(1, np.geomspace(0.01, 0.3, 30), (1000, 30))
    goal = 0.15 * each.sum(0)
    chosen = stratify(each, np.ones(1000, dtype=np.int64), 0.15, 0)
    ours = np.abs(each[chosen].sum(0) - goal).mean()
    plain = [np.abs(each[rng.permutation(1000)[:150]].sum(0) - goal).mean() for _ in range(50)]
    assert ours < min(plain) / 2


def test_dev_is_what_came_later() -> None:
    days = ["2016-03-30", "2016-03-31", "2016-04-01"]
    articles = invented(30, 5, days)
    # Copies of articles of the border's day: later copies follow them, an earlier copy holds its original back.
    late, early = copies_of(articles[1:2], "2016-05-01"), copies_of(articles[4:5], "2016-01-01")
    everything = articles + late + early
    split = make_split(everything, config(dev_from="2016-03-31"), TAXONOMY)
    assert_no_cluster_crosses(split)
    expected = {one.id for one in articles if one.date != "2016-03-30"} - {"4"}
    assert dev_of(split) == expected | {"copy1"}
    assert split["copy4"] == ("train", "4")


def test_a_time_split_needs_dates() -> None:
    with pytest.raises(WusumError, match=r"data\.dev_from: needs the articles' dates"):
        make_split(invented(3, 1, ["2016-03-31", None]), config(dev_from="2016-03-31"), TAXONOMY)
    with pytest.raises(WusumError, match=r"data\.dev_from: '31\.3\.', expected an ISO date"):
        make_split(invented(3, 1), config(dev_from="31.3."), TAXONOMY)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(WusumError, match=r"data\.dev_share: .*, expected more than 0 and less than 1"):
        make_split(invented(3, 1), config(share), TAXONOMY)


def test_a_split_of_other_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="3 articles are not in it"):
        select_part(invented(3, 1), {}, "dev", tmp_path / "split.jsonl")


GOOD = '{"id": "a", "part": "dev", "cluster": "a"}'


@pytest.mark.parametrize(
    "lines",
    [
        "{",
        "[]",
        '{"id": "a"}',
        GOOD.replace("dev", "test"),
        GOOD.replace('"a"', "[]"),
        GOOD.replace('"cluster": "a"', '"cluster": 3'),
    ],
)
def test_a_damaged_split_file(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "split.jsonl"
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(WusumError, match=r"split\.jsonl:1"):
        read_split(path)


def test_a_split_file_that_names_an_article_twice_or_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "split.jsonl"
    path.write_text(f"{GOOD}\n{GOOD}\n", encoding="utf-8")
    with pytest.raises(WusumError, match=r"split\.jsonl:2:id: 'a' stands in an earlier line already"):
        read_split(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WusumError, match=r"split\.jsonl: not UTF-8"):
        read_split(path)


def test_ids_may_hold_what_python_takes_for_line_ends(tmp_path: Path) -> None:
    split = {"a\u2028b": ("dev", "a\u2028b"), "c\x85d\n": ("train", "c\x85d\n")}
    write_split(split, tmp_path / "split.jsonl")
    assert read_split(tmp_path / "split.jsonl") == split


def test_the_committed_split_is_readable() -> None:
    split = read_split(COMMITTED)
    assert len(split) == 14418
    assert len(dev_of(split)) == 656
    assert_no_cluster_crosses(split)
