import json
from pathlib import Path

import numpy as np
import pytest

from wusum.labels import Label, Taxonomy
from wusum.labels.errors import WusumError
from wusum.training.raw import RawArticle
from wusum.training.soft import appending, read_soft, recover, soft_line

SCHEME = Taxonomy("t", "1", tuple(Label(name, "topic", name, name, name) for name in ("trade", "war", "energy")))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "soft.jsonl"
    rows = [(RawArticle("1", "عنوان", "نص\u2028أول"), [0.1, 0.25004, 1.0]), (RawArticle("2", None, "نص"), [0, 0.5, 0])]
    lines = [soft_line(article, dict(zip(SCHEME.ids, scores, strict=True))) for article, scores in rows]
    path.write_text("".join(lines), encoding="utf-8")
    articles, targets = read_soft(path, SCHEME)
    assert [(a.id, a.title, a.text, a.labels, a.judged) for a in articles] == [
        ("1", "عنوان", "نص\u2028أول", (), None),
        ("2", None, "نص", (), None),
    ]
    assert targets.dtype == np.float32
    assert targets == pytest.approx(np.array([[0.1, 0.25, 1.0], [0, 0.5, 0]]))


def test_a_label_that_the_teacher_does_not_know_was_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "soft.jsonl"
    path.write_text(soft_line(RawArticle("1", None, "نص"), {"energy": 0.5, "trade": 0.25}), encoding="utf-8")
    articles, targets = read_soft(path, SCHEME)
    assert articles[0].judged == ("trade", "energy")
    assert targets[0, [0, 2]].tolist() == [0.25, 0.5] and np.isnan(targets[0, 1])


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "soft.jsonl"
    good = {"id": "1", "text": "نص", "scores": {"trade": 0.5}}
    rows = [
        good,
        good | {"id": "2", "scores": {"trad": 0.5}},
        good | {"id": "3", "scores": {"trade": 1.5}},
        good | {"id": "4", "scores": {"trade": True}},
        good | {"id": "5", "scores": []},
        {"id": "6", "text": "نص"},
        good,
        good | {"id": "8", "text": 3},
        good | {"id": "9", "scores": {"trade": float("nan")}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no json\n", encoding="utf-8")
    with pytest.raises(WusumError) as caught:
        read_soft(path, SCHEME)
    told = str(caught.value)
    assert told.startswith("9 faults in ")
    assert "soft.jsonl:2:scores: " in told and "'trade'" in told
    for number in range(2, 11):
        assert f"soft.jsonl:{number}:" in told
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(WusumError, match="holds no article"):
        read_soft(empty, SCHEME)


def test_a_file_cut_anywhere_is_recovered_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "soft.jsonl.part"
    lines = [soft_line(RawArticle(str(n), None, "نص"), {"trade": 0.5}).encode() for n in range(1, 4)]
    whole = b"".join(lines)
    ends = np.cumsum([len(line) for line in lines]).tolist()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        assert recover(path) == (str(kept) if kept else None)
        assert path.read_bytes() == b"".join(lines[:kept])


def test_a_strange_whole_line_is_a_fault_and_nothing_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "soft.jsonl.part"
    content = soft_line(RawArticle("1", None, "نص"), {"trade": 0.5}) + "strange\n" + "half"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WusumError, match=r"part:2: not a line of"):
        recover(path)
    assert path.read_text(encoding="utf-8") == content


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(WusumError, match=r"soft\.jsonl\.part: cannot be written \(No space left on device\)"),
        appending(tmp_path / "soft.jsonl.part"),
    ):
        raise OSError(28, "No space left on device")
