"""How well the page cleaner tells a story from what stands around it.

``python -m wusum.training.page_benchmark JOINED.jsonl [--pages N] [--seed S]``

Pages are built from articles of the corpora, with furniture of our own making and headlines and teasers of any other
articles. (Articles that we wrote hold lines that a cleaner may drop: datelines, crossheads.) Families of furniture
are ``tuned``, ``held_out`` or ``blind``; ``page_families.yaml`` tells how far the cleaner was fitted to each.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ..inference.cleaner import clean_page, keep_lines
from .script import run_script

Article = Mapping[str, Any]
OWN = "wusum:"
"""What the ids of articles of our own writing begin with."""
_SENTENCE = re.compile(r"(?<=[.!؟])\s*(?=[^\W\d_]{2})")


@dataclass(frozen=True)
class Page:
    """Lines of a page and, for each, what it truly is: body, title, caption, furniture, teaser, or blank."""

    lines: tuple[str, ...]
    truth: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """A template of furniture; see ``page_families.yaml``."""

    name: str
    page: tuple[str, ...]
    inside: tuple[str, ...]
    spaced: bool


def fitting_half(identifier: str) -> bool:
    """Return whether an article is of the half on which the cleaner's table is fitted; the benchmark uses the other."""
    return zlib.crc32(identifier.encode()) % 2 == 0


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, also where no space follows a full stop.

    Example:
        >>> sentences("قال ذلك.وأضاف هذا .")
        ['قال ذلك.', 'وأضاف هذا .']
    """
    return [part for line in text.splitlines() for part in _SENTENCE.split(line.strip()) if part.strip()]


def families() -> dict[str, tuple[Family, ...]]:
    """Return the families of furniture: ``tuned``, ``held_out`` and ``blind``."""
    raw = yaml.safe_load((resources.files(__package__) / "page_families.yaml").read_text("utf-8"))
    return {
        group: tuple(
            Family(entry["name"], tuple(entry["page"]), tuple(entry.get("inside", ())), entry["spaced"])
            for entry in entries
        )
        for group, entries in raw.items()
    }


class PageMaker:
    """Wraps articles in furniture.

    Args:
        articles: records with id, title, text, topics and actors; two or more.
        rng: the source of all choices.
    """

    def __init__(self, articles: Sequence[Article], rng: random.Random) -> None:
        """Sort the articles by label, so that half of the other stories are on related matters."""
        self._articles = articles
        self._rng = rng
        self._by_label: dict[str, list[Article]] = defaultdict(list)
        for article in articles:
            for label in (*article["topics"], *article["actors"]):
                self._by_label[label].append(article)

    def make(self, article: Article, family: Family) -> Page:
        """Return the article as a page of this family."""
        found: list[tuple[str, str]] = []
        title = article["title"] or self._headline(article)
        for item in family.page:
            if item == "@body":
                found += self._body(article, family)
            elif "@title" in item:
                found.append(("title", item.replace("@title", title)))
            else:
                found += self._furniture(item, article)
        blank = [("blank", "")] if family.spaced else []
        spread = [pair for entry in found for pair in (entry, *blank)]
        return Page(tuple(text for _, text in spread), tuple(kind for kind, _ in spread))

    def _body(self, article: Article, family: Family) -> list[tuple[str, str]]:
        lines = [("body", line) for line in resplit(article["text"], self._rng)]
        if family.inside and len(lines) > 2:
            place = self._rng.randrange(1, len(lines) - 1)
            box = [entry for item in family.inside for entry in self._furniture(item, article)]
            lines[place:place] = box
        return lines

    def _furniture(self, item: str, article: Article) -> list[tuple[str, str]]:
        kind, _, count = item.partition(" ")
        if kind in ("@headlines", "@pairs", "@teasers", "@headline", "@pair", "@teaser"):
            found: list[tuple[str, str]] = []
            for _ in range(int(count or 1)):
                other = self._other(article)
                if not kind.startswith("@teaser"):
                    found.append(("furniture", other["title"] or self._headline(other)))
                if not kind.startswith("@headline"):
                    found.append(("teaser", self._teaser(other)))
            return found
        if "@caption" in item:
            return [("caption", item.replace("@caption", _caption(article)))]
        text = item.replace("{day}", self._day()).replace("{n}", str(self._rng.randint(2, 900)))
        if "@headline" in text:
            other = self._other(article)
            text = text.replace("@headline", other["title"] or self._headline(other))
        return [("furniture", text)]

    def _other(self, article: Article) -> Article:
        labels = (*article["topics"], *article["actors"])
        while True:
            pool = self._by_label[self._rng.choice(labels)] if labels and self._rng.random() < 0.5 else self._articles
            other = self._rng.choice(pool)
            if other["id"] != article["id"]:
                return other
            labels = ()

    def _teaser(self, article: Article) -> str:
        parts = sentences(article["text"])[: self._rng.choice((1, 1, 2, 3, 4, 6))]
        text = " ".join(parts)
        return text if self._rng.random() < 0.8 else " ".join(text.split()[:30]) + "..."

    def _headline(self, article: Article) -> str:
        words = sentences(article["text"])[0].split()
        return " ".join(words[: self._rng.randint(6, 12)]).rstrip(" .،,:؛")

    def _day(self) -> str:
        rng = self._rng
        month = rng.choice(("يناير", "تشرين الثاني", "آذار/مارس", "نوفمبر", "حزيران", "أوت", "تموز"))
        weekday = rng.choice(("الأحد", "الأربعاء،", "الخميس", ""))
        long = f"{weekday} {rng.randint(1, 28)} {month} {rng.randint(2009, 2024)}".strip()
        return rng.choice((long, f"{rng.randint(1, 28):02}.06.2018 | 11:26"))


def _caption(article: Article) -> str:
    return " ".join(sentences(article["text"])[-1].split()[-9:]).rstrip(" .،")


def resplit(text: str, rng: random.Random) -> list[str]:
    """Return the text as lines of one to four sentences (all of one size now and then, or one line)."""
    parts = sentences(text)
    most = rng.choice((1, 2, 4, 4, len(parts)))
    lines = []
    while parts:
        take = len(parts) if most > 4 else rng.randint(1, most)
        lines.append(" ".join(parts[:take]))
        parts = parts[take:]
    return lines


@dataclass
class Score:
    """Counts of lines and characters, by what they truly are and whether they were kept."""

    lines: Counter[tuple[str, bool]]
    characters: Counter[tuple[str, bool]]

    def add(self, page: Page, keep: Sequence[bool]) -> None:
        """Count one page."""
        for text, truth, kept in zip(page.lines, page.truth, keep, strict=True):
            if text:
                self.lines[truth, kept] += 1
                self.characters[truth, kept] += len(text)

    def rows(self) -> dict[str, tuple[float, float]]:
        """Return each measure by line and by character; headline and captions may go or stay, so they do not count."""
        return {name: (_measure(self.lines, name), _measure(self.characters, name)) for name in MEASURES}


MEASURES = ("body recall", "furniture precision", "furniture recall", "teasers removed")


def _measure(counts: Counter[tuple[str, bool]], name: str) -> float:
    dropped = counts["furniture", False] + counts["teaser", False]
    pairs = {
        "body recall": (counts["body", True], counts["body", False]),
        "furniture precision": (dropped, counts["body", False]),
        "furniture recall": (dropped, counts["furniture", True] + counts["teaser", True]),
        "teasers removed": (counts["teaser", False], counts["teaser", True]),
    }
    good, bad = pairs[name]
    return good / (good + bad) if good + bad else 1.0


def over_100(lines: Sequence[str]) -> list[bool]:
    """Return the baseline's choice: keep lines of more than 100 characters."""
    return [len(line) > 100 for line in lines]


def score(pages: Iterable[Page], choose: Callable[[Sequence[str]], Sequence[bool]]) -> Score:
    """Return the counts of one way to choose lines over the pages."""
    found = Score(Counter(), Counter())
    for page in pages:
        found.add(page, choose(page.lines))
    return found


def titles_found(pages: Sequence[Page]) -> float:
    """Return the share of pages with a headline for which the cleaner names it."""
    good = total = 0
    for page in pages:
        true = {text for text, kind in zip(page.lines, page.truth, strict=True) if kind == "title"}
        total += bool(true)
        good += clean_page("\n".join(page.lines)).title in true
    return good / total if total else 1.0


def clean_share(articles: Iterable[Article], rng: random.Random) -> tuple[float, float]:
    """Return the share of characters kept of articles without furniture: as one text, and re-split into lines."""
    kept, whole = [0, 0], [0, 0]
    for article in articles:
        for place, text in enumerate((article["text"], "\n".join(resplit(article["text"], rng)))):
            page = clean_page(text)
            whole[place] += len("".join(text.split()))
            kept[place] += len("".join(((page.title or "") + page.body).split()))
    return kept[0] / whole[0], kept[1] / whole[1]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file; leave with one line on standard error where it cannot be read."""
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as fault:
        sys.exit(f"{path}: cannot be read as JSON lines ({fault}); give what `wusum labels join` writes")


def main(argv: list[str] | None = None) -> int:
    """Print the measures for each family and over each group, beside the baseline."""
    parser = argparse.ArgumentParser(prog="page_benchmark", description=__doc__)
    parser.add_argument("joined", type=Path, help="articles with labels, as JSON lines")
    parser.add_argument("--pages", type=int, default=300, help="pages per family")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    read = read_rows(arguments.joined)
    held = [article for article in read if not fitting_half(article["id"])]
    articles = [article for article in held if not article["id"].startswith(OWN)]
    rng = random.Random(arguments.seed)
    maker = PageMaker(held, rng)
    write = sys.stdout.write
    write(f"{'':34}" + "".join(f"{name:>26}" for name in MEASURES) + "   (by line, by character)\n")
    for group, members in families().items():
        everything: list[Page] = []
        for family in members:
            pages = [maker.make(rng.choice(articles), family) for _ in range(arguments.pages)]
            everything += pages
            write(_row(f"{group}: {family.name}", score(pages, keep_lines)))
        write(_row(f"{group}: ALL", score(everything, keep_lines)))
        write(f"{group}: headline named on {titles_found(everything):.4f} of the pages\n")
        write(_row(f"{group}: lines over 100 characters", score(everything, over_100)))
    started = time.process_time()
    shares = clean_share(articles, rng)
    size = sum(len(article["text"].encode()) for article in articles) * 2 / 1e6
    write(f"clean articles, share of characters kept: whole {shares[0]:.5f}, re-split {shares[1]:.5f}\n")
    write(f"speed on them, of processor time: {size / (time.process_time() - started):.1f} MB/s\n")
    return 0


def _row(name: str, found: Score) -> str:
    return f"{name:34}" + "".join(f"{line:>17.4f} / {text:.4f}" for line, text in found.rows().values()) + "\n"


if __name__ == "__main__":
    run_script(main)
