"""The gate between a trained network and what is served."""

import dataclasses

import numpy as np
import pytest

from wusum.inference.scoring import Scoring
from wusum.labels import WusumError
from wusum.training.config import ExportConfig
from wusum.training.parity import check_parity, measure_parity

LABELS = ("syria", "russia", "usa")
SCORING = Scoring("multi_label", (1.0,) * 3, (0.0,) * 3, (0.5, 0.5, 0.1))
EASY = ExportConfig(least_equal=0.0, least_equal_label=0.0, largest_shift=1.0)


def probabilities() -> np.ndarray:
    return np.tile(np.array([[0.9, 0.2, 0.3]]), (100, 1))


def test_equal_models_pass_the_strictest_gate() -> None:
    parity = measure_parity(probabilities(), probabilities(), SCORING, LABELS)
    assert parity.decisions_equal == 1.0
    assert parity.largest_difference == 0.0
    check_parity(parity, ExportConfig(least_equal=1.0, least_equal_label=1.0, largest_shift=0.0))


def test_numbers_by_hand() -> None:
    served = probabilities()
    served[:10, 1] = 0.6
    parity = measure_parity(served, probabilities(), SCORING, LABELS)
    assert parity.decisions_equal == pytest.approx(290 / 300)
    assert parity.labels["russia"].equal == pytest.approx(0.9)
    assert parity.labels["russia"].shift == pytest.approx(0.04)
    assert parity.labels["syria"].equal == 1.0
    assert parity.mean_difference == pytest.approx(0.04 / 3)
    assert parity.largest_difference == pytest.approx(0.4)
    assert parity.to_dict()["labels"]["russia"] == {"equal": pytest.approx(0.9), "shift": pytest.approx(0.04)}


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"least_equal": 0.97}, r"\(all labels: 96\.67% of the decisions equal, at least 97\.00% expected\)"),
        ({"least_equal_label": 0.95}, r"\(russia: 90\.00% of the decisions equal, at least 95\.00% expected\)"),
        ({"largest_shift": 0.02}, r"\(russia: probability moved by 0\.0400 in the mean, at most 0\.02 allowed\)"),
    ],
)
def test_a_failed_gate_names_label_size_bound_and_ways_on(bounds: dict[str, float], message: str) -> None:
    served = probabilities()
    served[:10, 1] = 0.6
    parity = measure_parity(served, probabilities(), SCORING, LABELS)
    check_parity(parity, EASY)
    with pytest.raises(WusumError, match=message) as caught:
        check_parity(parity, dataclasses.replace(EASY, **bounds))
    told = str(caught.value)
    assert "\n" not in told
    assert "syria" not in told
    assert f"export.{next(iter(bounds))}" in told
    assert "no bundle was written" in told
    assert "export.precision=fp32 or export.precision=int8_static" in told


@pytest.mark.parametrize(
    ("articles", "differing", "passes"), [(20, 1, True), (20, 2, False), (100, 3, True), (100, 4, False)]
)
def test_a_bound_allows_the_next_whole_number_of_decisions(articles: int, differing: int, passes: bool) -> None:
    trained = np.full((articles, 3), 0.9)
    served = trained.copy()
    served[:differing, 1] = 0.4
    parity = measure_parity(served, trained, SCORING, LABELS)
    bounds = dataclasses.replace(EASY, least_equal_label=0.97)
    if passes:
        check_parity(parity, bounds)
    else:
        with pytest.raises(WusumError, match="russia"):
            check_parity(parity, bounds)
    with pytest.raises(WusumError, match="russia"):
        check_parity(parity, dataclasses.replace(EASY, least_equal_label=1.0))


def test_the_way_on_is_never_the_precision_that_failed() -> None:
    parity = measure_parity(probabilities(), 1 - probabilities(), SCORING, LABELS)
    for precision in ("fp32", "int8", "int8_static"):
        with pytest.raises(WusumError, match=rf"^export\.precision={precision}: ") as caught:
            check_parity(parity, ExportConfig(precision=precision))
        ways = str(caught.value).partition("run the same again with ")[2]
        others = {"fp32", "int8", "int8_static"} - {precision}
        assert {f"export.precision={other}" for other in others} == set(ways.partition(",")[0].split(" or "))


def test_a_long_list_of_labels_is_cut() -> None:
    labels = [f"label_{number}" for number in range(20)]
    scoring = Scoring("multi_label", (1.0,) * 20, (0.0,) * 20, (0.5,) * 20)
    parity = measure_parity(np.zeros((4, 20)), np.ones((4, 20)), scoring, labels)
    with pytest.raises(WusumError, match=r"label_3: [^;]*; 36 more\)"):
        check_parity(parity, ExportConfig())


def test_one_label_per_article_is_compared_by_the_chosen_one() -> None:
    scoring = Scoring("single_label", (1.0,) * 3, (0.0,) * 3, ())
    served, trained = np.array([[0.4, 0.35, 0.25]]), np.array([[0.35, 0.4, 0.25]])
    assert measure_parity(served, trained, scoring, LABELS).labels["usa"].equal == 1.0
    assert measure_parity(served, trained, scoring, LABELS).labels["russia"].equal == 0.0
