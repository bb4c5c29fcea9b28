"""``wusum evaluate``: how good a bundle is on labelled articles."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..labels.command_base import Command
from ..labels.errors import WusumError
from .column_option import add_column_option, read_columns

if TYPE_CHECKING:
    from ..inference.tagger import Tagger
    from ..labels import Taxonomy
    from .bootstrap import Interval
    from .data import LabelledArticle
    from .evaluate import Evaluation, LabelledTexts
    from .metrics import Floats
    from .opponents import Opponent

_DEV_CLUSTERS = 5  # one for each fold of the cross-fitted thresholds
_LEDGER = Path("labels/gold/test-ledger.jsonl")
_SPLIT = Path("labels/gold/split.jsonl")
_ABOUT = """Tags labelled articles and compares. On dev calibration and thresholds are cross-fitted, because the
bundle's own were chosen there; elsewhere they are the bundle's. Every look at test is recorded in the ledger."""


@dataclass(frozen=True)
class _Selection:
    """The articles to score, the file they come from and, where a split file tells it, the cluster of each."""

    path: Path
    articles: list[LabelledArticle]
    clusters: list[str] | None = None


def _add_arguments(parser: ArgumentParser) -> None:
    parser.description = _ABOUT
    add = parser.add_argument
    add("bundle", nargs="?", type=Path, metavar="BUNDLE", help="bundle folder (default: the embedded model)")
    add(
        "--data",
        required=True,
        type=Path,
        metavar="DIR|FILE",
        help="labelled articles (`wusum labels join`)",
    )
    add_column_option(parser)
    add("--split", choices=("dev", "test", "train"), help="which part (default: dev for a folder, all of a file)")
    add("--split-file", type=Path, default=_SPLIT, metavar="F", help="default: %(default)s")
    add("--baselines", action="store_true", help="also fit simple opponents on the train part and compare")
    add("--reason", metavar="TEXT", help="why the test split is looked at")
    add("--ledger", type=Path, default=_LEDGER, metavar="FILE", help="default: %(default)s")
    add("-o", "--output", type=Path, metavar="report.json", help="also write everything as JSON")
    add("--report", type=Path, metavar="FOLDER", help="on dev: also write the full report (HTML and JSON), with texts")


def _run(arguments: Namespace) -> int:
    from ..inference.tagger import Tagger
    from .calibration import crossfit
    from .evaluate import LabelledTexts, append_ledger, check_ledger, collect, compare, evaluate
    from .evaluate_tables import show
    from .progress import watched
    from .report import logits_of
    from .targets import data_sha256

    split = _check(arguments)
    reason = check_ledger(arguments.ledger, arguments.reason) if split == "test" else None
    tagger = Tagger.load(arguments.bundle)
    taxonomy, scoring = tagger.taxonomy, tagger.bundle.scoring
    chosen = _select(arguments, split, taxonomy, single=scoring.task == "single_label")
    articles = chosen.articles
    texts = LabelledTexts.of(articles, taxonomy, chosen.clusters)
    # Whole: how much of it is read is the bundle's to say, here as in its training and with its users.
    tagged = watched(tagger.stream(one.article for one in articles), len(articles), "tagging")
    found = collect(tagged, taxonomy)
    decisions = found.decisions
    if split == "dev":
        logits = logits_of(found.scores, scoring)
        fitted = crossfit(logits, texts.truth, texts.clusters, judged=texts.judged, task=scoring.task)
        decisions = fitted.decisions
    result = evaluate(decisions, texts.truth, taxonomy, texts.clusters, texts.judged)
    opponents = _opponents(arguments, tagger, texts if split == "test" else None) if arguments.baselines else []
    comparisons = [compare(one.name, decisions, one.decisions, texts) for one in opponents if one.decisions is not None]
    facts = _facts(tagger, split, chosen.path, data_sha256(articles), result)
    if reason is not None:
        append_ledger(arguments.ledger, {**facts, "reason": reason})
    if arguments.output:
        details = {"evaluation": result.to_dict(), "comparisons": [asdict(comparison) for comparison in comparisons]}
        _write(arguments.output, facts | details)
    if arguments.report:
        _write_report(arguments.report, tagger, chosen, found.scores, opponents)
    own = evaluate(found.decisions, texts.truth, taxonomy, texts.clusters, texts.judged) if split == "dev" else None
    show(facts, result, own, comparisons, [one for one in opponents if one.decisions is None])
    return 0


def _check(arguments: Namespace) -> str | None:
    """Return the part to score; refuse what would look at test articles unrecorded, or compare on what was learned."""
    data, split = arguments.data, arguments.split
    if not data.exists():
        raise WusumError(
            f"{data}: not found, expected a folder or a file of labelled articles; `wusum labels join` writes both"
        )
    if split is None and data.is_dir():
        split = "dev"
    if split != "test" and data.name == "test.jsonl":
        raise WusumError(f"{data}: holds test articles; say --split test --reason TEXT, which records the look")
    if arguments.baselines and split not in ("dev", "test"):
        raise WusumError("evaluate: --baselines learns from the train part; choose --split dev or --split test")
    if arguments.baselines and not data.is_dir():
        raise WusumError(f"{data}: --baselines needs the folder that holds train.jsonl; give --data DIR")
    if arguments.report and split != "dev":
        raise WusumError("evaluate: --report shows articles with their errors, so it is for dev only; say --split dev")
    if arguments.output and not arguments.output.absolute().parent.is_dir():
        raise WusumError(
            f"{arguments.output}: cannot write the report, its folder does not exist; name another with -o"
        )
    return str(split) if split else None


def _select(arguments: Namespace, split: str | None, taxonomy: Taxonomy, *, single: bool) -> _Selection:
    from .data import read_labelled, require_single

    data = arguments.data
    path = data / ("test.jsonl" if split == "test" else "train.jsonl") if data.is_dir() else data
    articles = read_labelled(path, taxonomy, read_columns(arguments.column))
    if single:
        require_single(articles, path)
    if split in (None, "test"):
        return _Selection(path, articles)
    return _part(arguments.split_file, path, articles, str(split))


def _part(split_file: Path, path: Path, articles: list[LabelledArticle], part: str) -> _Selection:
    from .split import read_split, select_part

    split = read_split(split_file)
    chosen = select_part(articles, split, part, split_file)
    if not chosen:
        raise WusumError(f"{split_file}: puts no article of {path} into {part}; it belongs to other data")
    clusters = [split[article.id][1] for article in chosen]
    if part == "dev" and len(set(clusters)) < _DEV_CLUSTERS:
        found = f"dev holds {len(set(clusters))} clusters of articles"
        raise WusumError(f"{split_file}: {found}, expected {_DEV_CLUSTERS} or more; make a larger dev part")
    return _Selection(path, chosen, clusters)


def _opponents(arguments: Namespace, tagger: Tagger, test: LabelledTexts | None) -> list[Opponent]:
    from .data import read_labelled
    from .evaluate import LabelledTexts
    from .opponents import fit_opponents

    taxonomy = tagger.taxonomy
    path = arguments.data / "train.jsonl"
    articles = read_labelled(path, taxonomy, read_columns(arguments.column))
    train, dev = (_part(arguments.split_file, path, articles, part) for part in ("train", "dev"))
    learn, tune = (LabelledTexts.of(part.articles, taxonomy, part.clusters) for part in (train, dev))
    return fit_opponents(taxonomy, learn, tune, test, tagger.bundle.scoring.task)


def _write_report(
    folder: Path, tagger: Tagger, chosen: _Selection, scores: Floats, opponents: Sequence[Opponent]
) -> None:
    from .report import Subject, build_report, logits_of, write_report

    bundle = tagger.bundle
    manifest = {key: getattr(bundle, key) for key in ("name", "version", "training")} | {"task": bundle.scoring.task}
    logits = logits_of(scores, bundle.scoring)
    clusters = chosen.clusters or []
    subject = Subject(manifest, bundle.taxonomy, chosen.articles, logits, clusters, opponents=opponents)
    write_report(folder, build_report(subject))


def _facts(tagger: Tagger, split: str | None, path: Path, data_hash: str, result: Evaluation) -> dict[str, Any]:
    from ..inference.manifest import MANIFEST, file_sha256

    overall = result.intervals["overall"]
    return {
        "bundle": tagger.bundle.name,
        "version": tagger.bundle.version,
        "bundle_sha256": file_sha256(tagger.bundle.folder / MANIFEST),
        "data": path.name,
        "split": split or "all",
        "thresholds": "cross-fitted" if split == "dev" else "bundle",
        "data_sha256": data_hash,
        "articles": result.report.documents,
        "micro_f1": _rounded(overall["micro_f1"]),
        "macro_f1": _rounded(overall["macro_f1"]),
    }


def _rounded(interval: Interval) -> dict[str, float]:
    return {key: round(value, 4) for key, value in asdict(interval).items()}


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as fault:
        raise WusumError(f"{path}: cannot write the report ({fault.strerror}); name another file with -o") from fault


COMMAND = Command("score a bundle on labelled articles, with intervals and baselines", _add_arguments, _run)
