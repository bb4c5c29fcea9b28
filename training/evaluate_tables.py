"""What ``wusum evaluate`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from .bootstrap import Interval
from .evaluate import Comparison, Evaluation
from .opponents import Opponent


def show(
    facts: Mapping[str, Any],
    result: Evaluation,
    own: Evaluation | None,
    comparisons: Sequence[Comparison],
    absent: Sequence[Opponent],
) -> None:
    """Print the scores of labels and groups, and the comparisons with opponents.

    Args:
        facts: what was scored, as the report tells it.
        result: scores of the decisions.
        own: on dev: the same with the bundle's own calibration and thresholds.
        comparisons: with the opponents.
        absent: opponents that could not be fitted.
    """
    console = Console(highlight=False)
    where = f"{facts['data']}, {facts['split']}"
    console.print(f"{facts['bundle']} {facts['version']} on {facts['articles']:,} articles ({where})\n", markup=False)
    console.print(_label_table(result))
    console.print(_average_table(result))
    console.print(f"exact match {_with_interval(result.intervals['overall']['exact_match'])}", markup=False)
    if own is not None:
        micro, macro = (own.intervals["overall"][kind].value for kind in ("micro_f1", "macro_f1"))
        console.print(
            "Calibration and thresholds are cross-fitted on dev. With the bundle's own, which were chosen on dev: "
            f"micro {micro:.3f}, macro {macro:.3f}."
        )
    if comparisons:
        console.print(_comparison_table(comparisons))
    for one in absent:
        console.print(f"{one.name}: not compared: {one.absent}", markup=False)


def _label_table(result: Evaluation) -> Table:
    table = Table("label", box=None, pad_edge=False)
    for name in ("precision", "recall", "F1", "support"):
        table.add_column(name, justify="right")
    for kind in ("topic", "actor"):
        for label in (label for label in result.report.labels if label.kind == kind):
            figures = (f"{value:.3f}" for value in (label.precision, label.recall, label.f1))
            table.add_row(label.id, *figures, str(label.support))
        table.add_row()
    return table


def _average_table(result: Evaluation) -> Table:
    table = Table("", "precision", "recall", "micro F1 (95 %)", "macro F1 (95 %)", box=None, pad_edge=False)
    report = result.report
    for name, averages in (("overall", report.overall), ("topics", report.topics), ("actors", report.actors)):
        found = result.intervals[name]
        figures = (f"{value:.3f}" for value in (averages.micro.precision, averages.micro.recall))
        table.add_row(name, *figures, _with_interval(found["micro_f1"]), _with_interval(found["macro_f1"]))
    return table


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    table = Table("opponent", "micro", "macro", "model ahead, micro (95 %)", "macro (95 %)", box=None, pad_edge=False)
    for one in comparisons:
        ahead = (_with_interval(interval, "+") for interval in (one.micro_ahead, one.macro_ahead))
        table.add_row(one.opponent, f"{one.micro_f1:.3f}", f"{one.macro_f1:.3f}", *ahead)
    return table


def _with_interval(interval: Interval, sign: str = "") -> str:
    """A value with its interval in round brackets, which rich does not take for markup."""
    value, low, high = (f"{figure:{sign}.3f}" for figure in (interval.value, interval.low, interval.high))
    return f"{value} ({low}, {high})"
