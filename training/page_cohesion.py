"""Fits the page cleaner's table of story cohesion: ``python -m wusum.training.page_cohesion JOINED.jsonl OUT.json``.

Pairs a stretch of an article with a later paragraph of the same article or of another one (half of them with a label
in common), and learns by logistic regression to tell the two. Half of the articles are left to the page benchmark.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from ..inference.cleaner_cohesion import features, is_linked, stems, tokens
from .page_benchmark import fitting_half, read_rows, sentences
from .script import run_script

EVERYWHERE, COMMON = 0.22, 0.03
"""Share of articles from which a stem says nothing, and from which it says little."""
BEFORE = ("و", "ف", "ال", "ب", "ل", "وال", "بال", "لل", "ول", "وب")
"""Particles that are written together with the word behind them."""


def word_classes(texts: list[str]) -> tuple[list[str], list[str]]:
    """Return the stems that most articles hold, and those that many hold, sorted."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(stems(tokens(text)))
    share = {word: count / len(texts) for word, count in counts.items() if word.isalpha()}
    everywhere = sorted(word for word, value in share.items() if value >= EVERYWHERE)
    return everywhere, sorted(word for word, value in share.items() if COMMON <= value < EVERYWHERE)


def first_letters(texts: list[str]) -> tuple[list[str], list[str]]:
    """Return the words whose first waw is not "and", and those whose first fa is "so", sorted.

    A waw is the word's own where other particles stand before it and the rest is seldom a word. A fa is "so" where it
    is the other way round.

    Example:
        >>> first_letters(["وزير الري، الوزير ووزير المال. فقال لهم: قال وقال وقال. قال قال قال فقال فقال قال قال قال"])
        (['وزير'], ['فقال'])
    """
    counts = Counter(word for text in texts for word in tokens(text))
    own_waw, so = [], []
    for word, count in counts.items():
        alone, particles = counts[word[1:]], sum(counts[before + word] for before in BEFORE)
        if word.startswith("و") and len(word) > 2 and particles >= 2 and 2 * alone < count:
            own_waw.append(word)
        if word.startswith("ف") and len(word) > 2 and count >= 3 and 2 * count < alone and 5 * particles < count:
            so.append(word)
    return sorted(own_waw), sorted(so)


def pairs(articles: list[dict[str, Any]], rng: random.Random, repeats: int = 4) -> tuple[list[list[float]], list[int]]:
    """Return the features of (story, paragraph) pairs and whether the two are of one article."""
    split = [sentences(article["text"]) for article in articles]
    by_label: dict[str, list[int]] = defaultdict(list)
    for number, article in enumerate(articles):
        for label in (*article["topics"], *article["actors"]):
            by_label[label].append(number)
    rows: list[list[float]] = []
    same: list[int] = []
    for number, article in enumerate(articles):
        if len(split[number]) < 4:
            continue
        labels = [*article["topics"], *article["actors"]]
        for _ in range(repeats):
            end = rng.randint(2, min(15, len(split[number]) - 1))
            other = rng.randrange(len(split))
            if labels and rng.random() < 0.6:
                other = rng.choice(by_label[rng.choice(labels)])
            story = stems(tokens(" ".join([article["title"] or "", *split[number][:end]])))
            for source, truth in ((split[number][end:], 1), (split[other], 0)):
                if truth or other != number:
                    start = 0 if not truth and rng.random() < 0.6 else rng.randrange(len(source))
                    text = " ".join(source[start : start + rng.randint(1, 4)])
                    words = stems(tokens(text))
                    rows.append(features(words, is_linked(text), words & story, len(story)))
                    same.append(truth)
    return rows, same


def main(argv: list[str]) -> int:
    """Write the table and say how well it tells the pairs of articles it was not fitted on."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    source, target = map(Path, argv)
    read = read_rows(source)
    articles = [article for article in read if fitting_half(article["id"])]
    everywhere, common = word_classes([article["text"] for article in articles])
    own_waw, so = first_letters([article["text"] for article in articles])
    table: dict[str, Any] = {
        "everywhere": everywhere,
        "common": common,
        "own_waw": own_waw,
        "so": so,
        "weights": [0.0] * 7,
    }
    target.write_text(json.dumps(table, ensure_ascii=False, indent=0) + "\n", "utf-8")
    fitted = LogisticRegression(C=10, max_iter=5000, fit_intercept=False)
    fitted.fit(*pairs(articles, random.Random(0)))
    held_rows, held_same = pairs([a for a in read if not fitting_half(a["id"])], random.Random(1))
    score = roc_auc_score(held_same, fitted.decision_function(held_rows))
    table["weights"] = [round(float(weight), 4) for weight in fitted.coef_[0]]
    target.write_text(json.dumps(table, ensure_ascii=False, indent=0) + "\n", "utf-8")
    sys.stdout.write(f"AUC on the other half: {score:.4f}; stems: {len(everywhere)} + {len(common)}\n")
    return 0


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
