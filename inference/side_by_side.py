"""Several articles at once, in threads, with the results in the order of the articles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")

_READ_AHEAD = 2  # items for each worker, so that none waits for the one that reads


def map_in_order(function: Callable[[Given], Result], items: Iterable[Given], workers: int) -> Iterator[Result]:
    """Yield ``function`` of every item, in the items' order, computed in so many threads.

    Items are taken from ``items`` by the caller's thread, a few ahead of the result that is asked for. What ``items``
    or ``function`` raises is raised in its place in the order; then, as when the iterator is closed, nothing new is
    begun.

    Example:
        >>> list(map_in_order(abs, [-1, 2, -3], workers=2))
        [1, 2, 3]
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="wusum") as pool:
        waiting: deque[Future[Result]] = deque()
        left = iter(items)
        try:
            while True:
                try:
                    item = next(left)
                except StopIteration:
                    break
                except Exception:
                    yield from _results(waiting)  # what was read before the fault comes before it
                    raise
                waiting.append(pool.submit(function, item))
                if len(waiting) > _READ_AHEAD * workers:
                    yield waiting.popleft().result()
            yield from _results(waiting)
        finally:
            for one in waiting:
                one.cancel()


def _results(waiting: deque[Future[Result]]) -> Iterator[Result]:
    while waiting:
        yield waiting.popleft().result()
