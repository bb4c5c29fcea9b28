"""Labelled articles: every fault of a file in one message; a split that no near-duplicate crosses."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from wusum.labels import WusumError, load_taxonomy
from wusum.training.data import LabelledArticle, data_sha256, label_matrix, read_labelled
from wusum.training.split import make_split, near_duplicate_clusters, read_split, select_part, write_split

GOOD = {"id": "a", "title": "عنوان", "text": "نص", "topics": ["diplomacy"], "actors": ["russia"], "extra": 1}


def write(path: Path, rows: list[Any]) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_reads_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD, "", GOOD | {"id": "b", "title": None, "topics": []}])
    articles = read_labelled(path, load_taxonomy())
    assert articles == [
        LabelledArticle("a", "عنوان", "نص", ("diplomacy", "russia")),
        LabelledArticle("b", None, "نص", ("russia",)),
    ]
    taxonomy = load_taxonomy()
    matrix = label_matrix(articles, taxonomy)
    assert matrix.shape == (2, len(taxonomy))
    assert [taxonomy.ids[column] for column in matrix[0].nonzero()[0]] == ["diplomacy", "russia"]
    assert data_sha256(articles) != data_sha256(articles[:1])


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    rows = [GOOD, "{", "[]", GOOD | {"id": "b", "text": " "}, GOOD | {"id": "c", "topics": ["diplomcy"]}, GOOD]
    with pytest.raises(WusumError) as caught:
        read_labelled(write(tmp_path / "a.jsonl", rows), load_taxonomy())
    message = str(caught.value)
    assert "5 faults" in message
    for part in ("a.jsonl:2:", "a.jsonl:3:", ":4:text", "did you mean 'diplomacy'?", ":6:id: 'a' stands in line 1"):
        assert part in message


@pytest.mark.parametrize("rows", [[], ["", ""]])
def test_a_file_without_articles(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(WusumError, match="holds no article"):
        read_labelled(write(tmp_path / "a.jsonl", rows), load_taxonomy())


def invented(count: int, seed: int) -> list[LabelledArticle]:
    rng = random.Random(seed)
    words = [f"كلمة{number}" for number in range(3000)]
    return [LabelledArticle(str(number), None, " ".join(rng.choices(words, k=80)), ()) for number in range(count)]


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    articles = invented(60, 1)
    copies = [LabelledArticle(f"copy{one.id}", None, one.text + " خاتمة جديدة", ()) for one in articles[:20]]
    everything = articles + copies
    clusters = near_duplicate_clusters(everything)
    assert clusters[60:] == list(range(20))
    assert len(set(clusters)) == 60
    split = make_split(everything, 0.25, seed=3)
    for number in range(20):
        assert split[str(number)] == split[f"copy{number}"]
    dev = [name for name, (part, _) in split.items() if part == "dev"]
    assert 20 <= len(dev) <= 22
    path = tmp_path / "split.jsonl"
    write_split(split, path)
    assert read_split(path) == split
    assert make_split(everything, 0.25, seed=3) == split
    assert [one.id for one in select_part(everything, split, "dev", path)] == [
        one.id for one in everything if one.id in dev
    ]


def test_a_split_of_other_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="3 articles are not in it"):
        select_part(invented(3, 1), {}, "dev", tmp_path / "split.jsonl")


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "a"}', '{"id": "a", "part": "test", "cluster": "a"}'])
def test_a_damaged_split_file(tmp_path: Path, line: str) -> None:
    path = tmp_path / "split.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(WusumError, match=r"split\.jsonl:1"):
        read_split(path)
