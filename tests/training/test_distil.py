import itertools
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from wusum.inference.tagger import Tagger
from wusum.labels import Taxonomy, load_taxonomy
from wusum.labels.errors import WusumError
from wusum.training import distil as module
from wusum.training.distil import BundleTeacher, NearDuplicates, combine, distil
from wusum.training.distil_config import DistilConfig, load_distil_config
from wusum.training.raw import read_raw
from wusum.training.soft import read_soft

RECIPE = Path(__file__).resolve().parents[2] / "configs" / "distil.yaml"


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


class Corpus:
    """Raw articles made of our samples' words, and what must stay out of the soft labels."""

    def __init__(self, folder: Path, samples: list[dict[str, Any]], tiny_recipe: list[str], bundle: Path) -> None:
        given = dict(option.split("=", 1) for option in tiny_recipe[1:])
        self.articles, self.split = Path(given["data.articles"]), Path(given["data.split"])
        self.bundle = bundle
        parts = {row["id"]: row["part"] for row in map(json.loads, self.split.read_text("utf-8").splitlines())}
        rows = [json.loads(line) for line in self.articles.read_text("utf-8").splitlines()]
        dev = next(row for row in rows if parts[row["id"]] == "dev")
        train = next(row for row in rows if parts[row["id"]] == "train")
        self.good = [
            {"id": f"raw-{number}", "title": row["title"], "text": " ".join(row["text"].split()[::-1])}
            for number, row in enumerate(samples)
        ]
        held = {"id": "held", "title": None, "text": " ".join(samples[0]["text"].split()[::-2])}
        self.bad = [
            {"id": train["id"], "text": "نص جديد عن وزير الخارجية في موسكو"},
            {"id": "copy of dev", "title": dev["title"], "text": dev["text"] + " زيادة"},
            {"id": "copy of held", "text": held["text"] + " زيادة"},
            held,
            {"id": "english", "text": "The ministers met in Geneva on Monday and agreed on nothing."},
            {"id": "empty", "text": ""},
        ]
        mixed = [*self.good, *self.bad]
        random.Random(0).shuffle(mixed)
        self.order = [row["id"] for row in mixed if row in self.good]
        self.raw = write(folder / "raw.jsonl", mixed)
        self.held = write(folder / "held.jsonl", [held])

    def config(self, output: Path, *more: str) -> DistilConfig:
        options = [
            f"output={output}",
            f"data.raw=[{self.raw}]",
            f"data.articles={self.articles}",
            f"data.split={self.split}",
            f"data.exclude=[{self.held}]",
            f"teacher.bundles=[{self.bundle}]",
            "teacher.tfidf=0.0",
            "keep_unlabelled=1.0",
            *more,
        ]
        return load_distil_config(RECIPE, options)


@pytest.fixture(scope="module")
def corpus(
    tmp_path_factory: pytest.TempPathFactory, samples: list[dict[str, Any]], tiny_recipe: list[str], tiny_bundle: Path
) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("raw"), samples, tiny_recipe, tiny_bundle)


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    return distil(corpus.config(tmp_path_factory.mktemp("soft") / "run"))


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text("utf-8").splitlines()]


def test_every_allowed_article_is_labelled_once_in_its_order_and_no_other(corpus: Corpus, soft: Path) -> None:
    assert ids(soft) == corpus.order
    assert not soft.with_name("soft.jsonl.part").exists()


def test_the_scores_are_those_of_the_tagger(corpus: Corpus, soft: Path) -> None:
    articles, targets = read_soft(soft, load_taxonomy())
    tagger = Tagger.load(corpus.bundle)
    for article, target in zip(articles[:5], targets[:5], strict=True):
        expected = tagger.predict(article.article).scores
        assert target == pytest.approx([expected[label] for label in load_taxonomy().ids], abs=1e-4)


def test_the_summary_tells_teachers_and_counts(corpus: Corpus, soft: Path) -> None:
    summary = json.loads((soft.parent / "summary.json").read_text("utf-8"))
    assert summary["written"] == len(corpus.order) and summary["drawn"] == len(corpus.order) + 2
    assert len(summary["teachers"][0]) == 64
    _, targets = read_soft(soft, load_taxonomy())
    assert list(summary["mean_scores"].values()) == pytest.approx(targets.mean(0).tolist(), abs=1e-3)


def test_a_run_cut_anywhere_ends_with_the_same_file(corpus: Corpus, soft: Path, tmp_path: Path) -> None:
    whole = soft.read_bytes()
    for number, cut in enumerate([0, 1, *random.Random(1).sample(range(len(whole)), 4), len(whole) - 1, len(whole)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "soft.jsonl.part").write_bytes(whole[:cut])
        assert distil(corpus.config(folder)).read_bytes() == whole


def test_an_interrupted_run_goes_on_without_labelling_again(
    corpus: Corpus, soft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    score, seen = module.Teacher.probabilities, list[str]()

    def interrupted(teacher: Any, articles: Any) -> Any:
        if len(seen) >= 8:
            raise KeyboardInterrupt
        seen.extend(article.id for article in articles)
        return score(teacher, articles)

    config = corpus.config(tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.Teacher, "probabilities", interrupted)
        distil(config)
    assert not (tmp_path / "run" / "soft.jsonl").exists()
    again = list[str]()

    def watching(teacher: Any, articles: Any) -> Any:
        again.extend(article.id for article in articles)
        return score(teacher, articles)

    monkeypatch.setattr(module.Teacher, "probabilities", watching)
    assert distil(config).read_bytes() == soft.read_bytes()
    assert seen + again == corpus.order


def test_an_ensemble_with_tfidf_is_between_its_members(corpus: Corpus, soft: Path, tmp_path: Path) -> None:
    twice = f"teacher.bundles=[{corpus.bundle}, {corpus.bundle}]"
    run = corpus.bundle.parent
    assert json.loads((run / "bundle" / "bundle.json").read_text("utf-8"))["name"] == "tiny"
    same = distil(corpus.config(tmp_path / "a", twice, f"teacher.bundles=[{run}, {corpus.bundle}]"))
    blend = distil(corpus.config(tmp_path / "b", "teacher.tfidf=1.0"))
    alone = distil(corpus.config(tmp_path / "c", "teacher.tfidf=1000000000.0"))
    first, copied, mixed, tfidf = (read_soft(path, load_taxonomy())[1] for path in (soft, same, blend, alone))
    assert copied == pytest.approx(first, abs=1e-4)
    assert not np.allclose(tfidf, first, atol=0.01)
    low, high = np.minimum(first, tfidf), np.maximum(first, tfidf)
    assert ((mixed >= low - 2e-4) & (mixed <= high + 2e-4)).all()


def test_unlabelled_articles_and_shares_are_drawn_by_seed(
    corpus: Corpus, soft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVEN", float(np.median(read_soft(soft, load_taxonomy())[1].max(1))))
    sure = distil(corpus.config(tmp_path / "none", "keep_unlabelled=0.0"))
    half = distil(corpus.config(tmp_path / "half", "keep_unlabelled=0.5"))
    assert set(ids(sure)) < set(ids(half)) < set(corpus.order)
    assert (read_soft(sure, load_taxonomy())[1].max(1) >= module.GIVEN).all()
    draws = [ids(distil(corpus.config(tmp_path / f"seed-{seed}", "data.share=0.5", f"seed={seed}"))) for seed in (1, 2)]
    assert draws[0] != draws[1]
    assert all(0.2 < len(draw) / len(corpus.order) < 0.8 for draw in draws)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("how", ["logits", "probabilities"])
def test_combining_keeps_agreement_and_stays_finite(how: str, single: bool) -> None:
    rng = np.random.default_rng(0)
    table = rng.random((6, 4))
    if single:
        table /= table.sum(-1, keepdims=True)
    assert combine(np.stack([table, table]), [0.3, 0.7], how, single) == pytest.approx(table, abs=1e-6)
    extreme = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    mixed = combine(extreme, [0.5, 0.5], how, single)
    assert mixed == pytest.approx(np.array([[0.5, 0.5]]))


def test_near_duplicates_are_told_from_other_texts(corpus: Corpus) -> None:
    texts = [article.text for article in itertools.islice(read_raw([corpus.raw]), 6)]
    near = NearDuplicates(texts[:3])
    assert all(text + " كلمة" in near for text in texts[:3])
    assert not any(" ".join(text.split()[::-1]) in near for text in texts)


def test_faults_are_one_sentence_each(corpus: Corpus, soft: Path, tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="exists already"):
        distil(corpus.config(soft.parent))
    other = corpus.config(tmp_path / "run", "seed=1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WusumError, match="belongs to another run"):
        distil(other)
    stranger = tmp_path / "other"
    stranger.mkdir()
    first = soft.read_text("utf-8").splitlines()[0].replace(corpus.order[0], "stranger")
    (stranger / "soft.jsonl.part").write_text(first + "\n", encoding="utf-8")
    with pytest.raises(WusumError, match="'stranger' is not among the raw articles"):
        distil(corpus.config(stranger))
    config = corpus.config(tmp_path / "changed")
    (tmp_path / "changed").mkdir()
    claimed = json.loads((stranger / "recipe.json").read_text("utf-8"))
    before = claimed | {"recipe": asdict(config), "data": [*claimed["data"][:2], "0" * 64, claimed["data"][3]]}
    (tmp_path / "changed" / "recipe.json").write_text(json.dumps(before, ensure_ascii=False, indent=1), "utf-8")
    with pytest.raises(WusumError, match=r"another run \(data differs\)"):  # its raw articles were others
        distil(config)
    with pytest.raises(WusumError, match=r"bundle\.json: not found"):
        distil(corpus.config(tmp_path / "x", f"teacher.bundles=[{tmp_path}]"))
    fewer = Taxonomy("t", "1", load_taxonomy().labels[1:])
    with pytest.raises(WusumError, match=f"differ in '{load_taxonomy().ids[0]}'"):
        BundleTeacher(corpus.bundle, fewer)
    for option, words in (
        ("teacher.bundles=[]", "teacher.bundles: is empty"),
        ("teacher.tfidf=-1.0", "teacher.tfidf"),
        ("data.share=0.0", "data.share"),
        ("keep_unlabelled=2.0", "keep_unlabelled"),
        ("teacher.combine=logit", "did you mean 'logits'"),
    ):
        with pytest.raises(WusumError, match=words):
            corpus.config(tmp_path / "y", option)
