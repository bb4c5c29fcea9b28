"""One Tagger, many threads: the same scores, and the interpreter is free while the engine computes."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from wusum.inference import Article, Tagger
from wusum.inference.bundle import open_bundle
from wusum.inference.engine import EngineName, open_engine
from wusum.inference.features import Featuriser, read_tokenizer

from .engine_choice import each_engine

WORKERS = 8


@each_engine
def test_threads_share_a_tagger(engine: EngineName, tiny_bundle: Path, samples: list[dict[str, Any]]) -> None:
    articles = [Article(row["text"], row["title"], row["id"]) for row in samples]
    tagger = Tagger.load(tiny_bundle, threads=2, engine=engine)
    expected = [tagger.predict(article) for article in articles]
    begin = threading.Barrier(WORKERS, timeout=300)

    def work(number: int) -> bool:
        order = [(number + step) % len(articles) for step in range(len(articles))]
        begin.wait()
        return all(tagger.predict(articles[index]) == expected[index] for index in order * 3)

    with ThreadPoolExecutor(WORKERS) as pool:
        assert all(pool.map(work, range(WORKERS), timeout=300))


@each_engine
def test_the_interpreter_is_free_while_the_engine_computes(engine: EngineName, tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    featurise = Featuriser(read_tokenizer(bundle.tokenizer_path), bundle.input, bundle.tokens)
    features = featurise(Article("أعلنت الحكومة اليوم خطة جديدة. " * 200))
    model = open_engine(engine, bundle.model_path, 1)
    model.logits(features)
    gate, passed = threading.Lock(), threading.Event()
    gate.acquire()

    def wait_at_the_gate() -> None:
        with gate:
            passed.set()

    other = threading.Thread(target=wait_at_the_gate, daemon=True)
    other.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e6)  # nobody is asked to give the interpreter away: only who waits or computes does
    try:
        gate.release()
        # The system may be slow to wake the other thread, so it has many chances.
        calls = 0
        while not passed.is_set() and calls < 2000:
            model.logits(features)
            calls += 1
    finally:
        sys.setswitchinterval(interval)
    assert passed.is_set()
    other.join(timeout=60)
