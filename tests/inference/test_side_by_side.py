"""Several articles at once: the order stays, faults come in their place, little is read ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wusum.inference import Article, Tagger
from wusum.inference.engine import EngineName
from wusum.inference.side_by_side import map_in_order

from .engine_choice import each_engine


def test_results_come_in_the_order_of_the_items() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(60)  # the first can end only after the second: both are in work at once
        if item == 1:
            second_done.set()
        return item * 10

    assert list(map_in_order(work, range(50), 2)) == [item * 10 for item in range(50)]


def test_little_is_read_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = map_in_order(str, items(), 2)
    for done in range(20):
        next(results)
        assert len(taken) <= done + 1 + 5


def test_a_fault_of_an_item_comes_after_the_results_before_it() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = map_in_order(work, range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_a_fault_of_the_source_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise OSError("the disk is gone")

    results = map_in_order(abs, items(), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_nothing_is_begun_after_the_iterator_is_closed() -> None:
    begun: list[int] = []
    gate = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item:
            assert gate.wait(60)
        return item

    results = map_in_order(work, range(100), 1)
    assert next(results) == 0
    threading.Timer(0.2, gate.set).start()
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 2


@each_engine
def test_workers_change_no_prediction(engine: EngineName, tiny_bundle: Path, samples: list[dict[str, Any]]) -> None:
    articles = [Article(row["text"], row["title"], row["id"]) for row in samples]
    alone = Tagger.load(tiny_bundle, threads=1, engine=engine)
    together = Tagger.load(tiny_bundle, threads=1, workers=3, engine=engine)
    expected = [alone.predict(article) for article in articles]
    assert together.predict(articles) == expected
    assert list(together.stream(iter(articles))) == expected
    evident = together.predict(articles, evidence=True)
    assert evident == [alone.predict(article, evidence=True) for article in articles]
