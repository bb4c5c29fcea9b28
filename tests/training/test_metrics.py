"""Reports agree with scikit-learn; intervals agree with a plain loop and cover what they should."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wusum.labels import Label, Taxonomy
from wusum.training.bootstrap import Interval, bootstrap_interval, paired_bootstrap
from wusum.training.metrics import count_hits, f1_report

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def scheme(topics: int, actors: int) -> Taxonomy:
    kinds = ["topic"] * topics + ["actor"] * actors
    return Taxonomy("t", "1", tuple(Label(f"l{k}", kind, "ع", "e", "d") for k, kind in enumerate(kinds)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 12)), draw(st.integers(2, 6)))
    return draw(arrays(bool, shape)), draw(arrays(bool, shape))


def random_case(documents: int = 60, labels: int = 5, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.random((documents, labels)) < 0.3
    noisy = [truth ^ (generator.random(truth.shape) < share) for share in (0.1, 0.25)]
    return noisy[0], noisy[1], truth


@settings(max_examples=60, deadline=None)
@given(cases())
def test_report_agrees_with_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    decisions, truth = case
    labels = truth.shape[1]
    report = f1_report(decisions, truth, scheme(labels - 1, 1))
    measure = sklearn_metrics.precision_recall_fscore_support
    each = measure(truth, decisions, average=None, zero_division=0)
    for k, label in enumerate(report.labels):
        found = (label.precision, label.recall, label.f1, label.support)
        assert found == pytest.approx([column[k] for column in each])
        assert label.predicted == decisions[:, k].sum()
    groups = ((report.overall, range(labels)), (report.topics, range(labels - 1)), (report.actors, [labels - 1]))
    for averages, columns in groups:
        chosen = list(columns)
        micro = measure(truth, decisions, labels=chosen, average="micro", zero_division=0)[:3]
        assert (averages.micro.precision, averages.micro.recall, averages.micro.f1) == pytest.approx(micro)
        carried = [k for k in chosen if truth[:, k].any()]
        macro = [0.0] * 3
        if carried:
            macro = measure(truth, decisions, labels=carried, average="macro", zero_division=0)[:3]
        assert (averages.macro.precision, averages.macro.recall, averages.macro.f1) == pytest.approx(macro)
    assert report.exact_match == pytest.approx(sklearn_metrics.accuracy_score(truth, decisions))


def test_a_label_without_positives_leaves_the_macro_average_but_not_the_micro() -> None:
    truth = np.array([[True, False], [True, False]])
    decisions = np.array([[True, True], [True, False]])
    overall = f1_report(decisions, truth, scheme(2, 0)).overall
    assert overall.macro.f1 == 1.0
    assert overall.micro.precision == pytest.approx(2 / 3)


def test_cells_not_judged_count_nowhere() -> None:
    truth = np.array([[True, False], [True, True]])
    decisions = np.array([[True, True], [True, False]])
    judged = np.array([[True, False], [True, False]])
    report = f1_report(decisions, truth, scheme(1, 1), judged)
    assert report.overall.micro.f1 == 1.0
    assert report.exact_match == 1.0
    assert (report.labels[1].support, report.labels[1].predicted) == (0, 0)


def test_a_report_turns_into_json() -> None:
    decisions, _, truth = random_case()
    plain = json.loads(json.dumps(f1_report(decisions, truth, scheme(2, 3)).to_dict()))
    assert plain["labels"][4]["id"] == "l4"
    assert set(plain["topics"]["micro"]) == {"precision", "recall", "f1"}


def test_shapes_that_do_not_fit_are_refused() -> None:
    square = np.ones((2, 2), dtype=bool)
    with pytest.raises(ValueError, match="one shape"):
        count_hits(square, np.ones((2, 3), dtype=bool))
    with pytest.raises(ValueError, match="at least one document"):
        count_hits(np.ones((0, 2), dtype=bool), np.ones((0, 2), dtype=bool))
    with pytest.raises(ValueError, match="taxonomy has 3"):
        f1_report(square, square, scheme(3, 0))
    with pytest.raises(ValueError, match="expected one for each"):
        bootstrap_interval(square, square, clusters=[1, 2, 3])


def naive(statistic: str, decisions: np.ndarray, truth: np.ndarray) -> float:
    if statistic == "exact_match":
        return float((decisions == truth).all(axis=1).mean())
    shared, sizes = (decisions & truth).sum(axis=0), decisions.sum(axis=0) + truth.sum(axis=0)
    if statistic == "micro_f1":
        return float(2 * shared.sum() / sizes.sum())
    return float(
        np.mean([2 * both / size for both, size, some in zip(shared, sizes, truth.any(axis=0), strict=True) if some])
    )


@pytest.mark.parametrize("statistic", ["micro_f1", "macro_f1", "exact_match"])
@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_agree_with_a_plain_loop(statistic: str, clustered: bool) -> None:
    first, second, truth = random_case()
    clusters = np.repeat(np.arange(20), 3) if clustered else np.arange(60)
    generator = np.random.default_rng(5)
    members = [np.flatnonzero(clusters == c) for c in range(clusters.max() + 1)]
    single, paired = [], []
    for _ in range(600):
        rows = np.concatenate([members[c] for c in generator.integers(len(members), size=len(members))])
        values = [naive(statistic, said[rows], truth[rows]) for said in (first, second)]
        single.append(values[0])
        paired.append(values[0] - values[1])
    names = np.array([f"c{c}" for c in clusters]) if clustered else None
    interval = bootstrap_interval(first, truth, statistic, clusters=names, samples=4000)
    difference = paired_bootstrap(first, second, truth, statistic, clusters=names, samples=4000)
    assert interval.value == pytest.approx(naive(statistic, first, truth))
    assert difference.value == pytest.approx(naive(statistic, first, truth) - naive(statistic, second, truth))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(single, [0.025, 0.975]), abs=0.02)
    assert (difference.low, difference.high) == pytest.approx(np.quantile(paired, [0.025, 0.975]), abs=0.02)


def test_intervals_are_reproducible_and_widen_with_the_level() -> None:
    decisions, _, truth = random_case()
    wide, again, narrow = (bootstrap_interval(decisions, truth, level=level) for level in (0.95, 0.95, 0.5))
    assert wide == again
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert bootstrap_interval(decisions, truth, seed=1) != wide


def test_a_system_does_not_differ_from_itself() -> None:
    decisions, _, truth = random_case()
    assert paired_bootstrap(decisions, decisions, truth, "macro_f1") == Interval(0.0, 0.0, 0.0, 0.95)


def test_copies_in_one_cluster_do_not_narrow_the_interval() -> None:
    decisions, _, truth = random_case(documents=40)
    once = bootstrap_interval(decisions, truth)
    copied = [np.repeat(array, 4, axis=0) for array in (decisions, truth)]
    together = bootstrap_interval(*copied, clusters=np.repeat(np.arange(40), 4))
    assert together == once
    alone = bootstrap_interval(*copied)
    assert alone.high - alone.low < 0.7 * (once.high - once.low)
