"""apredict: the same predictions, beside the event loop and not in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from wusum.inference import Article, Prediction, Tagger
from wusum.labels import WusumError

HANG = 300.0  # seconds
NOTHING = Prediction((), (), {}, ())
T = TypeVar("T")


class Stalled:
    """Takes the place of tagging: each article is in work until it is let go."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.in_work = 0
        self.most = 0
        self._lock = threading.Lock()
        self._let_go = threading.Semaphore(0)

    def __call__(self, given: Any, evidence: bool) -> Prediction:
        with self._lock:
            self.begun.append(given)
            self.in_work += 1
            self.most = max(self.most, self.in_work)
        assert self._let_go.acquire(timeout=HANG)
        with self._lock:
            self.in_work -= 1
        return NOTHING

    def let_go(self, count: int) -> None:
        self._let_go.release(count)

    async def until_begun(self, count: int) -> None:
        while len(self.begun) < count:
            await asyncio.sleep(0.001)


@pytest.fixture
def tagger(tiny_bundle: Path) -> Tagger:
    return Tagger.load(tiny_bundle, threads=1)


@pytest.fixture
def stalled(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Tagger, Stalled]:
    """A tagger with room for three articles at once."""
    monkeypatch.setattr("wusum.inference.tagger.available_cores", lambda: 3)
    tagger, work = Tagger.load(tiny_bundle, threads=1), Stalled()
    monkeypatch.setattr(tagger, "_predict_one", work)
    return tagger, work


def run(awaitable: Awaitable[T]) -> T:
    async def limited() -> T:
        async with asyncio.timeout(HANG):
            return await awaitable

    return asyncio.run(limited())


def test_predictions_are_those_of_predict(tagger: Tagger, samples: list[dict[str, Any]]) -> None:
    articles = [Article(row["text"], row["title"], row["id"]) for row in samples[:5]]

    async def ask() -> tuple[Prediction, list[Prediction], list[Prediction]]:
        one = await tagger.apredict(articles[0])
        several = await tagger.apredict(articles, evidence=True)
        return one, several, await asyncio.gather(*map(tagger.apredict, articles))

    one, several, gathered = run(ask())
    assert one == tagger.predict(articles[0])
    assert several == tagger.predict(articles, evidence=True)
    assert gathered == tagger.predict(articles)
    assert run(tagger.apredict([])) == []


def test_what_predict_refuses_is_refused(tagger: Tagger) -> None:
    with pytest.raises(WusumError, match="expected a string"):
        run(tagger.apredict([{"text": 3}]))


def test_the_loop_goes_on_meanwhile(stalled: tuple[Tagger, Stalled]) -> None:
    tagger, work = stalled

    async def ask() -> Prediction:
        task = asyncio.create_task(tagger.apredict("نص"))
        await work.until_begun(1)
        work.let_go(1)  # by the loop itself: a loop that waited for the article would never come here
        return await task

    assert run(ask()) == NOTHING


def test_no_more_articles_are_in_work_than_there_are_cores(stalled: tuple[Tagger, Stalled]) -> None:
    tagger, work = stalled

    async def ask() -> list[Prediction]:
        tasks = [asyncio.create_task(tagger.apredict(str(number))) for number in range(20)]
        await work.until_begun(3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(work.begun) == 3
        work.let_go(20)
        return await asyncio.gather(*tasks)

    for _ in range(2):  # each run has a loop of its own
        work.begun.clear()
        assert run(ask()) == [NOTHING] * 20
        assert work.most == 3


def test_a_cancelled_task_goes_at_once_and_begins_nothing_more(stalled: tuple[Tagger, Stalled]) -> None:
    tagger, work = stalled

    async def ask() -> None:
        tasks = [asyncio.create_task(tagger.apredict([f"{number}a", f"{number}b"])) for number in range(3)]
        await work.until_begun(3)
        waiting = asyncio.create_task(tagger.apredict("waiting"))
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*tasks, return_exceptions=True)
        )
        assert work.in_work == 3  # threads cannot be ended, so their places are still taken
        assert not waiting.done()
        work.let_go(4)
        assert await waiting == NOTHING

    run(ask())
    assert sorted(work.begun) == ["0a", "1a", "2a", "waiting"]


def test_a_task_cancelled_while_it_waits_takes_no_place(stalled: tuple[Tagger, Stalled]) -> None:
    tagger, work = stalled

    async def ask() -> list[Prediction]:
        tasks = [asyncio.create_task(tagger.apredict(str(number))) for number in range(6)]
        await work.until_begun(3)
        for task in tasks[3:5]:
            task.cancel()
        work.let_go(6)
        return await asyncio.gather(*tasks[:3], tasks[5])

    assert run(ask()) == [NOTHING] * 4
    assert sorted(work.begun) == ["0", "1", "2", "5"]
