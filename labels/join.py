"""Gives the gold annotations their texts back, from copies of the corpora that the reader holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import WusumError
from .fingerprint import text_hash
from .sources import SourceText, read_source
from .standoff import GOLD_FOLDER, SPLITS, GoldRecord, read_gold

# Articles that the project wrote itself: their texts are packaged, nobody needs a copy of a corpus for them.
WRITTEN = Path(__file__).with_name("written") / "articles.jsonl"


@dataclass(frozen=True)
class SplitReport:
    """How one split came out. ``joined`` + ``missing`` + ``changed`` = ``expected``; the tuples hold ids in gold order.

    ``changed``: a source has a text of that name, but with other words. ``repeated``: joined, and found more than once.
    """

    split: str
    expected: int
    joined: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    repeated: tuple[str, ...]


def join(
    sources: Sequence[Path],
    out: Path,
    *,
    force: bool = False,
    gold: Path = GOLD_FOLDER,
    wanted: Sequence[str] = SPLITS,
    on_text: Callable[[int, int], None] = lambda read, joined: None,
) -> tuple[SplitReport, ...]:
    """Write ``out/train.jsonl`` and ``out/test.jsonl``: the gold labels with their texts, in gold order.

    A text is recognised by its fingerprint, wherever it lies and whatever it is called; its name only tells a changed
    text from a missing one. Where sources repeat a text, the first counts. The project's own articles (``WRITTEN``) are
    joined too. Sources are streamed; only texts that are gold are held. Files appear complete or not at all.
    ``wanted`` names the splits that are joined and written, ``on_text`` gets the texts read and joined so far.

    Raises:
        WusumError: a source cannot be read, nothing could be joined, or an output exists and ``force`` is not set.

    Example:
        >>> reports = join([Path("corpora/khaleej"), Path("corpora/ant")], Path("data"))  # doctest: +SKIP
        >>> [(report.split, report.joined) for report in reports]  # doctest: +SKIP
        [('train', 14418), ('test', 250)]
    """
    targets = {split: out / f"{split}.jsonl" for split in wanted}
    _check_targets(out, targets.values(), force)
    splits = {split: read_gold(gold / f"{split}.jsonl") for split in wanted}
    finder = _Finder.of(record for records in splits.values() for record in records)
    for source in sources:
        for count, text in enumerate(read_source(source), finder.read + 1):
            finder.offer(text)
            finder.read = count
            on_text(count, len(finder.texts))
    if not finder.texts:
        looked = ", ".join(str(source) for source in sources)
        raise WusumError(
            f"{looked}: {finder.read} texts read (rows need id and text), none is a gold article of "
            f"{' or '.join(wanted)}; "
            "expected copies of the corpora that labels/DATA_CARD.md names, check the paths"
        )
    for text in read_source(WRITTEN):
        finder.offer(text)
    _write(out, {targets[split]: finder.lines(records) for split, records in splits.items()})
    return tuple(finder.report(split, records) for split, records in splits.items())


@dataclass
class _Finder:
    """Collects the texts of gold articles while sources stream by."""

    by_hash: Mapping[str, str]
    by_name: Mapping[str, Sequence[str]]
    read: int = 0
    texts: dict[str, SourceText] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, records: Iterable[GoldRecord]) -> _Finder:
        by_hash: dict[str, str] = {}
        by_name: dict[str, list[str]] = {}
        for record in records:
            by_hash[record.sha256] = record.id
            for name in {record.id, record.id.partition(":")[2]} - {""}:
                by_name.setdefault(name, []).append(record.id)
        return cls(by_hash, by_name)

    def offer(self, text: SourceText) -> None:
        gold_id = self.by_hash.get(text_hash(text.text))
        if gold_id is None:
            self.changed.update(self.by_name.get(text.name, ()))
        elif gold_id in self.texts:
            self.repeated.add(gold_id)
        else:
            self.texts[gold_id] = text

    def lines(self, records: Iterable[GoldRecord]) -> Iterable[str]:
        return (_line(record, self.texts[record.id]) for record in records if record.id in self.texts)

    def report(self, split: str, records: Sequence[GoldRecord]) -> SplitReport:
        absent = [record.id for record in records if record.id not in self.texts]
        return SplitReport(
            split=split,
            expected=len(records),
            joined=len(records) - len(absent),
            missing=tuple(gold_id for gold_id in absent if gold_id not in self.changed),
            changed=tuple(gold_id for gold_id in absent if gold_id in self.changed),
            repeated=tuple(record.id for record in records if record.id in self.repeated),
        )


def _line(record: GoldRecord, found: SourceText) -> str:
    row: dict[str, object] = {
        "id": record.id,
        "source": record.source,
        "title": found.title,
        "text": found.text,
        "topics": record.topics,
        "actors": record.actors,
    }
    for key in ("confidence", "round", "annotator_a", "annotator_b"):
        value = getattr(record, key)
        if value is not None:
            row[key] = value
    return json.dumps(row, ensure_ascii=False) + "\n"


def _check_targets(out: Path, targets: Iterable[Path], force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise WusumError(f"{out}: is a file, expected a folder to write to; choose another")
    for target in targets:
        if target.exists() and not force:
            raise WusumError(f"{target}: exists already, expected a new file; add --force or choose another folder")


def _write(out: Path, files: Mapping[Path, Iterable[str]]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        _replace(files)
    except OSError as error:
        raise WusumError(
            f"{out}: cannot write: {error.strerror}; expected a writable folder, choose another"
        ) from error


def _replace(files: Mapping[Path, Iterable[str]]) -> None:
    temporary = {target: target.with_name(f".{target.name}.{os.getpid()}.tmp") for target in files}
    try:
        for target, lines in files.items():
            with temporary[target].open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(lines)
        for target in files:
            temporary[target].replace(target)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
