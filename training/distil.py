"""A teacher labels raw articles softly, for a student to learn from (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..inference.bundle import Bundle
from ..inference.bundle_engine import open_bundle_engine
from ..inference.features import Featuriser, read_tokenizer
from ..inference.language import language_note
from ..inference.manifest import MANIFEST, file_sha256
from ..inference.progress import say
from ..labels import Taxonomy, load_taxonomy
from ..labels.errors import WusumError
from ..labels.jsonl import parse_row, read_lines
from .baseline import TfidfBaseline
from .calibration import Calibration, fit_calibration
from .data import LabelledArticle, read_labelled
from .distil_config import DistilConfig
from .earlier import open_earlier, warn_of_another_dev
from .evaluate import LabelledTexts, view
from .metrics import Floats
from .progress import watched
from .raw import RawArticle, read_excluded, read_raw
from .run_folder import claim_folder
from .soft import appending, finish, mean_scores, recover, soft_line
from .split import JACCARD, PERMUTATIONS, read_split, select_part, sketch
from .targets import data_sha256
from .thresholds import log_odds

SOFT, SUMMARY = "soft.jsonl", "summary.json"
CHUNK = 32  # articles that are labelled, and written, at a time
SURE = 1e-5  # probabilities are kept so far from 0 and 1 before their logits are taken
GIVEN = 0.5  # the probability from which on a label counts as given


class BundleTeacher:
    """One bundle; its calibrated probabilities in the order of a taxonomy."""

    def __init__(self, folder: Path, taxonomy: Taxonomy) -> None:
        """Open a bundle, or the one of a run folder.

        Raises:
            WusumError: it is no sound bundle, or its labels are not the taxonomy's.
        """
        self.bundle: Bundle = open_earlier(folder)
        own = self.bundle.taxonomy
        strange = sorted(set(own.ids) ^ set(taxonomy.ids))
        if strange:
            raise WusumError(f"teacher.bundles: {folder} and the label scheme differ in {strange[0]!r}; name another")
        tokenizer = read_tokenizer(self.bundle.tokenizer_path)
        self._featurise = Featuriser(tokenizer, self.bundle.input, self.bundle.tokens)
        self._engine = open_bundle_engine(self.bundle)
        self._order = [own.index(label) for label in taxonomy.ids]

    def probabilities(self, articles: Sequence[RawArticle]) -> Floats:
        """Return calibrated probabilities, shape (articles, labels)."""
        logits = [self._engine.logits(self._featurise(article.article)) for article in articles]
        return self.bundle.scoring.probabilities(np.stack(logits))[:, self._order]


class TfidfTeacher:
    """The TF-IDF baseline, fitted on train and calibrated on dev."""

    def __init__(self, train: LabelledTexts, dev: LabelledTexts) -> None:
        """Fit it."""
        self._baseline = TfidfBaseline().fit(train.texts, train.truth, train.judged)
        margins = _bounded_log_odds(self._baseline.scores(dev.texts))
        self._calibration: Calibration = fit_calibration(margins, dev.truth, dev.judged)

    def probabilities(self, articles: Sequence[RawArticle]) -> Floats:
        """Return calibrated probabilities, shape (articles, labels)."""
        texts = [view(LabelledArticle(article.id, article.title, article.text, ())) for article in articles]
        return self._calibration.apply(_bounded_log_odds(self._baseline.scores(texts)))


@dataclass(frozen=True)
class Teacher:
    """Several teachers as one: the weighted mean of their logits or probabilities.

    Attributes:
        members: bundles, and perhaps the TF-IDF baseline.
        weights: of the members; they add up to 1.
        combine: ``logits`` or ``probabilities``.
        single: each article has exactly one label.
    """

    members: Sequence[BundleTeacher | TfidfTeacher]
    weights: Sequence[float]
    combine: str
    single: bool

    def probabilities(self, articles: Sequence[RawArticle]) -> Floats:
        """Return probabilities, shape (articles, labels)."""
        tables = [member.probabilities(articles) for member in self.members]
        return combine(np.stack(tables), self.weights, self.combine, self.single)


def combine(tables: Floats, weights: Sequence[float], how: str, single: bool) -> Floats:
    """Average the probabilities of several teachers, shape (teachers, articles, labels).

    With ``logits`` it is the mean of log p - log(1 - p), or for exactly one label per article that of log p.

    Example:
        >>> combine(np.array([[[0.5]], [[0.9]]]), [0.5, 0.5], "logits", single=False).round(2).tolist()
        [[0.75]]
    """
    if how == "probabilities":
        return np.asarray(np.average(tables, axis=0, weights=weights))
    if not single:
        return np.asarray(1 / (1 + np.exp(-np.average(_bounded_log_odds(tables), axis=0, weights=weights))))
    powers = np.exp(np.average(np.log(np.clip(tables, SURE, 1)), axis=0, weights=weights))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _bounded_log_odds(probabilities: Floats) -> Floats:
    return log_odds(np.clip(probabilities, SURE, 1 - SURE))


class NearDuplicates:
    """Knows some texts, and tells whether another one is nearly one of them, as the split does."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take the texts, each with its title before it."""
        from datasketch import MinHashLSH

        self._index = MinHashLSH(threshold=JACCARD, num_perm=PERMUTATIONS)
        for position, text in enumerate(texts):
            self._index.insert(position, sketch(text))

    def __contains__(self, text: str) -> bool:
        """Whether the estimated Jaccard similarity to some text reaches 0.5."""
        return bool(self._index.query(sketch(text)))


def distil(config: DistilConfig) -> Path:
    """Run a recipe and return the file of soft labels, which ``data.soft`` of a training recipe takes.

    Interrupted, it goes on when called again with the same recipe, and ends with the same file.

    Raises:
        WusumError: a fault in the recipe or the articles, teachers that do not fit together, an output folder that
            belongs to another recipe, other teachers or other articles, or soft labels that exist already.

    Example:
        >>> distil(load_distil_config(Path("configs/distil.yaml")))  # doctest: +SKIP
        PosixPath('runs/distil/soft.jsonl')
    """
    folder = Path(config.output)
    target = folder / SOFT
    if target.exists():
        raise WusumError(f"{target}: exists already; move it away, or choose another output, to label anew")
    taxonomy = load_taxonomy(Path(config.data.taxonomy) if config.data.taxonomy else None)
    labelled = read_labelled(Path(config.data.articles), taxonomy, config.data.columns)
    split, path = read_split(Path(config.data.split)), Path(config.data.split)
    train, dev = (select_part(labelled, split, part, path) for part in ("train", "dev"))
    bundles = [BundleTeacher(Path(name), taxonomy) for name in config.teacher.bundles]
    for teacher in bundles:
        warn_of_another_dev(teacher.bundle, dev, "teacher.bundles")
    hashes = [file_sha256(teacher.bundle.folder / MANIFEST) for teacher in bundles]
    barred = {article.id for article in labelled} | read_excluded([Path(name) for name in config.data.exclude])
    near = NearDuplicates(itertools.chain(map(_whole, dev), _texts([Path(name) for name in config.data.exclude])))
    drawn = _Draw(config, barred)
    total = sum(1 for _ in drawn.read())  # this also tells the faults of all rows before the long work begins
    ensemble = _make_teacher(config, bundles, train, dev, taxonomy)
    files = [file_sha256(Path(name)) for name in (*config.data.raw, *config.data.exclude)]
    recipe = {"recipe": asdict(config), "teachers": hashes, "data": [data_sha256(train), data_sha256(dev), *files]}
    claim_folder(folder, recipe)
    _write(target.with_name(SOFT + ".part"), drawn, total, near, ensemble, taxonomy.ids)
    written, means = mean_scores(target.with_name(SOFT + ".part"), taxonomy.ids)
    if not written:
        raise WusumError(f"{folder}: no article is left to label; give more in data.raw or raise keep_unlabelled")
    summary = {**recipe, "drawn": total, "written": written, "mean_scores": means}
    (folder / SUMMARY).write_text(json.dumps(summary, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    finish(target.with_name(SOFT + ".part"), target)
    return target


@dataclass(frozen=True)
class _Draw:
    """The raw articles that may be labelled, in the order of the files; draws depend on seed and id alone."""

    config: DistilConfig
    barred: set[str]

    def read(self) -> Iterator[RawArticle]:
        paths = [Path(name) for name in self.config.data.raw]
        for article in read_raw(paths, self.barred):
            if self._chance("draw", article) < self.config.data.share and not language_note(_whole(article)):
                yield article

    def keeps(self, article: RawArticle, highest: float) -> bool:
        return highest >= GIVEN or self._chance("keep", article) < self.config.keep_unlabelled

    def _chance(self, purpose: str, article: RawArticle) -> float:
        digest = hashlib.sha256(f"{self.config.seed} {purpose} {article.id}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56


def _make_teacher(
    config: DistilConfig,
    bundles: list[BundleTeacher],
    train: Sequence[LabelledArticle],
    dev: Sequence[LabelledArticle],
    taxonomy: Taxonomy,
) -> Teacher:
    tasks = {teacher.bundle.scoring.task for teacher in bundles}
    if len(tasks) > 1:
        raise WusumError("teacher.bundles: some give exactly one label and some any number; name bundles of one task")
    single = tasks == {"single_label"}
    share = 1 / (1 + config.teacher.tfidf)
    members: list[BundleTeacher | TfidfTeacher] = list(bundles)
    weights = [share / len(bundles)] * len(bundles)
    if config.teacher.tfidf:
        if single:
            raise WusumError("teacher.tfidf: works with any number of labels only; set it to 0")
        members.append(TfidfTeacher(LabelledTexts.of(train, taxonomy), LabelledTexts.of(dev, taxonomy)))
        weights.append(1 - share)
    return Teacher(members, weights, config.teacher.combine, single)


def _write(part: Path, drawn: _Draw, total: int, near: NearDuplicates, teacher: Teacher, labels: Sequence[str]) -> None:
    last = recover(part)
    articles = watched(drawn.read(), total, "labelling")
    if last is not None and all(article.id != last for article in articles):
        raise WusumError(f"{part}: its last article {last!r} is not among the raw articles; delete it to begin anew")
    tally = Counter[str]()
    with appending(part) as stream:
        while chunk := list(itertools.islice(articles, CHUNK)):
            fresh = [article for article in chunk if _whole(article) not in near]
            tally["near-duplicates of dev or excluded articles"] += len(chunk) - len(fresh)
            if fresh:
                for article, row in zip(fresh, teacher.probabilities(fresh), strict=True):
                    if drawn.keeps(article, row.max()):
                        stream.write(soft_line(article, dict(zip(labels, row.tolist(), strict=True))))
                stream.flush()
    for what, count in tally.items():
        say(f"left out: {count:,} {what}")


def _whole(article: RawArticle | LabelledArticle) -> str:
    return f"{article.title or ''} {article.text}"


def _texts(paths: Sequence[Path]) -> Iterator[str]:
    """Yield the texts of files of excluded articles, as far as these hold texts."""
    for path in paths:
        for _, line in read_lines(path):
            row = parse_row(line)
            if not isinstance(row, str) and row.get("part") != "train" and isinstance(row.get("text"), str):
                yield f"{row.get('title') or ''} {row['text']}"
